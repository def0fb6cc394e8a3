"""Which workers are there: each says so in Redis every few seconds, and is forgotten soon after.

Asking Celery's own control channel takes a second and goes unanswered by a worker that is busy.
"""

import json
import logging
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import redis
from celery.signals import worker_ready, worker_shutting_down
from django.conf import settings

from workers import profiles
from workers.gpu import current, figures

KEY = "workers:"
LIVE = "live:workers:"  # + queue: how many sessions each worker carries, and until when that is known
OWN = "worker."  # + its name: the queue of one worker
INTERVAL_SECONDS = 5.0
AGAIN_SECONDS = 0.5
FORGOTTEN_SECONDS = 16
SOCKET_TIMEOUT_SECONDS = 2

_ABOUT = ("device", "title", "memory_mb", "free_mb", "models")

_log = logging.getLogger(__name__)
_leaving = threading.Event()


@dataclass(frozen=True, slots=True)
class Worker:
    """`slots` says for each queue how many tasks (of a live queue, sessions) it takes at once.

    A worker that renders also says on which `device` (`title` is what people call it), how much memory its
    networks may take there and how much of that is free, and for each model `fps` and `first_frame_ms`
    (None until it drew), `problem`, which is empty while the model works there, and `down`: whether it was
    tried and takes no sessions there for now.
    """

    name: str
    slots: Mapping[str, int]
    device: str = ""
    title: str = ""
    memory_mb: int = 0
    free_mb: int = 0
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def present() -> list[Worker]:
    """Return the workers that said so lately. Raises `redis.RedisError` while the broker is away."""
    client = _client()
    names = list(client.scan_iter(f"{KEY}*", count=500))
    said = client.mget(names) if names else []
    return [_worker(raw) for raw in said if isinstance(raw, bytes)]


def leaving() -> bool:
    """Whether this worker was told to stop."""
    return _leaving.is_set()


def slots() -> dict[str, int]:
    """Count, for each queue, the tasks (of a live queue, the sessions) that all workers take at once."""
    total: dict[str, int] = {}
    for worker in present():
        for queue, count in worker.slots.items():
            total[queue] = total.get(queue, 0) + count
    return total


def announce(
    name: str, slots: Mapping[str, int], about: Mapping[str, Any] | None = None, *, gone: Iterable[str] = ()
) -> None:
    """Say that a worker is there. Live queues have a hash each, which `workers.live.slots` adds up.

    `about` holds the other fields of `Worker`; `gone` are live queues that it takes nothing from any more.
    """
    client = _client()
    seconds, _ = client.time()  # the broker's clock: it is the one that everybody shares
    said = client.pipeline(transaction=False)
    told = {**(about or {}), "name": name, "slots": dict(slots)}
    said.set(f"{KEY}{name}", json.dumps(told), ex=FORGOTTEN_SECONDS)
    for queue in _live(slots):
        known_until = (seconds + FORGOTTEN_SECONDS) * 1000
        said.hset(f"{LIVE}{queue}", name, f"{slots[queue]}:{known_until}")
        said.expire(f"{LIVE}{queue}", FORGOTTEN_SECONDS)
    for queue in gone:
        said.hdel(f"{LIVE}{queue}", name)
    said.execute()


def leave(name: str, slots: Mapping[str, int]) -> None:
    """Say that a worker goes, so that nobody counts on it."""
    said = _client().pipeline(transaction=False)
    said.delete(f"{KEY}{name}")
    for queue in _live(slots):
        said.hdel(f"{LIVE}{queue}", name)
    said.execute()


def capacity(queues: Iterable[str], tasks: int) -> dict[str, int]:
    """What a worker of these queues takes at once: `tasks`, or as many sessions as its model allows."""
    models = {profile.live_queue: profile for profile in profiles.profiles()}
    return {
        queue: (settings.LIVE_SLOTS or models[queue].live_slots) if queue in models else tasks
        for queue in queues
        if not queue.startswith(OWN)
    }


def about(queues: Iterable[str]) -> dict[str, Any]:
    """What this process says of itself beside its slots; nothing where it renders nothing."""
    served = {p.id for p in profiles.profiles() if {p.queue, p.live_queue} & set(queues)}
    if not served:
        return {}
    host = current.host()
    models = {model: figures.figure(model) for model in sorted(served | figures.known())}
    return {
        "device": host.device,
        "title": host.title,
        "memory_mb": host.memory_mb,
        "free_mb": host.free_mb,
        "models": {
            model: {
                "fps": it.fps,
                "first_frame_ms": it.first_frame_ms,
                "problem": it.problem,
                "down": it.down,
            }
            for model, it in models.items()
        },
    }


def able(slots: Mapping[str, int]) -> dict[str, int]:
    """The slots without those of models that do not work here now: their sessions go elsewhere."""
    down = {p.live_queue for p in profiles.profiles() if figures.figure(p.id).down}
    return {queue: count for queue, count in slots.items() if queue not in down}


def _live(slots: Mapping[str, int]) -> set[str]:
    return {profile.live_queue for profile in profiles.profiles()} & set(slots)


def _worker(raw: bytes) -> Worker:
    said = json.loads(raw)
    slots = {queue: int(count) for queue, count in said["slots"].items()}
    about = {name: said[name] for name in _ABOUT if name in said}
    return Worker(said["name"], slots, **about)


def _client() -> "redis.Redis":
    return _kept(settings.REDIS_URL)


@cache
def _kept(url: str) -> "redis.Redis":
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=SOCKET_TIMEOUT_SECONDS,
        socket_timeout=SOCKET_TIMEOUT_SECONDS,
    )


@worker_ready.connect
def _begin(sender: Any, **_: Any) -> None:
    here = capacity(sender.app.amqp.queues.consume_from, int(sender.pool.num_processes or 1))
    threading.Thread(
        target=_keep_saying, args=(str(sender.hostname), here), name="presence", daemon=True
    ).start()


@worker_shutting_down.connect
def _end(**_: Any) -> None:
    _leaving.set()


def _keep_saying(name: str, slots: Mapping[str, int]) -> None:
    pause = 0.0
    while not _leaving.wait(pause):
        pause = INTERVAL_SECONDS
        try:
            now = able(slots)
            announce(name, now, about(slots), gone=set(slots) - set(now))
        except redis.RedisError as error:
            _log.debug("The broker did not hear that we are here: %s", error)
            pause = AGAIN_SECONDS  # once it is back, sessions wait to hear of us
    with suppress(redis.RedisError):
        leave(name, slots)
