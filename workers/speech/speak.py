"""One sentence as sound: levelled, at the timeline's rate, with its silences and its times."""

from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.adapters.avatar.base import Phone
from workers.adapters.errors import AdapterError
from workers.adapters.tts.base import (
    PcmChunk,
    Priority,
    Speaker,
    SpeechEvent,
    SpeechRequest,
    Synthesizer,
    Timings,
    Word,
)
from workers.speech import loudness, markup, spans, trim
from workers.speech.resample import TIMELINE_RATE, resampled
from workers.speech.script import Sentence
from workers.speech.voices import Voice

FADE_SAMPLES = TIMELINE_RATE * 5 // 1000
MAX_SECONDS = 180
"""No sentence takes longer; a provider that goes on is cut off."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """A sentence as it is played. `pcm` is 48 kHz mono s16le and holds the silence around it.

    Phones and words are in ms from its first sample; words are those a reader sees. Utterances are
    joined by putting their PCM end to end. `provider` is who spoke.
    """

    text: str
    pcm: bytes
    phones: tuple[Phone, ...]
    words: tuple[Word, ...]
    provider: str = ""

    @property
    def samples(self) -> int:
        return len(self.pcm) // 2

    @property
    def duration_ms(self) -> int:
        return round(self.samples * 1000 / TIMELINE_RATE)


def speak_sentence(
    synthesizer: Synthesizer,
    sentence: Sentence,
    voice: Voice,
    *,
    speed: float = 1.0,
    priority: Priority = "batch",
) -> Utterance:
    """Blocking. Raises `AdapterError`; where that is retryable the sentence can be asked for again."""
    take = _Take(synthesizer.provider, voice.gain_db)
    with closing(synthesizer.synthesize(speech_request(sentence, voice, speed, priority))) as events:
        for event in events:
            take.add(event)
    return _utterance(take, sentence, speed)


async def speak_sentence_live(
    synthesizer: Synthesizer, sentence: Sentence, voice: Voice, *, speed: float = 1.0
) -> Utterance:
    """As `speak_sentence`, on an event loop and ahead of batch work. Cancelling it stops the provider."""
    take = _Take(synthesizer.provider, voice.gain_db)
    async with aclosing(synthesizer.stream(speech_request(sentence, voice, speed, "live"))) as events:
        async for event in events:
            take.add(event)
    return _utterance(take, sentence, speed)


async def speak_all_live(
    synthesizer: Synthesizer, sentences: Iterable[Sentence], voice: Voice, *, speed: float = 1.0
) -> AsyncIterator[Utterance]:
    """Sentences one after another."""
    for sentence in sentences:
        yield await speak_sentence_live(synthesizer, sentence, voice, speed=speed)


class _Take:
    """What a provider delivered so far."""

    def __init__(self, provider: str, gain_db: float) -> None:
        self.provider = provider
        self.gain_db = gain_db
        self.sample_rate = 0
        self.pcm = bytearray()
        self.phones: list[Phone] = []
        self.words: list[Word] = []

    def add(self, event: SpeechEvent) -> None:
        if isinstance(event, Speaker):
            if self.pcm:
                raise self._error("The voice changed in the middle.")
            self.provider, self.gain_db = event.provider, event.gain_db
            return
        if isinstance(event, Timings):
            self.phones += event.phones
            self.words += event.words
            return
        if self.sample_rate not in (0, event.sample_rate):
            raise self._error("The sample rate changed in the middle.")
        self._add_sound(event)

    def _add_sound(self, chunk: PcmChunk) -> None:
        self.sample_rate = chunk.sample_rate
        self.pcm += chunk.pcm
        if len(self.pcm) > MAX_SECONDS * 2 * chunk.sample_rate:
            raise self._error("One sentence took too long.")

    def timeline(self) -> NDArray[np.float32]:
        """Mono at 48 kHz, -1 to 1."""
        if not self.pcm:
            raise AdapterError(
                "The speech provider sent no sound.", provider=self.provider, retryable=True, code="no_audio"
            )
        pcm = resampled(bytes(self.pcm), self.sample_rate)
        return np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768)

    def _error(self, message: str) -> AdapterError:
        return AdapterError(message, provider=self.provider, retryable=False)


def speech_request(sentence: Sentence, voice: Voice, speed: float, priority: Priority) -> SpeechRequest:
    """How a provider is asked for a sentence."""
    text = sentence.said if voice.understands_ipa else markup.plain(sentence.said)
    return SpeechRequest(text, voice.provider_voice, voice.language, round(speed * voice.tempo, 3), priority)


def _utterance(take: _Take, sentence: Sentence, speed: float) -> Utterance:
    samples = take.timeline()
    start, end = trim.bounds(samples, TIMELINE_RATE)
    if end == start:
        raise AdapterError(
            "The speech provider sent silence.", provider=take.provider, retryable=True, code="no_audio"
        )
    heard = _faded(loudness.levelled(samples[start:end], take.gain_db))
    lead, tail = _silence(sentence.lead_ms), _silence(tail_ms(sentence, speed))
    pcm = np.concatenate([lead, np.round(heard * 32767).astype("<i2"), tail])
    moved = sentence.lead_ms - round(start * 1000 / TIMELINE_RATE)
    last = sentence.lead_ms + round(len(heard) * 1000 / TIMELINE_RATE)
    words = take.words or guessed_words(sentence, last - sentence.lead_ms, -moved + sentence.lead_ms)
    return Utterance(
        text=sentence.text,
        pcm=pcm.tobytes(),
        phones=tuple(_moved_phones(take.phones, moved, sentence.lead_ms, last)),
        words=tuple(_moved_words(spans.shown_words(sentence.spans, words), moved, sentence.lead_ms, last)),
        provider=take.provider,
    )


def tail_ms(sentence: Sentence, speed: float) -> int:
    """A fast reader pauses less; a pause that the author wrote stays as long as it was written."""
    return sentence.tail_ms if sentence.planned else round(sentence.tail_ms / speed)


def _silence(ms: int) -> NDArray[np.int16]:
    return np.zeros(TIMELINE_RATE * ms // 1000, "<i2")


def _faded(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """5 ms in and out, so that no join clicks."""
    size = min(FADE_SAMPLES, len(samples) // 2)
    if not size:
        return samples
    ramp = (0.5 - 0.5 * np.cos(np.pi * np.arange(size) / size)).astype(np.float32)
    faded = samples.copy()
    faded[:size] *= ramp
    faded[-size:] *= ramp[::-1]
    return faded


def guessed_words(sentence: Sentence, length_ms: int, start_ms: int) -> list[Word]:
    """Words timed by their length, for providers that tell no times."""
    texts = markup.plain(sentence.said).split()
    total = sum(len(text) + 1 for text in texts)
    words: list[Word] = []
    at = 0
    for text in texts:
        begin, at = at, at + len(text) + 1
        words.append(Word(text, start_ms + begin * length_ms // total, start_ms + at * length_ms // total))
    return words


def _moved_phones(phones: Iterable[Phone], by: int, first: int, last: int) -> Iterable[Phone]:
    for phone in phones:
        start, end = _clamped(phone.start_ms + by, first, last), _clamped(phone.end_ms + by, first, last)
        if end > start:
            yield Phone(phone.symbol, start, end)


def _moved_words(words: Iterable[Word], by: int, first: int, last: int) -> Iterable[Word]:
    for word in words:
        yield Word(
            word.text, _clamped(word.start_ms + by, first, last), _clamped(word.end_ms + by, first, last)
        )


def _clamped(value: int, low: int, high: int) -> int:
    return min(max(value, low), high)
