"""Recognisers that hear a script while somebody speaks, and break where they are told to."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass

from workers.adapters.errors import AdapterError
from workers.adapters.stt.base import BYTES_PER_MS, Hypothesis, Segment
from workers.adapters.stt.recordings import Recordings


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence that is said from one ms of the sound to another."""

    start_ms: int
    end_ms: int
    text: str


class Streamed(Recordings):
    """Knows what is said when in the sound, from where it was given it; one word at a time.

    A sentence is final `silence_ms` after its end, and all are when the sound is over. `opened` are the
    lengths in ms of what was heard each time, `running` how many streams are open. `breaks` tells what
    happens in each stream: an error after so many ms of sound, or `None`.
    """

    def __init__(self, provider: str, lines: Sequence[Line], *, silence_ms: int = 400) -> None:
        self.provider = provider
        self.lines = list(lines)
        self.silence_ms = silence_ms
        self.opened: list[int] = []
        self.languages: list[str] = []
        self.running = self.pauses = self.cancelled = 0
        self.breaks: list[tuple[int, AdapterError | None] | None] = []
        self.final_seconds = 0.0
        self.skipped_ms = 0  # of the whole sound, before what is given; told by tests

    async def hear(
        self, sound: AsyncIterator[bytes], *, language: str = ""
    ) -> AsyncGenerator[Hypothesis, None]:
        self.opened.append(0)
        self.languages.append(language)
        self.running += 1
        try:
            breaks = self.breaks.pop(0) if self.breaks else None
            async for hypothesis in self._told(sound, breaks):
                yield hypothesis
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled += 1
            raise
        finally:
            self.running -= 1

    async def _told(
        self, sound: AsyncIterator[bytes], breaks: tuple[int, AdapterError | None] | None
    ) -> AsyncGenerator[Hypothesis, None]:
        told, size = "", 0
        open_lines = [line for line in self.lines if line.end_ms > self.skipped_ms]
        async for piece in sound:
            self.pauses += not piece
            size += len(piece)
            self.opened[-1] = size // BYTES_PER_MS
            if breaks is not None and self.opened[-1] >= breaks[0]:
                await self._break(breaks[1])
            now = self.skipped_ms + self.opened[-1]
            while open_lines and now >= open_lines[0].end_ms + self.silence_ms:
                yield self._final(open_lines.pop(0))
                told = ""
            if open_lines and (text := _so_far(open_lines[0], now)) not in ("", told):
                told = text
                yield Hypothesis(text, False, self._from(open_lines[0].start_ms), self.opened[-1])
        await asyncio.sleep(self.final_seconds)
        for line in open_lines:
            if line.start_ms < self.skipped_ms + self.opened[-1]:
                yield self._final(line)

    async def _break(self, error: AdapterError | None) -> None:
        if error is not None:
            raise error
        await asyncio.Event().wait()

    def _final(self, line: Line) -> Hypothesis:
        start, end = self._from(line.start_ms), min(self._from(line.end_ms), self.opened[-1])
        text = _so_far(line, self.skipped_ms + end)
        words = tuple(
            Segment(max(0, s - self.skipped_ms), e - self.skipped_ms, w) for w, s, e in _timed(line)
        )
        return Hypothesis(text, True, start, end, words[: len(text.split())])

    def _from(self, ms: int) -> int:
        return max(0, ms - self.skipped_ms)


def _timed(line: Line) -> list[tuple[str, int, int]]:
    words = line.text.split()
    each = (line.end_ms - line.start_ms) / len(words)
    return [
        (word, line.start_ms + int(each * n), line.start_ms + int(each * (n + 1)))
        for n, word in enumerate(words)
    ]


def _so_far(line: Line, ms: int) -> str:
    return " ".join(word for word, _, end in _timed(line) if end <= ms)
