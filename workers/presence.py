"""Which workers are there: each says so in Redis every few seconds, and is forgotten soon after.

Asking Celery's own control channel takes a second and goes unanswered by a worker that is busy.
"""

import json
import logging
import threading
from dataclasses import dataclass
from typing import Any

import redis
from celery.signals import worker_ready, worker_shutting_down
from django.conf import settings

KEY = "workers:"
INTERVAL_SECONDS = 5.0
FORGOTTEN_SECONDS = 16
SOCKET_TIMEOUT_SECONDS = 2

_log = logging.getLogger(__name__)
_leaving = threading.Event()


@dataclass(frozen=True, slots=True)
class Worker:
    name: str
    queues: tuple[str, ...]
    slots: int


def present() -> list[Worker]:
    """Return the workers that said so lately. Raises `redis.RedisError` while the broker is away."""
    client = _client()
    names = list(client.scan_iter(f"{KEY}*", count=500))
    said = client.mget(names) if names else []
    return [_worker(raw) for raw in said if isinstance(raw, bytes)]


def slots() -> dict[str, int]:
    """Count, for each queue, the tasks that can run at once."""
    total: dict[str, int] = {}
    for worker in present():
        for queue in worker.queues:
            total[queue] = total.get(queue, 0) + worker.slots
    return total


def announce(name: str, queues: tuple[str, ...], count: int) -> None:
    said = json.dumps({"name": name, "queues": queues, "slots": count})
    _client().set(f"{KEY}{name}", said, ex=FORGOTTEN_SECONDS)


def _worker(raw: bytes) -> Worker:
    said = json.loads(raw)
    return Worker(said["name"], tuple(said["queues"]), int(said["slots"]))


def _client() -> "redis.Redis":
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_connect_timeout=SOCKET_TIMEOUT_SECONDS,
        socket_timeout=SOCKET_TIMEOUT_SECONDS,
    )


@worker_ready.connect
def _begin(sender: Any, **_: Any) -> None:
    queues = tuple(sender.app.amqp.queues.consume_from)
    slots_here = int(sender.pool.num_processes or 1)
    name = str(sender.hostname)
    threading.Thread(
        target=_keep_saying, args=(name, queues, slots_here), name="presence", daemon=True
    ).start()


@worker_shutting_down.connect
def _end(**_: Any) -> None:
    _leaving.set()


def _keep_saying(name: str, queues: tuple[str, ...], count: int) -> None:
    while True:
        try:
            announce(name, queues, count)
        except redis.RedisError as error:
            _log.debug("The broker did not hear that we are here: %s", error)
        if _leaving.wait(INTERVAL_SECONDS):
            return
