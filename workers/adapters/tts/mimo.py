"""Models that speak within a chat: Xiaomi's MiMo.

The roles are the other way round than one would think: what is to be said is what the assistant said,
and how it is to be said is what the user asked for. The sound comes whole, as base64 in JSON.
"""

import base64
import binascii
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any

from workers.adapters.answers import answered, silent
from workers.adapters.endpoint import Deadlines, Endpoint
from workers.adapters.errors import AdapterError
from workers.adapters.options import made
from workers.adapters.refusals import refusal
from workers.adapters.text import parsed
from workers.adapters.tts.base import SpeechEvent, SpeechRequest, Streaming
from workers.adapters.tts.decoding import decoder_for
from workers.adapters.tts.within import within

FORMATS = {"wav": "wav", "mp3": "mp3", "pcm16": "pcm"}
"""As the protocol names them, and as we do."""
BLOCK_BYTES = 32 * 1024
"""A whole answer is passed on in blocks of this size, so that others run in between."""


@dataclass(frozen=True, slots=True)
class ChatSpeech:
    """How one provider differs from the next.

    `style` is how to speak, in words; none is sent where it is empty. `pcm_sample_rate` counts for
    raw samples only: WAV tells its own.
    """

    provider: str = "mimo"
    model: str = "mimo-v2.5-tts"
    audio_format: str = "wav"
    pcm_sample_rate: int = 24_000
    style: str = ""
    most_characters: int = 2000
    deadlines: Deadlines = field(default_factory=Deadlines)

    def __post_init__(self) -> None:
        if self.audio_format not in FORMATS:
            raise ValueError(f"audio_format is one of {', '.join(FORMATS)}")


class ChatSynthesizer(Streaming):
    """A synthesizer over chat completions; holds no state, so threads may share it."""

    def __init__(self, endpoint: Endpoint, dialect: ChatSpeech) -> None:
        self.provider = dialect.provider
        self._endpoint = endpoint
        self._dialect = dialect

    async def once(self, request: SpeechRequest) -> AsyncGenerator[SpeechEvent, None]:
        """One attempt; see `Streaming`. The first part is heard while the second is asked for."""
        for text in within(request.text, self._dialect.most_characters):
            sound = await self._sound(request, text)
            decoder = decoder_for(
                "", FORMATS[self._dialect.audio_format], self._dialect.pcm_sample_rate, self.provider
            )
            heard = False
            for start in range(0, len(sound), BLOCK_BYTES):
                for event in decoder.feed(sound[start : start + BLOCK_BYTES]):
                    heard = True
                    yield event
            for event in decoder.finish():
                heard = True
                yield event
            if not heard:
                raise silent(self.provider)

    async def _sound(self, request: SpeechRequest, text: str) -> bytes:
        async with answered(
            self._endpoint,
            "chat/completions",
            provider=self.provider,
            deadlines=self._dialect.deadlines,
            json=self._body(request, text),
        ) as response:
            body = await response.aread()
        return self._read(body)

    def _read(self, body: bytes) -> bytes:
        try:
            answer = parsed(body)
            if "choices" not in answer:  # an error that calls itself a success
                raise refusal(self.provider, 200, body, None)
            audio = answer["choices"][0]["message"].get("audio") or {}
            sound = base64.b64decode(audio.get("data") or "", validate=True)
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, binascii.Error) as exc:
            raise AdapterError(
                "The speech provider's answer cannot be read.", provider=self.provider, retryable=False
            ) from exc
        if not sound:
            raise silent(self.provider)
        return sound

    def _body(self, request: SpeechRequest, text: str) -> dict[str, Any]:
        manner = " ".join(part for part in (self._dialect.style, _pace(request.speed)) if part)
        messages = [{"role": "user", "content": manner}] if manner else []
        messages.append({"role": "assistant", "content": text})
        return {
            "model": self._dialect.model,
            "messages": messages,
            "audio": {"format": self._dialect.audio_format, "voice": request.voice},
        }


def _pace(speed: float) -> str:
    """How fast to speak, in words: the protocol has no number for it."""
    if 0.9 <= speed <= 1.1:
        return ""
    degree = "a little " if 0.75 <= speed <= 1.3 else "much " if not 0.5 <= speed <= 2 else ""
    return f"Speak {degree}{'faster' if speed > 1 else 'slower'} than usual."


def make(endpoint: Endpoint, options: Mapping[str, Any]) -> ChatSynthesizer:
    """From a provider's file; unknown options are a mistake in it and raise `TypeError`."""
    return ChatSynthesizer(endpoint, made(ChatSpeech, options))
