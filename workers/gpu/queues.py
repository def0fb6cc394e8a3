"""In which order a render worker takes from its queues: whatever somebody waits for goes first.

Kombu asks for messages one at a time, naming the queues in this order, and the broker gives the first one
there is. So a live request waits only for a thread that is free: for one fragment at most.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kombu.utils.scheduling import round_robin_cycle

ORDER = "workers.gpu.queues:LiveFirst"


def rank(queue: str) -> int:
    """The worker's own queue, then live ones, then the rest."""
    return 0 if queue.startswith("worker.") else 1 if queue.startswith("live.") else 2


def ordered(queues: Iterable[str]) -> list[str]:
    return sorted(queues, key=rank)


class LiveFirst(round_robin_cycle[str]):
    """Ranks go in strict order; queues of one rank take turns: the one served last is last among equals."""

    def consume(self, n: int) -> Any:
        """Return the queues in the order to ask them in."""
        return ordered((self.items or [])[:n])
