"""What every provider of voices looks like from outside, and what makes one easy to write."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal, Protocol

from workers.adapters import bridge, retry
from workers.adapters.avatar.base import Phone
from workers.adapters.errors import AdapterError

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


@dataclass(frozen=True, slots=True)
class Speaker:
    """Another voice than the one that was asked speaks from here on; comes before its first sound.

    `gain_db` brings it to the common loudness, in place of the gain of the voice that was asked.
    """

    provider: str
    gain_db: float


SpeechEvent = PcmChunk | Timings | Speaker


class Synthesizer(Protocol):
    """Turns text into sound. Both calls raise `AdapterError`; closing them closes the connection.

    Nothing is tried again once a sound was delivered: it would be said twice.
    """

    provider: str

    def synthesize(self, request: SpeechRequest) -> Generator[SpeechEvent, None, None]: ...

    def stream(self, request: SpeechRequest) -> AsyncGenerator[SpeechEvent, None]: ...


class Streaming(ABC):
    """A synthesizer out of one attempt: an adapter writes `once`, and has both calls."""

    provider: str

    @abstractmethod
    def once(self, request: SpeechRequest) -> AsyncGenerator[SpeechEvent, None]:
        """One attempt, from its connection to its last sound. Closing it hangs up at once."""
        ...

    async def stream(self, request: SpeechRequest) -> AsyncGenerator[SpeechEvent, None]:
        """Events as they arrive. Tried again while nothing was heard and the error allows it.

        Times that come before the first sound are told behind it. An answer without any sound is an
        error, `no_audio`.
        """
        for attempt in range(1, retry.ATTEMPTS + 1):
            sounded, early = False, list[SpeechEvent]()
            try:
                async with aclosing(self.once(request)) as events:
                    async for event in events:
                        if not sounded and not isinstance(event, PcmChunk):
                            early.append(event)  # nothing was heard yet: another try may follow
                            continue
                        yield event
                        for kept in () if sounded else early:
                            yield kept
                        sounded = True
                if sounded:
                    return
                raise _no_audio(self.provider)
            except AdapterError as exc:
                exc.provider = exc.provider or self.provider
                pause = retry.pause_or_raise(exc, attempt, delivered=sounded)
            await asyncio.sleep(pause)

    def synthesize(self, request: SpeechRequest) -> Generator[SpeechEvent, None, None]:
        """As `stream`, for code that may block."""
        return bridge.iterate(lambda: self.stream(request))


def _no_audio(provider: str) -> AdapterError:
    return AdapterError(
        "The speech provider sent no sound.", provider=provider, retryable=True, code="no_audio"
    )


class EvenPcm:
    """Keeps samples whole, whatever way they were cut on the wire."""

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self._half = b""

    @property
    def odd(self) -> bool:
        """Whether half a sample waits for its other half: at the end, the answer broke off."""
        return bool(self._half)

    def feed(self, data: bytes) -> list[PcmChunk]:
        """The whole samples so far as one chunk; none where there is nothing to give."""
        if self._half:
            data = self._half + data
        whole = len(data) - len(data) % 2
        self._half = data[whole:]
        return [PcmChunk(data[:whole] if self._half else data, self.sample_rate)] if whole else []


class Alignment:
    """Words out of times of single characters, which may be cut in the middle of a word."""

    def __init__(self) -> None:
        self._text, self._start_ms, self._end_ms = "", 0, 0

    def feed(
        self, characters: Sequence[str], starts_ms: Sequence[int], ends_ms: Sequence[int]
    ) -> tuple[Word, ...]:
        """The words that are complete; spaces end them. Times in ms from the first sample."""
        words: list[Word] = []
        for character, start, end in zip(characters, starts_ms, ends_ms, strict=True):
            if not character.strip():
                words += self.finish()
            elif self._text:
                self._text, self._end_ms = self._text + character, max(self._end_ms, end)
            else:
                self._text, self._start_ms, self._end_ms = character, start, end
        return tuple(words)

    def finish(self) -> tuple[Word, ...]:
        """The word that was begun."""
        text, self._text = self._text, ""
        return (Word(text, self._start_ms, self._end_ms),) if text else ()


def words_of(characters: Sequence[str], starts_ms: Sequence[int], ends_ms: Sequence[int]) -> tuple[Word, ...]:
    """Words of times that came at once."""
    alignment = Alignment()
    return alignment.feed(characters, starts_ms, ends_ms) + alignment.finish()
