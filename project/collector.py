"""Python's collector of garbage, and how long it holds a process up.

A full collection looks at every object while nothing else runs: modules alone are 225,000 objects, which takes
150 ms and more. Every customer of the process sees that as one picture that stands.
"""

import gc
import time

from django.conf import settings

from project.metrics import instruments, publishing

GENERATIONS = 3
# Collections that look at the youngest objects only; Python's own 700 makes a full one of every 70,000 objects,
# which a second of talk allocates.
THRESHOLDS = (10_000, 20, 20)


def settle() -> None:
    """Never look again at what is here now. For objects that stay as long as the process: modules, above all."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)


class Watch:
    """Counts how long collections take: the longest one, and all of them."""

    def __init__(self) -> None:
        self._began = 0.0
        self._longest = 0.0
        self._seconds = 0.0
        self._total = publishing.Running(instruments.collector_seconds.labels(settings.PROCESS_NAME))
        # A collection may come while a figure is being written, whose lock its thread holds: only numbers here.
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
        instruments.collector_longest.labels(settings.PROCESS_NAME).set(longest)
        self._total.is_now(self._seconds)
