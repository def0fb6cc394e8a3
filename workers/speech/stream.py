"""A sentence as sound while it still arrives: levelled, trimmed, and ready to be played at once.

What comes out is what `speak_sentence` would give for the whole, but that the beginning is trimmed by
a fixed threshold, since the loudest moment is not known yet, and that a pause longer than
`HELD_SECONDS` inside or behind the speech is passed on as it is.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.adapters.avatar.base import Phone
from workers.adapters.errors import AdapterError
from workers.adapters.tts.base import PcmChunk, Speaker, SpeechEvent, Synthesizer, Timings, Word
from workers.speech import trim
from workers.speech.leveller import Leveller
from workers.speech.resample import TIMELINE_RATE, Resampler
from workers.speech.script import Sentence
from workers.speech.speak import FADE_SAMPLES, MAX_SECONDS, guessed_words, speech_request, tail_ms
from workers.speech.voices import Voice

Samples = NDArray[np.float32]

HELD_SECONDS = 0.4
"""So much silence is kept back until it is known whether it is the end."""
_ONSET = 10 ** (-50 / 20)
_WINDOW = int(trim.WINDOW_SECONDS * TIMELINE_RATE)
_LEAD = int(trim.LEAD_SECONDS * TIMELINE_RATE)
_TAIL = int(trim.TAIL_SECONDS * TIMELINE_RATE)
_HELD = int(HELD_SECONDS * TIMELINE_RATE)


@dataclass(frozen=True, slots=True)
class Part:
    """More of an utterance. `pcm` is 48 kHz mono s16le and follows what came before.

    Times are in ms from the utterance's first sample. `phones` and `words` are new ones; words are
    those that the voice got (`spans.shown_words` leads them back to a reader's). `pause_ms` of the
    last part's sound are the silence behind it. `provider` is who speaks.
    """

    pcm: bytes = b""
    phones: tuple[Phone, ...] = ()
    words: tuple[Word, ...] = ()
    pause_ms: int = 0
    provider: str = ""


async def speak_sentence_parts(
    synthesizer: Synthesizer, sentence: Sentence, voice: Voice, *, speed: float = 1.0
) -> AsyncGenerator[Part, None]:
    """The parts of one sentence as the provider delivers it, the pause behind it in the last one.

    Raises `AdapterError`. Closing it closes the provider's connection.
    """
    stream = SentenceStream(sentence, voice, provider=synthesizer.provider, speed=speed)
    request = speech_request(sentence, voice, speed, "live")
    async with aclosing(synthesizer.stream(request)) as events:
        async for event in events:
            part = stream.add(event)
            if part.pcm or part.phones or part.words:
                yield part
    yield stream.finish()


class SentenceStream:
    """Turns a provider's events into parts; holds what cannot be judged yet."""

    def __init__(self, sentence: Sentence, voice: Voice, *, provider: str, speed: float = 1.0) -> None:
        self._sentence, self._speed, self._provider = sentence, speed, provider
        self._edges = _Edges(voice.gain_db)
        self._resampler: Resampler | None = None
        self._sample_rate = 0
        self._received = 0
        self._worded = False
        self._early: list[Timings] = []
        self._lead = bytes(2 * (TIMELINE_RATE * sentence.lead_ms // 1000))
        self._sent = 0

    def add(self, event: SpeechEvent) -> Part:
        """Take what the provider sent. Raises `AdapterError` for sound that cannot be played."""
        if isinstance(event, Speaker):
            return self._handed_over(event)
        if isinstance(event, Timings):
            self._early.append(event)
            return self._part(b"")
        return self._part(_pcm(self._edges.feed(_samples(self._resampled(event)))))

    def finish(self) -> Part:
        """End the utterance, whether or not all of it came; raises `AdapterError` where nothing sounds."""
        held = self._resampler.flush() if self._resampler else b""
        heard = self._edges.finish(_samples(held))
        if not self._sent and not len(heard):
            raise self._error("The speech provider sent no sound.", retryable=True, code="no_audio")
        silence = self._edges.passed_silence
        pause = max(TIMELINE_RATE * tail_ms(self._sentence, self._speed) // 1000, silence)
        part = self._part(_pcm(heard) + bytes(2 * (pause - silence)))
        words = () if self._worded else self._guessed()
        return Part(part.pcm, part.phones, part.words or words, _ms(pause), self._provider)

    def _handed_over(self, speaker: Speaker) -> Part:
        """Another voice speaks, with another gain; nothing was heard of the first."""
        if self._received:
            raise self._error("The voice changed in the middle.")
        self._provider, self._edges = speaker.provider, _Edges(speaker.gain_db)
        return self._part(b"")

    def _guessed(self) -> tuple[Word, ...]:
        length_ms = _ms(self._edges.heard - self._edges.passed_silence)
        return tuple(guessed_words(self._sentence, length_ms, self._sentence.lead_ms))

    def _resampled(self, chunk: PcmChunk) -> bytes:
        if self._resampler is None:
            self._resampler, self._sample_rate = Resampler(chunk.sample_rate), chunk.sample_rate
        if chunk.sample_rate != self._sample_rate:
            raise self._error("The sample rate changed in the middle.")
        self._received += len(chunk.pcm) // 2
        if self._received > MAX_SECONDS * self._sample_rate:
            raise self._error("One sentence took too long.")
        return self._resampler.feed(chunk.pcm)

    def _part(self, pcm: bytes) -> Part:
        if pcm and not self._sent:
            pcm = self._lead + pcm
        self._sent += len(pcm) // 2
        if self._edges.start is None or not self._early:
            return Part(pcm, provider=self._provider)
        told, self._early = self._early, []
        moved = self._sentence.lead_ms - _ms(self._edges.start)
        phones = _moved_phones([p for times in told for p in times.phones], moved, self._sentence.lead_ms)
        words = _moved_words([w for times in told for w in times.words], moved, self._sentence.lead_ms)
        self._worded = self._worded or bool(words)
        return Part(pcm, phones, words, provider=self._provider)

    def _error(self, message: str, *, retryable: bool = False, code: str = "provider_error") -> AdapterError:
        return AdapterError(message, provider=self._provider, retryable=retryable, code=code)


class _Edges:
    """Cuts the silence at both ends, levels what is between, and fades its ends.

    `start` is where the sound began, counted in samples from the provider's first; `heard` counts
    the samples given out, `passed_silence` those of them that lie behind the last sound.
    """

    def __init__(self, gain_db: float) -> None:
        self.start: int | None = None
        self.heard = 0
        self.passed_silence = 0
        self._threshold = _ONSET / 10 ** (gain_db / 20)
        self._raw = np.zeros(0, np.float32)
        self._searched = 0  # of _raw; whole windows
        self._leveller = Leveller(gain_db)
        self._ready = np.zeros(0, np.float32)
        self._measured = 0  # of _ready, in samples
        self._loud_end = 0  # of _ready; negative once that was given out
        self._loudest = 0.0

    def feed(self, samples: Samples) -> Samples:
        if self.start is None:
            samples = self._begin(samples)
        if self.start is not None:
            self._take(self._leveller.feed(samples))
        end = min(self._loud_end + _TAIL, len(self._ready)) - FADE_SAMPLES
        return self._give(max(end, len(self._ready) - _HELD))

    def finish(self, samples: Samples) -> Samples:
        if self.start is None:
            samples = self._begin(samples)
        if self.start is None:
            samples = self._quiet()
        if self.start is not None:
            self._take(np.concatenate((self._leveller.feed(samples), self._leveller.flush())))
        end = min(self._loud_end + _TAIL, len(self._ready))
        if end > 0:
            size = min(FADE_SAMPLES, end)
            self._ready[end - size : end] *= _ramp(FADE_SAMPLES)[:size][::-1]
        given = self._give(end)
        # Silence that was let through counts as a part of the pause that follows.
        self.passed_silence = max(0, -self._loud_end - _TAIL)
        return given

    def _begin(self, samples: Samples) -> Samples:
        """What is heard of the beginning, once something is."""
        self._raw = np.concatenate((self._raw, samples))
        level = _levels(self._raw[self._searched :])
        loud = np.flatnonzero(level > self._threshold)
        if not loud.size:
            self._searched += len(level) * _WINDOW
            return np.zeros(0, np.float32)
        return self._cut_at(max(self._searched + int(loud[0]) * _WINDOW - _LEAD, 0))

    def _quiet(self) -> Samples:
        """The whole of a sentence that never was loud: judged by its own loudest moment."""
        first, last = trim.bounds(self._raw, TIMELINE_RATE)
        return self._cut_at(first) if last > first and self._raw.size else np.zeros(0, np.float32)

    def _cut_at(self, first: int) -> Samples:
        self.start = first
        begun = self._raw[first:].copy()
        size = min(FADE_SAMPLES, len(begun))
        begun[:size] *= _ramp(FADE_SAMPLES)[:size]
        self._raw = np.zeros(0, np.float32)
        return begun

    def _take(self, levelled: Samples) -> None:
        self._ready = np.concatenate((self._ready, levelled))
        level = _levels(self._ready[self._measured :])
        self._loudest = max(self._loudest, float(level.max(initial=0.0)))
        loud = np.flatnonzero(level > max(self._loudest * 10 ** (-45 / 20), 1e-4))
        if loud.size:
            self._loud_end = self._measured + (int(loud[-1]) + 1) * _WINDOW
        self._measured += len(level) * _WINDOW
        rest = self._ready[self._measured :]
        if rest.size and float(np.sqrt(np.mean(rest**2))) > self._loudest * 10 ** (-45 / 20):
            self._loud_end = len(self._ready)

    def _give(self, end: int) -> Samples:
        end = min(max(end, 0), len(self._ready))
        given, self._ready = self._ready[:end], self._ready[end:]
        self._measured, self._loud_end = max(self._measured - end, 0), self._loud_end - end
        self.heard += end
        return given


def _levels(samples: Samples) -> Samples:
    """RMS of each whole 5 ms window."""
    whole = len(samples) // _WINDOW * _WINDOW
    level: Samples = np.sqrt(np.mean(samples[:whole].reshape(-1, _WINDOW) ** 2, axis=1))
    return level


def _ramp(size: int) -> Samples:
    return (0.5 - 0.5 * np.cos(np.pi * np.arange(size) / size)).astype(np.float32)


def _samples(pcm: bytes) -> Samples:
    return np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768)


def _pcm(samples: Samples) -> bytes:
    return np.round(samples * 32767).astype("<i2").tobytes()


def _ms(samples: int) -> int:
    return round(samples * 1000 / TIMELINE_RATE)


def _moved_phones(phones: list[Phone], by: int, first: int) -> tuple[Phone, ...]:
    moved = (Phone(p.symbol, max(p.start_ms + by, first), max(p.end_ms + by, first)) for p in phones)
    return tuple(phone for phone in moved if phone.end_ms > phone.start_ms)


def _moved_words(words: list[Word], by: int, first: int) -> tuple[Word, ...]:
    return tuple(Word(w.text, max(w.start_ms + by, first), max(w.end_ms + by, first)) for w in words)
