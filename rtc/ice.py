"""How a peer can be reached: STUN and TURN by configuration, addresses of this host, ports.

The server offers its own addresses (host candidates) and, behind a NAT, what a STUN server sees of
them or the address it was told to announce. It takes no TURN allocation of its own unless asked to:
a client that can only use a relay reaches our host candidates through its own.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import ifaddr

# Interfaces of containers, virtual machines and tunnels of this host: nobody outside can reach them.
UNREACHABLE = ("docker", "br-", "veth", "virbr", "lxcbr", "lxdbr", "cni", "flannel", "cali", "podman")


@dataclass(frozen=True, slots=True)
class IceConfig:
    """Where STUN and TURN servers are, and which of our addresses to offer.

    `turn_secret` is coturn's `static-auth-secret`; `ttl` is how long its credentials live, in
    seconds (a session must fit into it: coturn checks again at every refresh). `announced_address`
    takes the place of the host's IPv4 addresses in candidates (a public address that is mapped to
    this host one to one, port by port). `host_addresses` restricts us to these addresses. `ports`
    is an inclusive range for UDP; any free port without it. `relay` allocates a relay of our own.
    """

    stun_urls: tuple[str, ...] = ()
    turn_urls: tuple[str, ...] = ()
    turn_secret: str = ""
    ttl: int = 3600
    announced_address: str = ""
    host_addresses: tuple[str, ...] = ()
    ports: tuple[int, int] | None = None
    relay: bool = False

    def servers_for(self, user: str, *, now: Callable[[], float] = time.time) -> list[dict[str, Any]]:
        """Return the `iceServers` of a browser's RTCPeerConnection for this user (a session's id)."""
        servers: list[dict[str, Any]] = []
        if self.stun_urls:
            servers.append({"urls": list(self.stun_urls)})
        if self.turn_urls:
            username, credential = self.turn_credentials(user, now=now)
            servers.append({"urls": list(self.turn_urls), "username": username, "credential": credential})
        return servers

    def turn_credentials(self, user: str, *, now: Callable[[], float] = time.time) -> tuple[str, str]:
        """Return user name and password by the TURN REST convention: they expire after `ttl` seconds."""
        username = f"{int(now()) + self.ttl}:{user}"
        digest = hmac.new(self.turn_secret.encode(), username.encode(), hashlib.sha1).digest()
        return username, base64.b64encode(digest).decode("ascii")


def host_addresses(config: IceConfig) -> list[str]:
    """Return the addresses to listen on: those a client could reach, or loopback where there is no other."""
    if config.host_addresses:
        return list(config.host_addresses)
    found = [address for name, address in _addresses() if _usable(name, address)]
    return found or ["127.0.0.1"]


def _addresses() -> Iterator[tuple[str, str]]:
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            if isinstance(ip.ip, str):
                yield adapter.name, ip.ip
            elif ip.ip[2] == 0:  # no scope: not link-local
                yield adapter.name, ip.ip[0]


def _usable(interface: str, address: str) -> bool:
    ip = ipaddress.ip_address(address)
    return not (interface.startswith(UNREACHABLE) or ip.is_loopback or ip.is_link_local or ip.is_unspecified)


def ports(config: IceConfig) -> Iterator[int]:
    """Yield ports to try in turn; 0 lets the system choose."""
    if config.ports is None:
        yield 0
        return
    first, last = config.ports
    count = last - first + 1
    start = random.randrange(count)
    yield from (first + (start + step) % count for step in range(count))


def announced(config: IceConfig, address: str) -> str:
    """The address to put into a host candidate for one of our own."""
    if config.announced_address and ipaddress.ip_address(address).version == 4:
        return config.announced_address
    return address


def server(url: str) -> tuple[str, int]:
    """Return host and port of a `stun:` or `turn:` URL. Raises `ValueError` for another."""
    scheme, _, rest = url.partition(":")
    if scheme not in ("stun", "turn", "turns"):
        raise ValueError(f"not the URL of a STUN or TURN server: {url}")
    host, _, port = rest.partition("?")[0].rpartition(":")
    if not host or not port.isdecimal():
        return rest.partition("?")[0], 5349 if scheme == "turns" else 3478
    return host, int(port)
