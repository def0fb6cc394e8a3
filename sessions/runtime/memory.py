"""Gives memory of sessions that ended back to the system.

The C library keeps what was freed in pieces between what is still used, and would keep it for good;
many short sessions would look like a leak, and take memory from other processes.
"""

import asyncio
import ctypes
from collections.abc import Callable
from functools import cache

EVERY_SECONDS = 20


class Trimmer:
    """Trims now and then, as long as sessions end."""

    def __init__(self, ended: Callable[[], int]) -> None:
        self._ended = ended
        self._trimmed_at = ended()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            if self._ended() != self._trimmed_at:
                self._trimmed_at = self._ended()
                await asyncio.to_thread(trim)  # some milliseconds, without Python's lock


def trim() -> None:
    library = _library()
    if library is not None:
        library.malloc_trim(0)


@cache
def _library() -> ctypes.CDLL | None:
    """The C library, if it is one that can do this (glibc)."""
    library = ctypes.CDLL(None)
    return library if hasattr(library, "malloc_trim") else None
