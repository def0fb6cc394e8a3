"""ElevenLabs, over HTTP or over its WebSocket, with words in time.

A sentence is known as a whole when it is asked for, so HTTP is the quicker way: its connection serves
the next sentence too, while each `stream-input` socket ends with its text. Both tell times of characters.
"""

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote, urlencode

import httpx

from workers.adapters import sockets
from workers.adapters.answers import media_type
from workers.adapters.elevenlabs import PROVIDER, Account, answered, fault, named_in, names
from workers.adapters.endpoint import Deadlines, Endpoint
from workers.adapters.errors import AdapterError
from workers.adapters.text import clean, parsed
from workers.adapters.tts.base import SpeechEvent, SpeechRequest, Streaming
from workers.adapters.tts.compressed import SLICE_BYTES
from workers.adapters.tts.elevenlabs_take import Message, Take, milliseconds, seconds, sound_of

MAX_LINE_BYTES = 8 * 1024 * 1024
SPEEDS = (0.7, 1.2)
"""The slowest and the fastest that the service speaks."""


@dataclass(frozen=True, slots=True)
class ElevenLabsOptions:
    """How an account speaks.

    `timestamps` asks for words in time over HTTP; the WebSocket always tells them. `language_code` is
    sent where the model takes one ("auto"), always or never. `auto_mode` begins with the first
    characters; without it `chunk_length_schedule` says after how many. `voice_settings` are the
    service's own. `read_seconds` is the longest silence.
    """

    provider: str = PROVIDER
    transport: Literal["http", "websocket"] = "http"
    timestamps: bool = True
    model: str = "eleven_flash_v2_5"
    output_format: str = "pcm_24000"
    language_code: Literal["auto", "always", "never"] = "auto"
    voice_settings: Mapping[str, Any] = field(default_factory=dict)
    apply_text_normalization: str = ""
    seed: int | None = None
    enable_logging: bool = True
    auto_mode: bool = True
    chunk_length_schedule: Sequence[int] = ()
    inactivity_seconds: int = 20
    connect_seconds: float = 5.0
    read_seconds: float = 15.0

    def __post_init__(self) -> None:
        if self.transport not in ("http", "websocket"):
            raise TypeError(f"no such transport: {self.transport}")
        if self.language_code not in ("auto", "always", "never"):
            raise TypeError("language_code is auto, always or never")
        sound_of(self.output_format, self.provider)


class ElevenLabs(Streaming):
    """A synthesizer; holds no state, so threads may share it."""

    def __init__(self, endpoint: Endpoint, options: ElevenLabsOptions) -> None:
        self.provider = options.provider
        self._account = Account(endpoint.base_url, endpoint.api_key)
        self._options = options
        self._deadlines = Deadlines(connect=options.connect_seconds, read=options.read_seconds)

    async def once(self, request: SpeechRequest) -> AsyncGenerator[SpeechEvent, None]:
        """One attempt at one text."""
        options = self._options
        take = Take(options.output_format, self.provider)
        if options.transport == "websocket":
            messages = self._over_socket(request)
        elif options.timestamps:
            messages = self._over_http(request)
        else:
            messages = self._plainly(request)
        try:
            async for data, times in messages:
                for start in range(0, len(data), SLICE_BYTES):
                    if start:
                        await asyncio.sleep(0)  # let others run: a long answer may come at once
                    for chunk in take.feed(data[start : start + SLICE_BYTES]):
                        yield chunk
                if timings := take.times(times):
                    yield timings
        finally:
            await messages.aclose()
        for event in take.finish():
            yield event

    async def _plainly(self, request: SpeechRequest) -> AsyncGenerator[Message, None]:
        async with self._asked(request, "") as response:
            if media_type(response).startswith(("text/", "application/json")):
                raise self._unreadable()
            async for data in response.aiter_bytes():
                yield data, None

    async def _over_http(self, request: SpeechRequest) -> AsyncGenerator[Message, None]:
        """JSON objects, one a line."""
        async with self._asked(request, "/with-timestamps") as response:
            async for line in _lines(response, self.provider):
                answer = self._parsed(line)
                if "audio_base64" not in answer:
                    raise fault(self.provider, names(answer), 500)
                yield self._message(answer["audio_base64"], seconds, answer.get("alignment"))

    async def _over_socket(self, request: SpeechRequest) -> AsyncGenerator[Message, None]:
        """`stream-input`: a first message with the settings, the text, and an empty one for the end."""
        options = self._options
        url = self._account.ws_url(f"{self._path(request)}/stream-input?{urlencode(self._query(request))}")
        async with sockets.lease(
            url, self._account.headers, open_seconds=options.connect_seconds, provider=self.provider
        ) as socket:
            for message in self._said(request):
                await socket.send(json.dumps(message))
            while True:
                answer = self._parsed(await self._received(socket))
                if answer.get("error") or "detail" in answer:
                    raise fault(self.provider, names(answer))
                yield self._message(answer.get("audio"), milliseconds, answer.get("alignment"))
                if answer.get("isFinal"):
                    return

    async def _received(self, socket: sockets.Socket) -> str | bytes:
        try:
            return await socket.receive(self._options.read_seconds)
        except AdapterError:
            # A refusal may come as the reason of a close, and as nothing else.
            if given := named_in(socket.close_reason):
                raise fault(self.provider, given) from None
            raise

    def _asked(self, request: SpeechRequest, kind: str) -> Any:
        options = self._options
        params: dict[str, str] = {"output_format": options.output_format}
        if not options.enable_logging:
            params["enable_logging"] = "false"
        body: dict[str, Any] = {"text": clean(request.text), "model_id": options.model}
        body |= self._language(request)
        if settings := self._settings(request):
            body["voice_settings"] = settings
        if options.seed is not None:
            body["seed"] = options.seed
        if options.apply_text_normalization:
            body["apply_text_normalization"] = options.apply_text_normalization
        path = f"{self._path(request)}/stream{kind}"
        return answered(
            self._account,
            "POST",
            path,
            provider=self.provider,
            deadlines=self._deadlines,
            json=body,
            params=params,
        )

    def _query(self, request: SpeechRequest) -> dict[str, str]:
        options = self._options
        query = {
            "model_id": options.model,
            "output_format": options.output_format,
            "inactivity_timeout": str(options.inactivity_seconds),
            "sync_alignment": "true",
        }
        if options.auto_mode:
            query["auto_mode"] = "true"
        if not options.enable_logging:
            query["enable_logging"] = "false"
        if options.apply_text_normalization:
            query["apply_text_normalization"] = options.apply_text_normalization
        return query | self._language(request)

    def _said(self, request: SpeechRequest) -> list[dict[str, Any]]:
        first: dict[str, Any] = {"text": " "}
        if settings := self._settings(request):
            first["voice_settings"] = settings
        if self._options.chunk_length_schedule and not self._options.auto_mode:
            schedule = list(self._options.chunk_length_schedule)
            first["generation_config"] = {"chunk_length_schedule": schedule}
        # Words are taken as whole where a space follows them.
        return [first, {"text": f"{clean(request.text).rstrip()} ", "flush": True}, {"text": ""}]

    def _path(self, request: SpeechRequest) -> str:
        return f"v1/text-to-speech/{quote(request.voice, safe='')}"

    def _settings(self, request: SpeechRequest) -> dict[str, Any]:
        settings = dict(self._options.voice_settings)
        speed = round(request.speed * float(settings.pop("speed", 1.0)), 3)
        if speed != 1.0:
            settings["speed"] = min(max(speed, SPEEDS[0]), SPEEDS[1])
        return settings

    def _language(self, request: SpeechRequest) -> dict[str, str]:
        options = self._options
        takes = options.model.endswith("_v2_5") or options.model.startswith("eleven_v3")
        if not request.language or options.language_code == "never":
            return {}
        wanted = takes or options.language_code == "always"
        return {"language_code": request.language.partition("-")[0].lower()} if wanted else {}

    def _parsed(self, text: str | bytes) -> dict[str, Any]:
        try:
            answer = parsed(text)
        except ValueError as exc:
            raise self._unreadable() from exc
        if not isinstance(answer, dict):
            raise self._unreadable()
        return answer

    def _message(self, audio: Any, read: Any, alignment: Any) -> Message:
        try:
            data = base64.b64decode(audio, validate=True) if audio else b""
            return data, read(alignment) if alignment else None
        except (binascii.Error, KeyError, TypeError, ValueError) as exc:
            raise self._unreadable() from exc

    def _unreadable(self) -> AdapterError:
        message = "The speech provider's answer cannot be read."
        return AdapterError(message, provider=self.provider, retryable=False)


async def _lines(response: httpx.Response, provider: str) -> AsyncIterator[bytes]:
    """The lines with something in them; the last one needs no end."""
    kept = bytearray()
    async for data in response.aiter_bytes():
        kept += data
        *lines, rest = kept.split(b"\n")
        kept = bytearray(rest)
        if len(kept) > MAX_LINE_BYTES:
            message = "The speech provider's answer cannot be read."
            raise AdapterError(message, provider=provider, retryable=False)
        for line in lines:
            if line.strip():
                yield bytes(line)
    if kept.strip():
        yield bytes(kept)


def make(endpoint: Endpoint, options: Mapping[str, Any]) -> ElevenLabs:
    """From a provider's file; unknown options are a mistake in it and raise `TypeError`."""
    return ElevenLabs(endpoint, ElevenLabsOptions(**options))
