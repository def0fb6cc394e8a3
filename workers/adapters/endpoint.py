"""Where a provider is reached, and the pooled connections to it."""

import ssl
from dataclasses import dataclass, field
from functools import cache, lru_cache

import httpx

from workers.adapters.errors import AdapterError

MAX_CONNECTIONS = 128
"""To one provider, in one process: so many may speak at once."""
KEEPALIVE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A provider's address, up to and including its version (`https://api.example.com/v1`)."""

    base_url: str
    api_key: str = field(default="", repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """What says who we are; nothing where there is no key: an empty one is not a legal header."""
        return {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}

    def ws_url(self, path: str = "") -> str:
        """The address of a WebSocket below this one: `https` becomes `wss`, `http` becomes `ws`."""
        scheme, separator, rest = self.base_url.partition("://")
        named = {"http": "ws", "https": "wss"}.get(scheme, scheme)
        slash = "/" if path and not path.startswith(("/", "?")) else ""
        return f"{named}{separator}{rest.rstrip('/')}{slash}{path}"


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds for each step; `read` is the longest silence before and while a body arrives."""

    connect: float = 5.0
    read: float = 60.0
    pool: float = 30.0


@cache
def tls() -> ssl.SSLContext:
    """What connections are judged by. Reading the certificates takes 25 ms: once for all providers."""
    return httpx.create_ssl_context(trust_env=False)


@lru_cache(maxsize=64)
def client(base_url: str) -> httpx.Client:
    """One pool of connections per provider and process; safe to share between threads."""
    return httpx.Client(
        base_url=base_url, limits=_limits(), verify=tls(), follow_redirects=False, trust_env=False
    )


@lru_cache(maxsize=64)
def async_client(base_url: str, loop: object) -> httpx.AsyncClient:  # noqa: ARG001 - the key of the cache
    """As `client`; connections belong to the event loop that opened them."""
    return httpx.AsyncClient(
        base_url=base_url, limits=_limits(), verify=tls(), follow_redirects=False, trust_env=False
    )


def judged(exc: httpx.HTTPError, provider: str, *, who: str = "speech provider") -> AdapterError:
    """A fault of the connection as a value of our tree; another try may help with all but nonsense."""
    if isinstance(exc, httpx.TimeoutException):
        message, code = f"The {who} did not answer in time.", "provider_timeout"
    elif isinstance(exc, httpx.TransportError):
        message, code = f"The connection to the {who} failed.", "provider_unreachable"
    else:
        message, code = f"The {who}'s answer cannot be read.", "provider_error"
    return AdapterError(message, provider=provider, retryable=code != "provider_error", code=code)


def _limits() -> httpx.Limits:
    return httpx.Limits(max_connections=MAX_CONNECTIONS, keepalive_expiry=KEEPALIVE_SECONDS)
