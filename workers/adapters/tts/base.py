"""What every provider of voices looks like from outside."""

from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass
from typing import Literal, Protocol

from workers.adapters.avatar.base import Phone

Priority = Literal["live", "batch"]


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """One sentence, or a few, to be said.

    `voice` is the provider's own name of it. `text` is ready to be spoken; `[word](/ipa/)` stands in
    it only for providers that understand that.
    """

    text: str
    voice: str
    language: str
    speed: float = 1.0
    priority: Priority = "batch"


@dataclass(frozen=True, slots=True)
class PcmChunk:
    """Mono s16le, always whole samples."""

    pcm: bytes
    sample_rate: int


@dataclass(frozen=True, slots=True)
class Word:
    """One word as it was sent, in ms from the first sample of the answer."""

    text: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Timings:
    """When phones and words are heard, for sound that was delivered before; may come several times."""

    phones: tuple[Phone, ...]
    words: tuple[Word, ...]


SpeechEvent = PcmChunk | Timings


class Synthesizer(Protocol):
    """Turns text into sound. Both calls raise `AdapterError`; closing them closes the connection.

    Nothing is tried again once a sound was delivered: it would be said twice.
    """

    provider: str

    def synthesize(self, request: SpeechRequest) -> Generator[SpeechEvent, None, None]: ...

    def stream(self, request: SpeechRequest) -> AsyncGenerator[SpeechEvent, None]: ...
