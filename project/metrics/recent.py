"""The worst of late, for whoever asks only now and then."""

import time
from collections import deque

REMEMBERED_SECONDS = 20.0
"""Longer than Prometheus' pause between two questions, or it would not see most of what happens."""


class Recent:
    """Keeps the worst values that were said in the last `REMEMBERED_SECONDS`."""

    def __init__(self) -> None:
        self._said: deque[tuple[float, float]] = deque()

    def worst(self, since_last: float) -> float:
        """Take the worst since this was last called, and return the worst of late."""
        now = time.monotonic()
        self._said.append((now, since_last))
        while self._said[0][0] < now - REMEMBERED_SECONDS:
            self._said.popleft()
        return max(value for _, value in self._said)
