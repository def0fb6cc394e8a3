"""How late an event loop is, and how many tasks it has."""

import asyncio
import time

from django.conf import settings

from project.metrics import instruments, publishing
from project.metrics.recent import Recent

EVERY_SECONDS = 0.25


class Probe:
    """Asks to be called again and again, and sees how much later that happens. Made on its loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._worst = 0.0
        self._recent = Recent()
        self._due = time.monotonic()
        publishing.SOURCES.append(self.say)
        self._called()

    def _called(self) -> None:
        now = time.monotonic()
        self._worst = max(self._worst, now - self._due)
        self._due = now + EVERY_SECONDS
        self._loop.call_later(EVERY_SECONDS, self._called)

    def say(self) -> None:
        now = time.monotonic()
        worst, self._worst = self._worst, 0.0
        # Stuck as it is being asked: what it is late already counts.
        worst = self._recent.worst(max(worst, now - self._due))
        instruments.loop_lag.labels(settings.PROCESS_NAME).set(worst)
        instruments.loop_tasks.labels(settings.PROCESS_NAME).set(len(asyncio.all_tasks(self._loop)))
