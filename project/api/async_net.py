"""As `project.api.net`, for who waits on an event loop: leaving the wait closes the connection at once."""

import asyncio
from collections.abc import Iterable, Mapping

import httpcore
import httpx
from httpcore import SOCKET_OPTION

from project.api import addresses
from project.api.net import CONNECT_SECONDS, USER_AGENT, Answer, parse_url, tls_context
from project.errors import Unavailable


async def safe_post(
    url: str, *, content: bytes, headers: Mapping[str, str], max_bytes: int, seconds: float
) -> Answer:
    """Post, and read the first `max_bytes` of the answer. Redirects are answers, not followed.

    Raises `InvalidInput` (`invalid_url`, `address_not_allowed`, `address_not_found`) and `Unavailable`
    (`connection_failed`). What is said of a fault names no address.
    """
    target = parse_url(url)
    told = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
    try:
        async with (
            asyncio.timeout(seconds),
            httpx.AsyncClient(transport=_Transport(), trust_env=False, timeout=seconds) as client,
            client.stream("POST", target, content=content, headers=told) as response,
        ):
            body = await _beginning(response, max_bytes)
            return Answer(response.status_code, response.headers, body, url)
    except (TimeoutError, httpx.TimeoutException) as exc:
        raise Unavailable("The other server took too long.", code="connection_failed") from exc
    except httpx.HTTPError as exc:
        raise Unavailable("The other server cannot be talked to.", code="connection_failed") from exc


async def _beginning(response: httpx.Response, size: int) -> bytes:
    kept = b""
    async for chunk in response.aiter_raw():
        kept += chunk
        if len(kept) >= size:
            break
    return kept[:size]


class _Transport(httpx.AsyncHTTPTransport):
    """httpx's transport over a pool whose every connection is checked."""

    def __init__(self) -> None:
        super().__init__(verify=tls_context(), trust_env=False)
        # httpx offers no parameter for the network backend, httpcore does.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls_context(), network_backend=_CheckedBackend()
        )


class _CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects to a checked address of the host; httpcore goes on to name the host in TLS."""

    def __init__(self) -> None:
        self._plain = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's own name; the deadline is the caller's
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        failure: Exception = httpcore.ConnectError("the host has no address")
        for address in await asyncio.to_thread(addresses.permitted, host, port):
            wait = CONNECT_SECONDS if timeout is None else min(CONNECT_SECONDS, timeout)
            try:
                return await self._plain.connect_tcp(address, port, wait, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as exc:
                failure = exc
        raise failure
