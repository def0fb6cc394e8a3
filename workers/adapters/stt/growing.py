"""Hearing with a recogniser of whole recordings: it is asked again as the sound grows.

One question at a time, and not more often than a share of the time that answers take; while somebody
speaks, one for all of a process, so that captions never hold up an answer. Sound that
becomes too long for one question is cut where it is quietest; what was said before is final then.
"""

import asyncio
import struct
from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.adapters.errors import AdapterError
from workers.adapters.stt.base import BYTES_PER_MS, RATE, Hypothesis, Transcript

WINDOW_MS = 32
SILENCE = 0.1  # of the loudest sound: 20 dB below it nobody goes on talking


@dataclass(frozen=True, slots=True)
class Growth:
    """Times in ms. The sound is asked about every `partial_ms`, from `partial_after_ms` on.

    Not sooner, though, than `rest` times as long after the last answer as that one took. A question is
    about `longest_ms` of sound at most; longer sound is cut at the quietest moment of its last
    `cut_within_ms`.
    """

    partial_after_ms: int = 800
    partial_ms: int = 700
    rest: float = 2.5
    longest_ms: int = 25_000
    cut_within_ms: int = 8_000


class Growing:
    """Gives `hear` to an adapter that has `listen`."""

    streaming = False
    growth = Growth()

    @abstractmethod
    async def listen(self, audio: bytes, *, language: str = "") -> Transcript:
        """The adapter's own."""

    async def hear(
        self, sound: AsyncIterator[bytes], *, language: str = ""
    ) -> AsyncGenerator[Hypothesis, None]:
        """See `Recognizer.hear`."""
        hearing = _Hearing(self, sound, language)
        try:
            async with aclosing(hearing.told()) as told:
                async for hypothesis in told:
                    yield hypothesis
        finally:
            await hearing.close()


class _Hearing:
    """One sound. `_heard` is what of it is not final yet; it begins `_begin_ms` after the first piece."""

    guesses = 0  # of all sounds of this process: questions that are asked while somebody speaks

    def __init__(self, ears: Growing, sound: AsyncIterator[bytes], language: str) -> None:
        self._ears, self._language = ears, language
        self._heard = bytearray()
        self._begin_ms = 0
        self._news = asyncio.Event()
        self._paused_bytes = 0
        self._loudest = 0.0  # of the sound that was asked about
        self._asked: asyncio.Task[Transcript] | None = None
        self._asked_bytes = 0
        self._answered_at = self._took = 0.0
        self._known: Transcript | None = None
        self._gathering = asyncio.create_task(self._gather(sound))

    async def told(self) -> AsyncGenerator[Hypothesis, None]:
        while not self._gathering.done():
            await self._news.wait()
            self._news.clear()
            if self._asked is not None and self._asked.done() and (guess := self._answer(self._asked)):
                yield guess
            if self._ms(len(self._heard)) >= self._ears.growth.longest_ms:
                for hypothesis in await self._finals(self._quietest()):
                    yield hypothesis
            elif self._asked is None and self._due():
                self._guess()
        self._gathering.result()
        for hypothesis in await self._finals(len(self._heard)):
            yield hypothesis

    async def close(self) -> None:
        tasks: list[asyncio.Task[Any]] = [self._gathering, *([self._asked] if self._asked else [])]
        for task in tasks:
            if not task.cancelling():  # a second one would disturb how a connection is closed
                task.cancel()
        await asyncio.wait(tasks)

    async def _gather(self, sound: AsyncIterator[bytes]) -> None:
        try:
            async for piece in sound:
                self._heard += piece
                if not piece:
                    self._paused_bytes = len(self._heard)
                self._news.set()
        finally:
            self._news.set()

    def _due(self) -> bool:
        growth, now = self._ears.growth, asyncio.get_running_loop().time()
        if self._paused_bytes > self._asked_bytes:
            return not self._covered(self._paused_bytes)
        grown = self._ms(len(self._heard) - self._asked_bytes)
        enough = grown >= (growth.partial_ms if self._asked_bytes else growth.partial_after_ms)
        rested = now - self._answered_at >= growth.rest * self._took
        free = _Hearing.guesses == 0
        return enough and rested and free and not self._covered(len(self._heard))

    def _guess(self) -> None:
        _Hearing.guesses += 1
        self._ask(len(self._heard)).add_done_callback(_guessed)

    def _ask(self, until: int) -> asyncio.Task[Transcript]:
        news = _loudness(bytes(self._heard[min(self._asked_bytes, until) : until]))
        self._loudest = max(self._loudest, float(news.max(initial=0.0)))
        self._asked_bytes = until
        self._asked = asyncio.create_task(self._timed(wav(bytes(self._heard[: until - until % 2]))))
        self._asked.add_done_callback(lambda _: self._news.set())
        return self._asked

    async def _timed(self, audio: bytes) -> Transcript:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            return await self._ears.listen(audio, language=self._language)
        finally:
            self._answered_at = loop.time()
            self._took = self._answered_at - begun

    def _answer(self, asked: asyncio.Task[Transcript]) -> Hypothesis | None:
        """What a question that was answered tells; one that failed is no loss if it can be repeated."""
        self._asked = None
        if (error := asked.exception()) is not None:
            if not isinstance(error, AdapterError) or not error.retryable:
                raise error
            self._known = None
            return None
        self._known = asked.result()
        end_ms = self._begin_ms + self._ms(self._asked_bytes)
        return Hypothesis(self._known.text, False, self._begin_ms, end_ms) if self._known.text else None

    async def _finals(self, until: int) -> list[Hypothesis]:
        """What was said up to there, which is then done with."""
        transcript = await self._whole(until)
        begin_ms, end_ms = self._begin_ms, self._begin_ms + self._ms(until)
        del self._heard[:until]
        self._begin_ms, self._known, self._loudest = end_ms, None, 0.0
        self._asked_bytes = self._paused_bytes = 0
        if not transcript.segments:
            found = [(begin_ms, end_ms, transcript.text)]
        else:
            found = [
                (min(begin_ms + s.start_ms, end_ms), min(begin_ms + s.end_ms, end_ms), s.text)
                for s in transcript.segments
            ]
        return [Hypothesis(text.strip(), True, start, end) for start, end, text in found if text.strip()]

    async def _whole(self, until: int) -> Transcript:
        if until == 0:
            return Transcript("")
        asked = self._asked
        if asked is not None and not self._covered(until):
            asked.cancel()
            await asyncio.wait({asked})
        elif asked is not None:
            self._known = None
            with suppress(AdapterError):  # it is asked once more
                self._known = await asked
        if self._known is None or not self._covered(until):
            self._known = await self._ask(until)
        self._asked = None
        return self._known

    def _covered(self, until: int) -> bool:
        """Whether the last question was about all that was said up to there."""
        if self._asked_bytes > until or not self._asked_bytes:
            return False
        rest = _loudness(bytes(self._heard[self._asked_bytes : until]))
        return float(rest.max(initial=0.0)) <= SILENCE * self._loudest

    def _quietest(self) -> int:
        """Where to cut: in the middle of the quietest moment that is not too far back."""
        size = min(len(self._heard) // 2 * 2, self._ears.growth.longest_ms * BYTES_PER_MS)
        within = min(size, self._ears.growth.cut_within_ms * BYTES_PER_MS)
        loudness = _loudness(bytes(self._heard[size - within : size]))
        smooth = np.convolve(loudness, np.ones(5), "same")
        inner = smooth[2:-2] if smooth.size > 4 else smooth
        at = int(np.argmin(inner)) + (2 if smooth.size > 4 else 0)
        return size - within + (2 * at + 1) * WINDOW_MS * BYTES_PER_MS // 2

    @staticmethod
    def _ms(size: int) -> int:
        return size // BYTES_PER_MS


def _guessed(_: object) -> None:
    _Hearing.guesses -= 1


def wav(pcm16k: bytes) -> bytes:
    """A WAV file of 16 kHz mono s16le sound."""
    head = struct.pack("<4sI4s4sIHHII", b"RIFF", 36 + len(pcm16k), b"WAVE", b"fmt ", 16, 1, 1, RATE, RATE * 2)
    return head + struct.pack("<HH4sI", 2, 16, b"data", len(pcm16k)) + pcm16k


def _loudness(pcm16k: bytes) -> npt.NDArray[np.float64]:
    """The level of each 32 ms; what is left over counts as part of a moment of its own."""
    samples = np.frombuffer(pcm16k, "<i2", len(pcm16k) // 2).astype(np.float64)
    size = WINDOW_MS * RATE // 1000
    padded = np.concatenate((samples, np.zeros(-len(samples) % size)))
    levels: npt.NDArray[np.float64] = np.sqrt(np.mean(padded.reshape(-1, size) ** 2, axis=1))
    return levels
