"""From a checked wish to pieces of speech, a sentence at a time and the urgent ones first."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Executor
from typing import TypeVar

from workers.speechd.mouth import Mouth, Piece
from workers.speechd.requests import SpeechWish
from workers.speechd.turnstile import Turnstile

T = TypeVar("T")


class Speaking:
    """The one thread that speaks, and the queue in front of it."""

    def __init__(self, mouth: Mouth, thread: Executor, queue: Turnstile) -> None:
        self._mouth = mouth
        self._thread = thread
        self._queue = queue

    @property
    def waiting(self) -> int:
        """Sentences that wait for their turn."""
        return self._queue.waiting

    async def pieces(self, wish: SpeechWish) -> AsyncGenerator[Piece, None]:
        """Every sentence as soon as it was said; a caller that goes away leaves its place."""
        lines = await self._in_turn(wish.priority, lambda: self._mouth.read(wish.text, wish.voice))
        for line in lines:
            yield await self._in_turn(
                wish.priority,
                lambda line=line: self._mouth.say(line, wish.voice, wish.speed),  # type: ignore[misc]
            )

    async def _in_turn(self, priority: int, work: Callable[[], T]) -> T:
        """Run work on the thread. When the caller is cancelled, the turn still ends with the work."""
        async with self._queue.turn(priority):
            running = asyncio.get_running_loop().run_in_executor(self._thread, work)
            try:
                return await asyncio.shield(running)
            except asyncio.CancelledError:
                await asyncio.wait([running])
                raise
