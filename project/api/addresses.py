"""Which network addresses requests made on a caller's behalf may reach."""

import functools
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError

from django.conf import settings

from project.errors import InvalidInput

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

RESOLVE_SECONDS = 5.0
# Inside or special networks that Python's `is_global` lets pass in one version or another, and
# the public-looking address at which a large cloud answers questions about its machines.
_REFUSED: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "100.64.0.0/10",
        "168.63.129.16/32",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "240.0.0.0/4",
        "::/96",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
        "5f00::/16",
        "fec0::/10",
    )
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# getaddrinfo has no deadline of its own; a name that hangs keeps one of these threads for a while.
_resolvers = ThreadPoolExecutor(max_workers=8, thread_name_prefix="resolve")


def permitted(host: str, port: int, *, pointer: str | None = None) -> list[str]:
    """Resolve a host name and return its addresses, all of them checked.

    One bad address spoils the name: an answer that mixes outside and inside is an attack or a
    mistake, and either way the caller should hear of it.
    """
    addresses = resolve(host, port)
    if not addresses:
        raise InvalidInput(f"The host {host} cannot be found.", code="address_not_found", pointer=pointer)
    if not all(may_reach(address) for address in addresses):
        raise InvalidInput(
            f"The host {host} is not on the public internet.", code="address_not_allowed", pointer=pointer
        )
    return addresses


def may_reach(text: str) -> bool:
    """Whether a numeric address is public, or inside a network that the settings open."""
    address = ipaddress.ip_address(text)
    inner = _embedded_ipv4(address)
    forms = [address] if inner is None else [address, inner]
    if any(form in network for form in forms for network in allowed_networks()):
        return True
    return _is_public(forms[-1])


def resolve(host: str, port: int) -> list[str]:
    """Numeric addresses of a host name, without doubles; empty when there are none in time."""
    future = _resolvers.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        found = future.result(timeout=RESOLVE_SECONDS)
    except (OSError, UnicodeError, FutureTimeoutError):
        return []
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def allowed_networks() -> tuple[Network, ...]:
    return _parse_networks(tuple(settings.EGRESS_ALLOWED_NETWORKS))


@functools.lru_cache(maxsize=8)
def _parse_networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)


def _embedded_ipv4(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 one leads to: mapped, NAT64 or 6to4."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def _is_public(address: Address) -> bool:
    special = address.is_multicast or not address.is_global
    return not special and not any(address in network for network in _REFUSED)
