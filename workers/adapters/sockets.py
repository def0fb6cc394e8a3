"""WebSockets to providers: opened within a time, lent out, and cut off at once when they are done.

A socket that is not marked with `keep()` is aborted on leaving, whatever the reason: no closing
handshake is waited for, so that an interruption is over for the provider the moment it is for us.
One that is kept waits for the next lease to the same address with the same headers.
"""

import asyncio
import contextvars
import logging
from collections.abc import AsyncGenerator, Hashable, Mapping
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.protocol import State

from workers.adapters.endpoint import tls
from workers.adapters.errors import AdapterError
from workers.adapters.refusals import RETRYABLE

MAX_MESSAGE_BYTES = 8 * 1024 * 1024
MAX_IDLE = 8
"""So many sockets to one address wait at most."""
SEND_SECONDS = 15.0
_TOO_BIG = 1009
_CODES = {401: "provider_unauthorized", 403: "provider_unauthorized"} | {
    404: "provider_not_found",
    429: "provider_busy",
}

# The library writes headers, addresses and messages to its log: keys and spoken text.
# A logger that nobody can find cannot be switched on by a configuration.
_SILENT = logging.Logger("workers.adapters.sockets")  # noqa: LOG001
_SILENT.disabled = True

Key = tuple[str, tuple[tuple[str, str], ...], Hashable]


class Socket:
    """One open WebSocket, lent to one user at a time.

    `reused` says that it served another lease before, so that its first answer proves whether it lives.
    """

    def __init__(self, connection: ClientConnection, provider: str) -> None:
        self.reused = False
        self.kept = False
        self.provider = provider
        self._connection = connection

    @property
    def open(self) -> bool:
        return self._connection.state is State.OPEN

    @property
    def close_code(self) -> int | None:
        """Why the provider closed: RFC 6455's code; None while open, 1006 where no reason was given."""
        return self._connection.close_code

    @property
    def close_reason(self) -> str:
        """The provider's own words. They may repeat what was said: for judging, not for showing."""
        return self._connection.close_reason or ""

    async def send(self, message: str | bytes, seconds: float = SEND_SECONDS) -> None:
        """Text or bytes as one message. Raises `AdapterError` where the provider went or takes nothing."""
        try:
            async with asyncio.timeout(seconds):
                await self._connection.send(message)
        except TimeoutError:
            raise self._late("took nothing in time") from None
        except ConnectionClosed as exc:
            raise self._gone(exc) from None

    async def receive(self, seconds: float) -> str | bytes:
        """The next message. Raises `AdapterError`: `provider_timeout`, or `provider_truncated` at an end."""
        try:
            async with asyncio.timeout(seconds):
                return await self._connection.recv()
        except TimeoutError:
            raise self._late("did not answer in time") from None
        except ConnectionClosed as exc:
            raise self._gone(exc) from None

    def keep(self) -> None:
        """Let the next lease have it. Only where nothing of this use is still to come."""
        self.kept = True

    def abort(self) -> None:
        """Cut the connection off."""
        self._connection.transport.abort()

    async def wait_for_end(self, seconds: float) -> None:
        """Return when the socket is of no more use: closed, an unasked message, or this long unused."""
        with suppress(TimeoutError, ConnectionClosed):
            async with asyncio.timeout(seconds):
                await self._connection.recv()

    def _late(self, what: str) -> AdapterError:
        return AdapterError(
            f"The provider {what}.", provider=self.provider, retryable=True, code="provider_timeout"
        )

    def _gone(self, exc: ConnectionClosed) -> AdapterError:
        if exc.sent is not None and exc.sent.code == _TOO_BIG:
            return AdapterError(
                "The provider's message is too long.", provider=self.provider, retryable=False
            )
        return AdapterError(
            "The provider hung up.", provider=self.provider, retryable=True, code="provider_truncated"
        )


class _Idle:
    """The sockets of one event loop that wait for another lease."""

    def __init__(self) -> None:
        self._waiting: dict[Key, dict[Socket, asyncio.Task[None]]] = {}

    async def take(self, key: Key) -> Socket | None:
        """The one that was used last, so that the others may grow old."""
        waiting = self._waiting.get(key, {})
        while waiting:
            socket, watch = waiting.popitem()
            try:
                usable = not await _stopped(watch) and socket.open
            except asyncio.CancelledError:
                socket.abort()  # nobody else knows of it any more
                raise
            if usable:
                socket.reused, socket.kept = True, False
                return socket
            socket.abort()
        return None

    def put(self, key: Key, socket: Socket, seconds: float) -> None:
        waiting = self._waiting.setdefault(key, {})
        if not socket.open or len(waiting) >= MAX_IDLE:
            socket.abort()
            return
        # It is nobody's until the next lease, so what is logged of it names no session.
        watch = self._watch(key, socket, seconds)
        waiting[socket] = asyncio.create_task(watch, context=contextvars.Context())

    async def _watch(self, key: Key, socket: Socket, seconds: float) -> None:
        try:
            await socket.wait_for_end(seconds)
        finally:
            # Whoever took the socket removed it first, and goes on with it.
            waiting = self._waiting.get(key, {})
            if waiting.pop(socket, None) is not None:
                socket.abort()
            if not waiting:
                self._waiting.pop(key, None)

    async def close(self) -> None:
        for waiting in list(self._waiting.values()):
            for socket, watch in list(waiting.items()):
                await _stopped(watch)
                socket.abort()  # a watch that never began does not


async def _stopped(watch: asyncio.Task[None]) -> bool:
    """End the watch over an idle socket; True when it had ended by itself: the socket is of no use."""
    if watch.done():
        return True
    watch.cancel()
    await asyncio.wait([watch])
    return not watch.cancelled()


_idle: WeakKeyDictionary[asyncio.AbstractEventLoop, _Idle] = WeakKeyDictionary()


@asynccontextmanager
async def lease(
    url: str,
    headers: Mapping[str, str],
    *,
    open_seconds: float,
    reuse_key: Hashable = None,
    idle_seconds: float = 50,
    provider: str = "",
) -> AsyncGenerator[Socket, None]:
    """A WebSocket for one use.

    Kept ones are taken again where address, headers and `reuse_key` are the same, `idle_seconds` long.
    Raises `AdapterError`; `provider` is whom it names.
    """
    key = (url, tuple(sorted(headers.items())), reuse_key)
    idle = _idle.setdefault(asyncio.get_running_loop(), _Idle())
    socket = await idle.take(key) or Socket(await _opened(url, headers, open_seconds, provider), provider)
    try:
        yield socket
    except BaseException:
        socket.abort()
        raise
    if socket.kept:
        idle.put(key, socket, idle_seconds)
    else:
        socket.abort()


async def close_idle() -> None:
    """Give back what this event loop's pool still holds."""
    if idle := _idle.pop(asyncio.get_running_loop(), None):
        await idle.close()


class _Connect(connect):
    def process_redirect(self, exc: Exception) -> Exception | str:
        """Nobody else than the one we were told to ask gets the key."""
        return exc


async def _opened(url: str, headers: Mapping[str, str], seconds: float, provider: str) -> ClientConnection:
    def fault(message: str, code: str, *, retryable: bool) -> AdapterError:
        return AdapterError(message, provider=provider, retryable=retryable, code=code)

    try:
        return await _Connect(
            url,
            additional_headers=dict(headers),
            ssl=tls() if urlsplit(url).scheme == "wss" else None,
            open_timeout=seconds,
            compression=None,
            proxy=None,
            ping_interval=None,
            max_size=MAX_MESSAGE_BYTES,
            logger=_SILENT,
        )
    except TimeoutError:
        raise fault("The provider did not answer in time.", "provider_timeout", retryable=True) from None
    except InvalidStatus as exc:
        raise _refused(exc, provider) from None
    except InvalidURI:
        raise fault("The provider's address is no WebSocket's.", "provider_error", retryable=False) from None
    except (OSError, EOFError, InvalidHandshake):
        raise fault(
            "The connection to the provider failed.", "provider_unreachable", retryable=True
        ) from None


def _refused(exc: InvalidStatus, provider: str) -> AdapterError:
    status = exc.response.status_code
    error = AdapterError(
        f"The provider answered {status}.",
        provider=provider,
        retryable=status in RETRYABLE or 500 <= status < 600,
        code=_CODES.get(status, "provider_error"),
    )
    asked = exc.response.headers.get("Retry-After", "")
    error.retry_after = min(float(asked), 10.0) if asked.isdecimal() else 0.0
    return error
