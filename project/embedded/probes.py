"""How each part is asked whether it is ready. A probe answers True or False and never raises."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

Probe = Callable[[], Awaitable[bool]]
TIMEOUT_SECONDS = 2.0
HEAD_BYTES = 4096


def http(
    where: int | Path,
    path: str,
    *,
    statuses: set[int],
    tls: bool = False,
    host: str = "127.0.0.1",
    bearer: str | None = None,
) -> Probe:
    """Ready once this path answers with one of these statuses, on a port or on a socket of this machine."""
    context = None
    if tls:
        # We ask our own child over loopback: whether it answers is all we want to know.
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    token = f"Authorization: Bearer {bearer}\r\n" if bearer else ""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{token}Connection: close\r\n\r\n"

    async def probe() -> bool:
        head = await _exchange(host, where, request.encode(), context)
        parts = head.split(b" ", 2)
        return (
            head.startswith(b"HTTP/1.")
            and len(parts) > 1
            and parts[1].isdigit()
            and int(parts[1]) in statuses
        )

    return probe


def redis(port: int, password: str) -> Probe:
    """Ready once it has read its data and answers PONG to who knows the password."""
    request = f"AUTH {password}\r\nPING\r\nQUIT\r\n"

    async def probe() -> bool:
        return b"+PONG" in await _exchange("127.0.0.1", port, request.encode(), None)

    return probe


def file(path: Path) -> Probe:
    """Ready once the part has made this file."""

    async def probe() -> bool:
        return path.exists()  # noqa: ASYNC240 - one look at a local folder

    return probe


async def _exchange(host: str, where: int | Path, request: bytes, context: ssl.SSLContext | None) -> bytes:
    """Send a request and return the beginning of the answer; empty when there was none."""
    with suppress(OSError, EOFError, TimeoutError):
        async with asyncio.timeout(TIMEOUT_SECONDS):
            if isinstance(where, Path):
                reader, writer = await asyncio.open_unix_connection(where)
            else:
                reader, writer = await asyncio.open_connection(host, where, ssl=context)
            try:
                writer.write(request)
                return await _head(reader)
            finally:
                writer.close()
    return b""


async def _head(reader: asyncio.StreamReader) -> bytes:
    """Read until the other side is done, or has said enough."""
    head = b""
    while len(head) < HEAD_BYTES and (more := await reader.read(HEAD_BYTES)):
        head += more
    return head
