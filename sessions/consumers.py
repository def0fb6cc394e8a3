"""The WebSocket of a session: a translator between a client and wherever the session is hosted.

It checks who comes and what is said, and passes it on. It owns no part of the session: sockets come
and go, the session stays.
"""

import asyncio
import json
import logging
import time
from collections import deque
from typing import Any
from urllib.parse import parse_qs

from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import Error

from project import context
from project.errors import Gone, InvalidInput, NotAllowed, NotFound, ParleyError
from project.sockets import SocketGone, unsent_bytes
from sessions import services
from sessions.runtime import messages
from sessions.runtime.commands import HostUnreachable
from sessions.runtime.database import in_database
from sessions.runtime.events import Event
from sessions.runtime.links import (
    BAD_MESSAGE,
    BAD_ORIGIN,
    BAD_TOKEN,
    ENDED,
    GOING_AWAY,
    HOST_UNREACHABLE,
    NOT_FOUND,
    TOO_MUCH,
    TOO_SLOW,
    UNAVAILABLE,
    Link,
)
from sessions.runtime.messages import Allowance
from sessions.runtime.registry import registry

_log = logging.getLogger(__name__)

MESSAGES_A_SECOND, MESSAGES_AT_ONCE = 20.0, 60.0
# Sound in real time, and what a client may send at once after its line stood still.
AUDIO_BYTES_A_SECOND, AUDIO_BYTES_AT_ONCE = 16_000 * 2 * 1.1, 16_000 * 2 * 5.0
# Messages that cannot be used: more at once, and the socket is closed.
REFUSALS_A_SECOND, REFUSALS = 0.5, 50.0
EARLY, EARLY_CHARACTERS = 64, 256 * 1024  # what is kept until the session is found
WAITING = 2_000  # events not yet written to the socket
UNSENT_BYTES = 1024 * 1024  # ... and bytes that its client does not read


class SessionConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    """One socket of one session."""

    channel_layer_alias = ""  # no channel: it would be a connection to Redis for each socket

    def __init__(self) -> None:
        super().__init__()
        now = time.monotonic()
        self._link: Link | None = None
        self._early: deque[dict[str, Any]] = deque()
        self._early_characters = 0
        self._messages = Allowance(MESSAGES_A_SECOND, MESSAGES_AT_ONCE, now)
        self._audio = Allowance(AUDIO_BYTES_A_SECOND, AUDIO_BYTES_AT_ONCE, now)
        self._audio_refused_at = -1e9
        self._refusals = Allowance(REFUSALS_A_SECOND, REFUSALS, now)
        self._closing: int | None = None
        self._closed = False
        self._outgoing: deque[str] = deque()
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def dispatch(self, message: dict[str, Any]) -> None:
        """As channels does, without its trip to a thread for each message: nothing here asks the database."""
        await getattr(self, message["type"].replace(".", "_"))(message)

    async def connect(self) -> None:
        context.note(session=self.scope["url_route"]["kwargs"]["session_id"])
        await self.accept()
        self._tasks = [
            asyncio.create_task(self._write(), name="socket writer"),
            asyncio.create_task(self._join(), name="socket join"),
        ]

    async def __call__(self, *arguments: Any) -> None:
        """Serve the socket until it is gone, also when the server stops."""
        try:
            await super().__call__(*arguments)
        finally:
            for task in self._tasks:
                task.cancel()
            if self._link is not None:
                self._link.detach()
            self.close_soon(GOING_AWAY)  # the server stops; nothing is said where the client is gone
            await self._flush()

    async def websocket_disconnect(self, message: dict[str, Any]) -> None:  # noqa: ARG002 - channels' signature
        raise StopConsumer

    # --- Joining ---------------------------------------------------------------------------

    async def _join(self) -> None:
        try:
            session_id, token, since = self._asked()
            await in_database(lambda: services.session_open(session_id, token, self._origin()))
            self._link = await registry().join(session_id, self, since)
        except ParleyError as error:
            self._turn_away(error)
        except Error:
            _log.exception("A socket could not join")
            self._say_error("database_unavailable", "The database is away; try again.")
            self.close_soon(UNAVAILABLE)
        except Exception:  # noqa: BLE001 - whatever it is, the client shall hear that it did not work
            _log.exception("A socket could not join")
            self._say_error("internal_error", "The session could not be opened.")
            self.close_soon(UNAVAILABLE)
        else:
            while self._early:
                self._take(self._early.popleft())

    def _asked(self) -> tuple[str, str, int | None]:
        session_id = self.scope["url_route"]["kwargs"]["session_id"]
        try:
            query = parse_qs(self.scope["query_string"].decode("latin-1"), max_num_fields=10)
        except ValueError:
            raise InvalidInput("The query has too many fields.", code="invalid_query") from None
        since = query.get("since", [""])[0]
        if since and not (since.isascii() and since.isdigit() and len(since) < 16):
            raise InvalidInput("`since` is the number of an event.", code="invalid_since")
        return session_id, query.get("token", [""])[0][:200], int(since) if since else None

    def _origin(self) -> str | None:
        found = [value for name, value in self.scope["headers"] if name == b"origin"]
        return str(found[0].decode("latin-1")) if found else None

    def _turn_away(self, error: ParleyError) -> None:
        self._say_error(error.code, str(error))
        self.close_soon(_close_code(error))

    def _say_error(self, code: str, detail: str) -> None:
        """Tell what went wrong before there was a session to number it."""
        self.send_event({"type": "error", "seq": 0, "at_ms": 0, "code": code, "detail": detail})

    # --- From the client -------------------------------------------------------------------

    async def websocket_receive(self, message: dict[str, Any]) -> None:
        if self._closing is not None:
            return
        if self._link is not None:
            self._take(message)
        elif message.get("text") is not None:  # sound is worth nothing later
            self._early_characters += len(message["text"])
            if len(self._early) < EARLY and self._early_characters <= EARLY_CHARACTERS:
                self._early.append(message)
            else:
                self.close_soon(TOO_MUCH)

    def _take(self, message: dict[str, Any]) -> None:
        link = self._link
        if link is None or self._closing is not None:
            return
        try:
            if message.get("text") is not None:
                self._limit(self._messages, 1.0)
                link.message(*messages.parse(message["text"]))
            else:
                self._hear(link, message["bytes"])
        except InvalidInput as error:
            link.refuse(error.code, str(error))
            if not self._refusals.take(1.0, time.monotonic()):
                self.close_soon(BAD_MESSAGE)

    def _limit(self, allowance: Allowance, amount: float) -> None:
        if not allowance.take(amount, time.monotonic()):
            raise InvalidInput("Messages come too fast.", code="too_many_messages")

    def _hear(self, link: Link, data: bytes) -> None:
        pcm16k, now = messages.check_audio(data), time.monotonic()
        if self._audio.take(len(pcm16k), now):
            link.audio(pcm16k)
        elif now - self._audio_refused_at > 1.0:
            # Once a second: sound comes in many small pieces.
            self._audio_refused_at = now
            raise InvalidInput("Sound is 16 kHz mono s16le, in real time.", code="audio_too_fast")

    # --- To the client (the `Socket` of sessions.runtime.links) -----------------------------

    def send_event(self, event: Event) -> None:
        if self._closing is not None:
            return
        if len(self._outgoing) >= WAITING or unsent_bytes(self.base_send) > UNSENT_BYTES:
            self.close_soon(TOO_SLOW)
            return
        self._outgoing.append(json.dumps(event, ensure_ascii=False, separators=(",", ":")))
        self._wake.set()

    def close_soon(self, code: int) -> None:
        """Close once everything before was written."""
        if self._closing is None:
            self._closing = code
            self._wake.set()

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._flush()
            except SocketGone:  # nobody is told any more; `disconnect` follows
                self._closing, self._closed = self._closing or GOING_AWAY, True
                self._outgoing.clear()
            except Exception:  # noqa: BLE001 - an event that cannot be sent shall not silence the socket
                _log.exception("An event could not be sent")
                self.close_soon(UNAVAILABLE)

    async def _flush(self) -> None:
        while self._outgoing:
            await self.send(text_data=self._outgoing.popleft())
        if self._closing is not None and not self._closed:
            self._closed = True
            await self.close(code=self._closing)


_CLOSE_CODES: dict[type[ParleyError], int] = {
    NotFound: NOT_FOUND,
    Gone: ENDED,
    HostUnreachable: HOST_UNREACHABLE,
    InvalidInput: BAD_MESSAGE,
}


def _close_code(error: ParleyError) -> int:
    if isinstance(error, NotAllowed):
        return BAD_ORIGIN if error.code == "forbidden_origin" else BAD_TOKEN
    if error.code == "token_expired":
        return BAD_TOKEN
    return _CLOSE_CODES.get(type(error), UNAVAILABLE)
