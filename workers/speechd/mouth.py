"""Speaks: text in, pieces of PCM with their timings out."""

import gc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from workers.speech import trim
from workers.speechd import timing
from workers.speechd.catalogue import VOICES
from workers.speechd.engines.base import Engine, Samples
from workers.speechd.line import Line

HEADROOM = 0.97


class FrontEnd(Protocol):
    def read(self, text: str) -> Line: ...


@dataclass(frozen=True, slots=True)
class Piece:
    """One sentence as it was said. `pcm` is mono s16le."""

    pcm: bytes
    sample_rate: int
    sounds: tuple[timing.Sound, ...]
    words: tuple[timing.Spoken, ...]
    last_mark: str


class Mouth:
    """Loads front ends and engines when they are first needed. Used by one thread."""

    def __init__(
        self, engines: dict[str, Callable[[], Engine]], front_ends: dict[str, Callable[[], FrontEnd]]
    ) -> None:
        self._make_engine = engines
        self._make_front_end = front_ends
        self._engines: dict[str, Engine] = {}
        self._front_ends: dict[str, FrontEnd] = {}

    @property
    def loaded(self) -> list[str]:
        return sorted([*self._engines, *self._front_ends])

    def read(self, text: str, voice_id: str) -> list[Line]:
        """The text as lines to say one after another; none when there is nothing that sounds."""
        return self._front_end(VOICES[voice_id].language[:2]).read(text).pieces()

    def say(self, line: Line, voice_id: str, speed: float) -> Piece:
        voice = VOICES[voice_id]
        engine = self._engine(voice.engine)
        take = engine.say(line, voice=voice.style, speed=speed / voice.pitch)
        start, end = trim.bounds(take.samples, engine.sample_rate)
        rate = round(engine.sample_rate * voice.pitch)
        edges = [(edge - engine.early_seconds) / voice.pitch - start / rate for edge in take.edges]
        sounds = tuple(timing.within(timing.sounds_of(line, edges), (end - start) / rate))
        words = tuple(timing.words_of(line, sounds))
        return Piece(_pcm(take.samples[start:end]), rate, sounds, words, line.letters[-1].symbol)

    def _engine(self, name: str) -> Engine:
        if name not in self._engines:
            self._engines[name] = self._make_engine[name]()
            gc.collect()  # a model is read twice while it loads
        return self._engines[name]

    def _front_end(self, language: str) -> FrontEnd:
        if language not in self._front_ends:
            self._front_ends[language] = self._make_front_end[language]()
        return self._front_ends[language]


def _pcm(samples: Samples) -> bytes:
    """s16le; a piece that would clip is made quieter as a whole."""
    peak = float(np.abs(samples).max(initial=0.0))
    scaled = samples * (HEADROOM / peak) if peak > HEADROOM else samples
    return np.round(scaled * 32767).astype("<i2").tobytes()
