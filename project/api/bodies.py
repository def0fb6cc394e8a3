"""How large a request body may be, decided before a byte of it is kept.

daphne stores a whole body (in memory, then in a temporary file) before it calls the application,
so a limit inside Django comes too late. `bound_daphne` puts the limit into daphne's own reader;
`BodyLimit` is the same limit as plain ASGI, for other servers.

It would also load the body into memory twice: Twisted parses forms, which nobody here asks it to,
and daphne queues all of a body for the application at once. A large body stays in its file
instead, and `BodyLimit` reads it from there, piece by piece.
"""

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from io import BytesIO
from typing import IO, Any

from daphne import http_protocol
from django.conf import settings
from twisted.internet import reactor

from project.api import problems

logger = logging.getLogger(__name__)

Scope = dict[str, Any]
Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

FORM_OVERHEAD_BYTES = 64 * 1024  # boundaries and the text fields beside a file
HEADER_SECONDS = 20.0
BODY_GRACE_SECONDS = 30.0
BODY_BYTES_PER_SECOND = 16 * 1024  # slower than this, after the grace, is taken for an attack
LINGER_SECONDS = 2.0  # how long a refused client may go on sending before it is cut off


# Large bodies on their way from `BoundedRequest` to `BodyLimit`, by the token in this header.
STORED_BODY = b"x-parley-stored-body"
STORED_FROM_BYTES = 1024 * 1024
PIECE_BYTES = 64 * 1024
_stored: dict[bytes, IO[bytes]] = {}


class BodyTooLarge(Exception):
    """Raised inside `receive` when more came than may come."""


def limit_for(path: str, headers: Iterable[tuple[bytes, bytes]]) -> int:
    """The most bytes a body may have at this address. Names of headers are in lower case.

    Files go to few addresses, as forms, and only from callers who show a key or a login cookie:
    whether it is a good one is checked later, but a passer-by cannot fill the disk.
    """
    found = dict(headers)
    is_form = found.get(b"content-type", b"").lower().startswith(b"multipart/form-data")
    known = b"authorization" in found or settings.SESSION_COOKIE_NAME.encode() in found.get(b"cookie", b"")
    if is_form and known:
        for prefix, size in _file_routes():
            if path.startswith(prefix):
                return max(size + FORM_OVERHEAD_BYTES, settings.MAX_JSON_BYTES)
    return int(settings.MAX_JSON_BYTES)


def _file_routes() -> tuple[tuple[str, int], ...]:
    sound_or_image = max(settings.MAX_AUDIO_BYTES, settings.MAX_IMAGE_BYTES)
    video_or_image = max(settings.MAX_VIDEO_BYTES, settings.MAX_IMAGE_BYTES)
    return (
        ("/api/v1/uploads", sound_or_image),
        ("/api/v1/transcriptions", settings.MAX_AUDIO_BYTES),
        ("/api/v1/avatars", video_or_image),
        ("/api/v1/personas/", settings.MAX_DOCUMENT_BYTES),
        ("/admin/", video_or_image),
    )


def refusal(status: int, path: str) -> bytes:
    """The JSON of the answer to a body that is too large (413) or too slow (408)."""
    code, detail = {
        413: ("body_too_large", "The body is larger than this address takes."),
        408: ("body_too_slow", "The request arrived too slowly."),
    }[status]
    return json.dumps(problems.body(status, code, detail, instance=path)).encode()


class BodyLimit:
    """ASGI middleware: 413 by Content-Length, or as soon as too much has come."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = limit_for(scope["path"], scope["headers"])
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > limit:
            await _refuse(scope, send)
            return
        receive = _from_file(scope, receive)
        started = False

        async def watched_send(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, _counting(receive, limit), watched_send)
        except BodyTooLarge:
            if not started:
                await _refuse(scope, send)


def _from_file(scope: Scope, receive: Receive) -> Receive:
    """Read a stored body; what the server says later (a disconnect) still comes through."""
    token = dict(scope["headers"]).get(STORED_BODY, b"")
    scope["headers"] = [pair for pair in scope["headers"] if pair[0] != STORED_BODY]
    file = _stored.pop(token, None)
    if file is None:
        return receive
    placeholder_taken = False

    async def pieces() -> Message:
        nonlocal placeholder_taken
        if not placeholder_taken:
            placeholder_taken = True
            await receive()  # daphne's own message, which is empty
        if file.closed:
            return await receive()
        piece = await asyncio.to_thread(file.read, PIECE_BYTES)
        if len(piece) < PIECE_BYTES:
            file.close()
        return {"type": "http.request", "body": piece, "more_body": not file.closed}

    return pieces


def _counting(receive: Receive, limit: int) -> Receive:
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise BodyTooLarge
        return message

    return counted


async def _refuse(scope: Scope, send: Send) -> None:
    body = refusal(413, scope["path"])
    headers = [
        (b"content-type", problems.MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class BoundedRequest(http_protocol.WebRequest):  # type: ignore[misc]  # daphne has no types
    """daphne's request, which refuses a body by its declared length, its size or its pace."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, parsePOSTFormSubmission=False, **kwargs)  # Django parses forms
        self.content: IO[bytes] | None
        self._refused = False
        self._received = 0
        self._limit = 0
        self._token = b""
        self._began = time.monotonic()
        self._timer: Any = _later(HEADER_SECONDS, self._headers_late)

    def gotLength(self, length: int | None) -> None:  # noqa: N802 - Twisted's name
        """All headers are here; `length` is None for a chunked body."""
        self._stop_timer()
        self._began = time.monotonic()
        raw = self.requestHeaders.getAllRawHeaders()
        self._limit = limit_for(self._address(), [(name.lower(), values[0]) for name, values in raw])
        if length is not None and length > self._limit:
            super().gotLength(0)
            self._refuse(413)
        else:
            super().gotLength(length)

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802
        if self._refused:
            return
        self._received += len(data)
        late = time.monotonic() - self._began - BODY_GRACE_SECONDS
        if self._received > self._limit:
            self._refuse(413)
        elif late > self._received / BODY_BYTES_PER_SECOND:
            self._refuse(408)
        else:
            super().handleContentChunk(data)

    def process(self) -> Any:
        if self._refused:
            return None
        self.requestHeaders.removeHeader(STORED_BODY)  # nobody but us may send it
        if self._received >= STORED_FROM_BYTES:
            self._store()
        return super().process()

    def _store(self) -> None:
        """Keep the body where it is, and give daphne an empty one to hand on."""
        token, body = secrets.token_hex(16).encode(), self.content
        if body is None:
            return
        body.seek(0)
        _stored[token], self.content = body, BytesIO()
        self._token = token
        self.requestHeaders.setRawHeaders(STORED_BODY, [token])

    def connectionLost(self, reason: Any) -> None:  # noqa: N802
        self._stop_timer()
        _stored.pop(self._token, None)  # the application was never called
        super().connectionLost(reason)

    def _address(self) -> str:
        """The path as the headers' end finds it: the channel has it, the request not yet."""
        target: bytes = getattr(self.channel, "_path", b"/")
        return target.split(b"?", 1)[0].decode("ascii", "replace")

    def _headers_late(self) -> None:
        self._timer = None
        self._refuse(408)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: int) -> None:
        """Answer, stop writing, and let the client send into the void for a moment.

        Closing at once with unread bytes would reset the connection, and the client would never
        see the answer.
        """
        self._refused = True
        self.requestHeaders.removeHeader(b"expect")  # or Twisted would go on with "100 Continue"
        path = self._address()
        logger.info("Refused a body at %s with %s after %s bytes", path, status, self._received)
        if self.content is not None:
            self.content.seek(0)
            self.content.truncate()
        body = refusal(status, path)
        self.channel.transport.writeSequence([*_head(status, len(body)), body])
        transport = self.channel.transport
        if hasattr(transport, "loseWriteConnection"):
            transport.loseWriteConnection()
        else:
            transport.loseConnection()
        self._timer = _later(LINGER_SECONDS, self._cut_off)

    def _cut_off(self) -> None:
        self._timer = None
        if self.channel is not None:
            self.channel.transport.abortConnection()


def _later(seconds: float, call: Callable[[], None]) -> Any:
    clock: Any = reactor  # Twisted's types do not know that the module is a reactor
    return clock.callLater(seconds, call)


def _head(status: int, length: int) -> list[bytes]:
    return [
        f"HTTP/1.1 {status} {problems.title(status)}\r\n".encode(),
        f"Content-Type: {problems.MEDIA_TYPE}\r\nContent-Length: {length}\r\n".encode(),
        b"Connection: close\r\n\r\n",
    ]


def bound_daphne() -> None:
    """Make daphne's server read bodies through `BoundedRequest`."""
    http_protocol.WebRequest = BoundedRequest
