"""Requests to addresses that a caller chose: audio to fetch, webhooks to deliver.

The name is resolved once, every address is checked (project/api/addresses.py), and the connection
goes to a checked address, so that a second answer of the DNS changes nothing. TLS still names and
verifies the host. A deadline covers the whole exchange, however slowly the other side drips.
"""

import functools
import re
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import IO, Any

import httpcore
import httpx
from httpcore import SOCKET_OPTION

from project.api import addresses
from project.errors import InvalidInput, Unavailable

MAX_URL_LENGTH = 2000
_HOST = re.compile(r"[^\s/?#@%\\]+")
MAX_REDIRECTS = 3
CONNECT_SECONDS = 5.0
SNIPPET_BYTES = 1024
USER_AGENT = "Parley/1.0"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `body` holds no more bytes than were asked for."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


def check_url(url: str, *, pointer: str | None = None) -> str:
    """Return the URL when it may be called at all; raise InvalidInput otherwise.

    Resolves the name, so keep it out of transactions. Passing this is no promise: the address is
    checked again on every connection.
    """
    parsed = parse_url(url, pointer=pointer)
    addresses.permitted(parsed.host, _port(parsed), pointer=pointer)
    return url


def safe_get(url: str, *, max_bytes: int, timeout: float = 30.0) -> Answer:
    """Fetch a body of at most `max_bytes`; each redirect is checked anew."""
    sink = BytesIO()
    answer = safe_download(url, sink, max_bytes=max_bytes, timeout=timeout)
    return Answer(answer.status, answer.headers, sink.getvalue(), answer.url)


def safe_download(url: str, sink: IO[bytes], *, max_bytes: int, timeout: float = 30.0) -> Answer:
    """Fetch into `sink`. Raises InvalidInput (`download_failed`, `download_too_large`,
    `address_not_allowed`) or, where trying again may help, Unavailable (`download_failed`).
    """
    deadline = time.monotonic() + timeout
    target = parse_url(url)
    with _connected(deadline, code="download_failed") as client:
        for _ in range(MAX_REDIRECTS + 1):
            with client.stream("GET", target) as response:
                if response.status_code not in _REDIRECTS:
                    _store(response, sink, max_bytes)
                    return Answer(response.status_code, response.headers, b"", str(target))
                location = response.headers.get("Location", "")
            target = parse_url(str(target.join(location)))
    raise InvalidInput(f"More than {MAX_REDIRECTS} redirects.", code="download_failed")


def safe_post(url: str, *, content: bytes, headers: Mapping[str, str], timeout: float = 15.0) -> Answer:
    """Post and read the beginning of the answer. Redirects are answers, not followed."""
    deadline = time.monotonic() + timeout
    target = parse_url(url)
    with (
        _connected(deadline, code="connection_failed") as client,
        client.stream("POST", target, content=content, headers=dict(headers)) as response,
    ):
        body = _beginning(response.iter_raw(SNIPPET_BYTES), SNIPPET_BYTES)
        return Answer(response.status_code, response.headers, body, url)


@contextmanager
def _connected(deadline: float, *, code: str) -> Iterator[httpx.Client]:
    """A client that can reach permitted addresses only, until the deadline."""
    headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
    try:
        with httpx.Client(transport=_Transport(deadline), trust_env=False, headers=headers) as client:
            yield client
    except httpx.TimeoutException as exc:
        raise Unavailable("The other server took too long.", code=code) from exc
    except httpx.HTTPError as exc:
        raise Unavailable(f"The other server cannot be talked to: {exc}", code=code) from exc
    except httpx.InvalidURL as exc:
        raise InvalidInput("The other server redirected to no address.", code=code) from exc


def parse_url(url: str, *, pointer: str | None = None) -> httpx.URL:
    try:
        parsed = httpx.URL(url) if len(url) <= MAX_URL_LENGTH else None
    except (httpx.InvalidURL, UnicodeError, ValueError):
        parsed = None
    if parsed is None or parsed.scheme not in ("http", "https") or not _is_reachable(parsed):
        raise InvalidInput("An http or https address is needed.", code="invalid_url", pointer=pointer)
    if parsed.userinfo:
        raise InvalidInput("The address holds a user or password.", code="invalid_url", pointer=pointer)
    return parsed


def _is_reachable(url: httpx.URL) -> bool:
    """Whether host and port are such that a connection can be tried at all."""
    return bool(_HOST.fullmatch(url.host)) and 0 < _port(url) < 65536


def _port(url: httpx.URL) -> int:
    default = 443 if url.scheme == "https" else 80
    return default if url.port is None else url.port


def _store(response: httpx.Response, sink: IO[bytes], max_bytes: int) -> None:
    if response.status_code != 200:
        raise InvalidInput(f"The other server answered {response.status_code}.", code="download_failed")
    size = 0
    declared = response.headers.get("Content-Length", "0")
    if declared.isdigit() and int(declared) > max_bytes:
        raise _too_large(max_bytes)
    for chunk in response.iter_raw(64 * 1024):
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(max_bytes)
        sink.write(chunk)


def _too_large(max_bytes: int) -> InvalidInput:
    return InvalidInput(f"The file is larger than {max_bytes} bytes.", code="download_too_large", status=413)


def _beginning(chunks: Iterable[bytes], size: int) -> bytes:
    kept = b""
    for chunk in chunks:
        kept += chunk
        if len(kept) >= size:
            break
    return kept[:size]


class _Transport(httpx.HTTPTransport):
    """httpx's transport over a pool whose every connection is checked and has a deadline."""

    def __init__(self, deadline: float) -> None:
        super().__init__(verify=tls_context(), trust_env=False)
        # httpx offers no parameter for the network backend, httpcore does.
        self._pool = httpcore.ConnectionPool(
            ssl_context=tls_context(), network_backend=_CheckedBackend(deadline)
        )


@functools.cache
def tls_context() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


class _CheckedBackend(httpcore.NetworkBackend):
    """Connects to a checked address of the host; httpcore goes on to name the host in TLS."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - ours is the deadline
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses.permitted(host, port):
            wait = min(CONNECT_SECONDS, _left(self._deadline, httpcore.ConnectTimeout))
            try:
                stream = self._plain.connect_tcp(address, port, wait, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as exc:
                failure = exc
            else:
                return _DeadlineStream(stream, self._deadline)
        raise failure


class _DeadlineStream(httpcore.NetworkStream):
    """A stream whose every wait ends at the same moment."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._stream.read(max_bytes, _left(self._deadline, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._stream.write(buffer, _left(self._deadline, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        left = _left(self._deadline, httpcore.ConnectTimeout)
        return _DeadlineStream(self._stream.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(deadline: float, error: type[httpcore.TimeoutException]) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise error("the deadline has passed")
    return left
