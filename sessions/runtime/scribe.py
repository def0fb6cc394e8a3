"""Writes down what sessions say and do, behind their backs: nothing that plays media waits for it.

Each kind of fact is kept once, in its latest form, until it is written; a database that is away
costs nothing but time.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from project import context
from project.stopping import stopped
from sessions.runtime.database import AWAY, in_database

_log = logging.getLogger(__name__)

GATHER_SECONDS = 0.05
RETRY_SECONDS = 1.0
LIMIT = 5_000

Write = Callable[[], Any]
Place = tuple[str, str, int]  # session, what, which


class Scribe:
    """One per process. `changed` hears when the database goes or comes back."""

    def __init__(self, changed: Callable[[bool], None]) -> None:
        self._changed = changed
        self._waiting: dict[Place, Write] = {}
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None
        self.available = True

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="live scribe")

    def write(self, place: Place, write: Write) -> None:
        """Have something written soon; a later call for the same place takes its turn over."""
        if place not in self._waiting and len(self._waiting) >= LIMIT:
            oldest = next(iter(self._waiting))
            _log.error("Too much waits for the database; %s of %s is lost", oldest[1], oldest[0])
            del self._waiting[oldest]
        self._waiting[place] = write
        self._idle.clear()
        self._wake.set()

    async def settled(self, seconds: float) -> bool:
        """Wait until everything is written, but not longer than that."""
        try:
            async with asyncio.timeout(seconds):
                return await self._idle.wait()
        except TimeoutError:
            return False

    async def close(self) -> None:
        if self._task is not None:
            await stopped([self._task])

    def said(self, *, available: bool, error: Exception | None = None) -> None:
        """Somebody found out how the database is."""
        if available == self.available:
            return
        self.available = available
        if available:
            _log.info("The database is back")
        else:
            _log.warning("The database is away: %s", type(error).__name__)
        self._changed(available)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._wake.clear()
            while self._waiting:
                await self._write_one()
            self._idle.set()

    async def _write_one(self) -> None:
        place = next(iter(self._waiting))
        write = self._waiting.pop(place)
        try:
            with context.about(session=place[0]):
                await in_database(write)
        except AWAY as error:
            self._waiting.setdefault(place, write)
            self.said(available=False, error=error)
            await asyncio.sleep(RETRY_SECONDS)
        except Exception:  # noqa: BLE001 - one fact that cannot be written must not keep the others
            _log.exception("%s of %s could not be written", place[1], place[0])
        else:
            self.said(available=True)
