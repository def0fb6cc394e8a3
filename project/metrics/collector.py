"""How long Python's collector of garbage holds a process up."""

import gc
import time

from django.conf import settings

from project.metrics import instruments, publishing
from project.metrics.recent import Recent


class Watch:
    """Counts how long collections take: the longest one, and all of them."""

    def __init__(self) -> None:
        self._began = 0.0
        self._longest = 0.0
        self._seconds = 0.0
        self._recent = Recent()
        self._total = publishing.Running(instruments.collector_seconds.labels(settings.PROCESS_NAME))
        # A collection may come while its thread holds the lock of a figure: only numbers are written here.
        gc.callbacks.append(self._called)
        publishing.SOURCES.append(self.say)

    def _called(self, phase: str, _: dict[str, int]) -> None:
        now = time.perf_counter()
        if phase == "start":
            self._began = now
            return
        took = now - self._began
        self._seconds += took
        self._longest = max(self._longest, took)

    def say(self) -> None:
        longest, self._longest = self._longest, 0.0
        instruments.collector_longest.labels(settings.PROCESS_NAME).set(self._recent.worst(longest))
        self._total.is_now(self._seconds)
