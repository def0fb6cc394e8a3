"""The client: one request, its deadlines, and what its answer is."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from workers.adapters.answers import answered, beginning, media_type, refused, sample_rate, silent
from workers.adapters.endpoint import Deadlines, Endpoint
from workers.adapters.options import made
from workers.adapters.tts.base import PcmChunk, SpeechEvent, SpeechRequest, Streaming
from workers.adapters.tts.decoding import Decoder, decoder_for
from workers.adapters.tts.openai_compatible.decoder import EventDecoder
from workers.adapters.tts.within import within

FORMATS = ("pcm", "wav", "mp3", "opus", "aac")


@dataclass(frozen=True, slots=True)
class SpeechDialect:
    """How one provider differs from the next.

    `pcm_sample_rate` is what raw PCM has where no header says so: 24 kHz at OpenAI. Text of more than
    `most_characters` is asked for in parts; 0 is no limit. `instructions` tell models that take them
    how to speak. `events` asks for server-sent events, which our sidecar fills with timings. `extra`
    are further fields of the body, for servers with their own.
    """

    provider: str = "openai_compatible"
    model: str = "tts-1"
    response_format: str = "pcm"
    pcm_sample_rate: int = 24_000
    most_characters: int = 4096
    instructions: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)
    events: bool = False
    priority: bool = False
    deadlines: Deadlines = field(default_factory=Deadlines)

    def __post_init__(self) -> None:
        if self.response_format not in FORMATS:
            raise ValueError(f"response_format is one of {', '.join(FORMATS)}")
        if self.events and self.response_format != "pcm":
            raise ValueError("events carry raw samples: response_format has to be pcm")


class OpenAICompatible(Streaming):
    """A synthesizer over HTTP; holds no state, so threads may share it."""

    def __init__(self, endpoint: Endpoint, dialect: SpeechDialect) -> None:
        self.provider = dialect.provider
        self._endpoint = endpoint
        self._dialect = dialect

    async def once(self, request: SpeechRequest) -> AsyncGenerator[SpeechEvent, None]:
        """One attempt; see `Streaming`."""
        said_ms = 0.0
        for text in within(request.text, self._dialect.most_characters):
            async with answered(
                self._endpoint,
                "audio/speech",
                provider=self.provider,
                deadlines=self._dialect.deadlines,
                json=self._body(request, text),
            ) as response:
                decoder = await self._decoder(response, round(said_ms))
                before_ms, data = said_ms, b""
                async for data in response.aiter_bytes():
                    for event in decoder.feed(data):
                        said_ms += _ms(event)
                        yield event
                for event in decoder.finish() if data else ():
                    said_ms += _ms(event)
                    yield event
            if said_ms == before_ms:
                raise silent(self.provider)

    def _body(self, request: SpeechRequest, text: str) -> dict[str, Any]:
        dialect = self._dialect
        body: dict[str, Any] = {
            "model": dialect.model,
            "input": text,
            "voice": request.voice,
            "response_format": dialect.response_format,
        }
        if request.speed != 1.0:
            body["speed"] = request.speed
        if dialect.instructions:
            body["instructions"] = dialect.instructions
        if dialect.events:
            body["stream_format"] = "sse"
        if dialect.priority:
            body["priority"] = request.priority
        return {**body, **dialect.extra}

    async def _decoder(self, response: httpx.Response, offset_ms: int) -> Decoder:
        kind, rate = media_type(response), sample_rate(response, self._dialect.pcm_sample_rate)
        if kind == "text/event-stream":
            return EventDecoder(rate, self.provider, offset_ms)
        if kind == "application/json":  # an error that calls itself a success
            raise refused(self.provider, response, await beginning(response))
        return decoder_for(kind, self._dialect.response_format, rate, self.provider)


def _ms(event: SpeechEvent) -> float:
    return len(event.pcm) * 500 / event.sample_rate if isinstance(event, PcmChunk) else 0.0


def make(endpoint: Endpoint, options: Mapping[str, Any]) -> OpenAICompatible:
    """From a provider's file; unknown options are a mistake in it and raise `TypeError`."""
    return OpenAICompatible(endpoint, made(SpeechDialect, options))
