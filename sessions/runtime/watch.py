"""Looks after the storage: nobody would notice that it is away until something has to be kept."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from storage.errors import StorageError
from storage.s3 import store

EVERY_SECONDS = 5.0
ANSWER_SECONDS = 3.0

# One question at a time: while one hangs, the next is not asked.
_thread = ThreadPoolExecutor(1, thread_name_prefix="live-storage")


class StorageWatch:
    """Asks now and then whether the storage answers, as long as somebody would care."""

    def __init__(self, *, wanted: Callable[[], bool], changed: Callable[[bool], None]) -> None:
        self._wanted, self._changed = wanted, changed
        self._asked: asyncio.Future[bool] | None = None
        self.available = True

    async def run(self) -> None:
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            if self._wanted():
                self._say(available=await self._answers())

    async def _answers(self) -> bool:
        if self._asked is None or self._asked.done():
            self._asked = asyncio.get_running_loop().run_in_executor(_thread, _check)
        done, _ = await asyncio.wait({self._asked}, timeout=ANSWER_SECONDS)
        return any(one.result() for one in done)

    def _say(self, *, available: bool) -> None:
        if available != self.available:
            self.available = available
            self._changed(available)


def _check() -> bool:
    try:
        store().check()
    except StorageError:
        return False
    return True
