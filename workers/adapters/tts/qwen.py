"""Qwen's realtime synthesis at DashScope: sessions of events, one for each way of speaking.

A session cannot be changed once it has begun, so there is one socket per voice, language and speed;
texts are committed one after another, each on an idle session.
"""

import asyncio
import base64
import binascii
import json
import logging
import uuid
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from weakref import WeakKeyDictionary

from workers.adapters.dashscope.account import SESSIONS, Account, Common
from workers.adapters.dashscope.verdicts import verdict
from workers.adapters.endpoint import Endpoint
from workers.adapters.sockets import Socket
from workers.adapters.text import parsed
from workers.adapters.tts.base import EvenPcm, SpeechEvent, SpeechRequest, Streaming
from workers.adapters.tts.cosyvoice import SPEEDS, within

LANGUAGES = {
    "zh": "Chinese", "en": "English", "de": "German", "it": "Italian", "pt": "Portuguese", "es": "Spanish",
    "ja": "Japanese", "ko": "Korean", "fr": "French", "ru": "Russian",
}  # fmt: skip

Event = Mapping[str, Any]

_log = logging.getLogger(__name__)
_rates: WeakKeyDictionary[Socket, int] = WeakKeyDictionary()
"""What the sessions on these sockets send."""


@dataclass(frozen=True, kw_only=True)
class Dialect(Common):
    """`sample_rate` other than 24 kHz and speeds other than 1 are for models from qwen3 on."""

    provider: str = "qwen"
    model: str = "qwen3-tts-flash-realtime"
    sample_rate: int = 24_000
    instructions: str = ""


class Qwen(Streaming):
    """One response for each request."""

    def __init__(self, endpoint: Endpoint, dialect: Dialect) -> None:
        self.provider = dialect.provider
        self._dialect = dialect
        self._account = Account(endpoint, dialect)

    async def once(self, request: SpeechRequest) -> AsyncGenerator[SpeechEvent, None]:
        """See `Streaming`. A socket that closes before the response is done is an error at once."""
        settings = self._settings(request)
        path = f"{SESSIONS}?model={quote(self._dialect.model)}"

        async def begin(socket: Socket, seconds: float) -> None:
            if not socket.reused:
                _rates[socket] = await self._open(socket, settings, seconds)
            await self._send(socket, "input_text_buffer.append", text=request.text)
            await self._send(socket, "input_text_buffer.commit")
            # Its first word about this text shows that the session lives.
            await self._await(socket, seconds, "input_text_buffer.committed", "response.created")

        key = (self._dialect.model, tuple(sorted(settings.items())))
        async with self._account.begun(path, key, begin) as (socket, _):
            sound = EvenPcm(_rates[socket])
            while (pcm := await self._sound(socket)) is not None:
                for chunk in sound.feed(pcm):
                    yield chunk
            socket.keep()
        if sound.odd:
            raise self._account.truncated()

    def _settings(self, request: SpeechRequest) -> dict[str, Any]:
        language = LANGUAGES.get(request.language.partition("-")[0].lower(), "Auto")
        settings: dict[str, Any] = {
            "voice": request.voice,
            "mode": "commit",
            "response_format": "pcm",
            "sample_rate": self._dialect.sample_rate,
            "language_type": language,
        }
        if request.speed != 1.0:
            settings["speech_rate"] = within(round(request.speed, 2), *SPEEDS)
        if self._dialect.instructions:
            settings["instructions"] = self._dialect.instructions
        return settings

    async def _open(self, socket: Socket, settings: dict[str, Any], seconds: float) -> int:
        """Agree on how to speak. Returns the sample rate that the service will send."""
        await self._await(socket, seconds, "session.created")
        await self._send(socket, "session.update", session=settings)
        session = (await self._await(socket, seconds, "session.updated")).get("session") or {}
        if session.get("response_format", "pcm") != "pcm":
            raise self._account.unreadable()
        rate = session.get("sample_rate", self._dialect.sample_rate)
        if not isinstance(rate, int) or not 8000 <= rate <= 192_000:
            raise self._account.unreadable()
        return rate

    async def _sound(self, socket: Socket) -> bytes | None:
        """More of the response; None once it is done."""
        seconds = self._account.options.event_seconds
        event = await self._await(socket, seconds, "response.audio.delta", "response.done")
        if event["type"] == "response.done":
            self._judge(event)
            return None
        try:
            return base64.b64decode(event["delta"], validate=True)
        except (KeyError, TypeError, ValueError, binascii.Error):
            raise self._account.unreadable() from None

    def _judge(self, event: Event) -> None:
        response = event.get("response") or {}
        status = response.get("status", "completed")
        if status != "completed":
            raise self._account.error("The provider did not finish.", "provider_truncated", retryable=True)
        _log.debug("%s: %s used %s", self.provider, self._dialect.model, response.get("usage"))

    async def _send(self, socket: Socket, kind: str, **content: Any) -> None:
        event = {"event_id": f"event_{uuid.uuid4().hex}", "type": kind, **content}
        await socket.send(json.dumps(event, ensure_ascii=False))

    async def _await(self, socket: Socket, seconds: float, *kinds: str) -> Event:
        """The next event of these kinds; raises where the service tells an error."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while True:
            event = self._read(await socket.receive(max(until - loop.time(), 0.0)))
            if event["type"] == "error":
                error = event.get("error")
                told = error if isinstance(error, dict) else {}
                words = (str(told.get(name) or "") for name in ("code", "message", "param"))
                raise verdict(self.provider, *words)
            if event["type"] in kinds:
                return event

    def _read(self, message: str | bytes) -> Event:
        try:
            event = parsed(message)
        except ValueError:
            raise self._account.unreadable() from None
        if not isinstance(event, dict) or not isinstance(event.get("type"), str):
            raise self._account.unreadable()
        return event


def make(endpoint: Endpoint, options: Mapping[str, Any]) -> Qwen:
    """From a provider's file; unknown options are a mistake in it and raise `TypeError`."""
    return Qwen(endpoint, Dialect(**options))
