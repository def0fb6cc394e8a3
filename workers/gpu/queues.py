"""In which order a render worker takes from its queues: whatever somebody waits for goes first.

Kombu asks for messages one at a time, naming the queues in this order, and the broker gives the first one
there is. So a live request waits only for a thread that is free: for one fragment at most.
"""

from __future__ import annotations

from collections.abc import Iterable

from celery import Celery
from kombu import Queue

ORDER = "workers.gpu.queues:LiveFirst"


def live_first(app: Celery, own: str) -> None:
    """Have this process take what is live first, also from a queue of its `own`."""
    app.conf.broker_transport_options = {**app.conf.broker_transport_options, "queue_order_strategy": ORDER}
    app.amqp.queues.add(Queue(own))


def rank(queue: str) -> int:
    """The worker's own queue, then live ones, then the rest."""
    return 0 if queue.startswith("worker.") else 1 if queue.startswith("live.") else 2


def ordered(queues: Iterable[str]) -> list[str]:
    return sorted(queues, key=rank)


class LiveFirst:
    """Kombu's `queue_order_strategy`: ranks in strict order, and queues of one rank take turns."""

    def __init__(self) -> None:
        self._queues: list[str] = []

    def update(self, queues: Iterable[str]) -> None:
        """These are consumed from now on."""
        now = list(queues)
        self._queues = [queue for queue in self._queues if queue in now]
        self._queues += [queue for queue in now if queue not in self._queues]

    def consume(self, count: int) -> list[str]:
        """Return the queues in the order to ask them in."""
        return ordered(self._queues)[:count]

    def rotate(self, last_used: str) -> str:
        """The one that was just served comes last among its equals."""
        if last_used in self._queues:
            self._queues.remove(last_used)
            self._queues.append(last_used)
        return last_used
