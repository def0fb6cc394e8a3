"""Tells many watchers how clips go on, with one small query for all of them.

A watcher costs no thread and no connection: one task per event loop asks the database, every half a
second, for the revisions of all watched clips, and wakes those whose clip has changed.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar
from weakref import WeakKeyDictionary

from django.db import Error, close_old_connections

from generation.clips.models import Clip

POLL_SECONDS = 0.4
_log = logging.getLogger(__name__)
# Its own thread: those that Django lends to a request end with the request.
_database = ThreadPoolExecutor(1, thread_name_prefix="watching")
T = TypeVar("T")


async def in_database(work: Callable[[], T]) -> T:
    """Run a short query outside the event loop."""

    def run() -> T:
        close_old_connections()
        try:
            return work()
        finally:
            close_old_connections()

    return await asyncio.get_running_loop().run_in_executor(_database, run)


class Hub:
    """The watchers of one event loop."""

    def __init__(self) -> None:
        self._watchers: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._known: dict[str, int] = {}
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def watching(self, clip_id: str) -> Iterator[asyncio.Event]:
        """Give an event that is set whenever the clip may have changed, or is gone."""
        changed = asyncio.Event()
        self._watchers[clip_id].add(changed)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="watching clips")
        try:
            yield changed
        finally:
            self._watchers[clip_id].discard(changed)
            if not self._watchers[clip_id]:
                del self._watchers[clip_id]
                self._known.pop(clip_id, None)

    async def _run(self) -> None:
        """Look as long as anybody watches."""
        while self._watchers:
            try:
                await self._look()
            except Error as error:
                _log.warning("Watched clips cannot be read just now: %s", error)
            await asyncio.sleep(POLL_SECONDS)

    async def _look(self) -> None:
        ids = list(self._watchers)
        rows = Clip.objects.filter(pk__in=ids).values_list("pk", "revision")
        found = dict(await in_database(lambda: list(rows)))
        for clip_id in ids:
            revision = found.get(clip_id, -1)
            if clip_id in self._watchers and self._known.get(clip_id) != revision:
                self._known[clip_id] = revision
                for changed in self._watchers[clip_id]:
                    changed.set()


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def hub() -> Hub:
    """Return the hub of the running loop."""
    return _hubs.setdefault(asyncio.get_running_loop(), Hub())
