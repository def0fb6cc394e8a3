"""Sound that can be heard again: what somebody says, kept as long as nobody is sure of its words."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator

from workers.adapters.stt.base import BYTES_PER_MS


class Tape:
    """Takes sound in as it comes. Times in ms from its first sample.

    `begin_ms` is where the sound that is kept begins: after what is `forgotten`, and no longer than
    `keep_ms` back. `ended` is set when nothing more comes, at `ended_at` of `time.monotonic`.
    """

    def __init__(self, sound: AsyncIterator[bytes], *, keep_ms: int) -> None:
        self.ended = asyncio.Event()
        self.ended_at: float | None = None
        self._keep = keep_ms * BYTES_PER_MS
        self._begin = 0  # position, in bytes, of what is kept
        self._kept = bytearray()
        self._played = 0  # position up to which somebody heard it
        self._pauses = 0
        self._news = asyncio.Event()
        self._taking = asyncio.create_task(self._take(sound))

    @property
    def begin_ms(self) -> int:
        return self._begin // BYTES_PER_MS

    @property
    def kept_ms(self) -> int:
        return len(self._kept) // BYTES_PER_MS

    @property
    def played_ms(self) -> int:
        return self._played // BYTES_PER_MS

    async def play(self) -> AsyncGenerator[bytes, None]:
        """The sound from `begin_ms` on, and what comes. One listener at a time."""
        self._played, pauses = self._begin, self._pauses
        while True:
            self._news.clear()
            offset = max(0, self._played - self._begin)
            piece = bytes(self._kept[offset:])
            if piece:
                self._played = self._begin + len(self._kept)
                yield piece
            elif self._pauses > pauses:
                pauses = self._pauses
                yield b""
            elif self.ended.is_set():
                self._taking.result()
                return
            else:
                await self._news.wait()

    def forget(self, until_ms: int) -> None:
        """What was said up to there is known for certain."""
        self._drop(min(until_ms * BYTES_PER_MS, self._played))

    async def close(self) -> None:
        self._taking.cancel()
        await asyncio.gather(self._taking, return_exceptions=True)

    async def _take(self, sound: AsyncIterator[bytes]) -> None:
        try:
            async for piece in sound:
                self._kept += piece
                self._pauses += not piece
                self._drop(self._begin + len(self._kept) - self._keep)
                self._news.set()
        finally:
            self.ended_at = time.monotonic()
            self.ended.set()
            self._news.set()

    def _drop(self, until: int) -> None:
        if until > self._begin:
            until -= until % 2
            del self._kept[: until - self._begin]
            self._begin = until
