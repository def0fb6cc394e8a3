"""The idle loops of this process: read once from storage, shared by every session that shows them."""

import asyncio
import contextlib
from collections import OrderedDict

from project import context
from project.errors import Unavailable
from rtc.frames import IdleLoop
from rtc.packets import MediaMalformed, access_units
from storage import keys
from storage.s3 import store

KEPT = 16  # about 1 MB each
LIMIT_BYTES = 64 * 1024 * 1024
READ_SECONDS = 5.0


class IdleLoops:
    """Those used last. Several sessions that begin at once read a loop once."""

    def __init__(self) -> None:
        self._loops: OrderedDict[str, asyncio.Task[IdleLoop]] = OrderedDict()

    async def get(self, key: str) -> IdleLoop:
        """Raises Unavailable or MediaMalformed; a loop that could not be read is tried again."""
        task = self._loops.get(key)
        if task is None:
            reading = asyncio.to_thread(_read, key)  # for every session that shows it
            task = asyncio.create_task(reading, name=f"idle loop {key}", context=context.blank())
            self._loops[key] = task
        done, _ = await asyncio.wait({task}, timeout=READ_SECONDS)
        if not done:  # it goes on, for whoever asks next
            raise Unavailable("The storage does not answer.", code="storage_unavailable")
        try:
            loop = task.result()
        except Exception:
            if self._loops.get(key) is task:
                del self._loops[key]
            raise
        self._keep(key)
        return loop

    async def rendition(self, key: str, low: bool) -> IdleLoop:
        """The loop, or the lighter one beside it; avatars of earlier versions have none."""
        if low:
            with contextlib.suppress(Unavailable, MediaMalformed):
                return await self.get(keys.idle_low(key))
        return await self.get(key)

    def _keep(self, key: str) -> None:
        if key in self._loops:
            self._loops.move_to_end(key)
        while len(self._loops) > KEPT:
            self._loops.popitem(last=False)


def _read(key: str) -> IdleLoop:
    return IdleLoop(access_units(store().get_bytes(key, LIMIT_BYTES)))
