"""How the providers did, of all processes together.

Each process writes its own figures to Redis from a thread of its own: small, expiring, and never in the
way of the work. Whoever asks merges them.
"""

import json
import logging
import os
import socket
import statistics
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import redis
from django.conf import settings

from project.metrics import instruments
from workers.adapters import health
from workers.adapters.breaker import breaker

KEY = "providers:health"
EVERY_SECONDS = 5.0
REPEAT_SECONDS = 60.0
KEPT_SECONDS = 3600
SOCKET_SECONDS = 2.0

_log = logging.getLogger(__name__)
_lock = threading.Lock()
_started = threading.Event()


@dataclass(frozen=True, slots=True)
class Figures:
    """One provider at one kind of work, in all processes. Moments are Unix seconds; 0 for never."""

    served: int
    failed: int
    last_error_code: str
    last_error_at: float
    last_served_at: float
    median_first_ms: float | None
    breaker_open: bool


def start() -> None:
    """Publish from now on in this process; called again it does nothing."""
    if _started.is_set():
        return
    with _lock:
        if not _started.is_set():
            threading.Thread(target=_run, name="provider figures", daemon=True).start()
            _started.set()


def publish() -> None:
    """Write this process's figures down. Raises `redis.RedisError`."""
    told = json.dumps({"at": time.time(), "rows": _rows()})
    with client().pipeline(transaction=False) as pipe:
        pipe.hset(KEY, _name(), told)
        pipe.expire(KEY, KEPT_SECONDS)
        pipe.execute()


def merged() -> dict[tuple[str, str], Figures]:
    """The figures of all processes by kind and provider; this process's alone while Redis is away."""
    try:
        told: dict[Any, Any] = client().hgetall(KEY)
    except redis.RedisError:
        told = {}
    rows = [row for name, raw in told.items() if name.decode() != _name() for row in _recent(name, raw)]
    return _merged([*rows, *_rows()])


def count(kind: str, provider: str, first_ms: float | None) -> None:
    """Count an answer that began after so long, or a failure, for Prometheus."""
    if first_ms is None:
        instruments.provider_failures.labels(kind, provider).inc()
        return
    instruments.provider_requests.labels(kind, provider).inc()
    instruments.provider_answer.labels(kind, provider).observe(first_ms / 1000)


def say() -> None:
    """Tell Prometheus what stands now."""
    for row in health.snapshot():
        is_open = breaker(row.kind, row.provider).open
        instruments.provider_breaker.labels(row.kind, row.provider).set(is_open)
        if row.median_first_ms is not None:
            instruments.provider_first.labels(row.kind, row.provider).set(row.median_first_ms / 1000)


def _recent(name: bytes, raw: bytes) -> list[dict[str, Any]]:
    content = json.loads(raw)
    if content["at"] < time.time() - KEPT_SECONDS:
        client().hdel(KEY, name)
        return []
    rows: list[dict[str, Any]] = content["rows"]
    return rows


def _rows() -> list[dict[str, Any]]:
    return [asdict(row) | {"breaker_open": breaker(row.kind, row.provider).open} for row in health.snapshot()]


def _merged(rows: Iterable[dict[str, Any]]) -> dict[tuple[str, str], Figures]:
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["kind"], row["provider"]), []).append(row)
    return {key: _figures(group) for key, group in found.items()}


def _figures(rows: list[dict[str, Any]]) -> Figures:
    worst = max(rows, key=lambda row: float(row["last_error_at"]))
    return Figures(
        served=sum(row["served"] for row in rows),
        failed=sum(row["failed"] for row in rows),
        last_error_code=worst["last_error_code"],
        last_error_at=worst["last_error_at"],
        last_served_at=max(row["last_served_at"] for row in rows),
        median_first_ms=_median(rows),
        breaker_open=any(row["breaker_open"] for row in rows),
    )


def _median(rows: list[dict[str, Any]]) -> float | None:
    """The medians of the processes, each as often as it has answers behind it."""
    counted = [
        median
        for row in rows
        if (median := row["median_first_ms"]) is not None
        for _ in range(min(row["served"], health.REMEMBERED))
    ]
    return statistics.median(counted) if counted else None


def _run() -> None:
    last, written = "", 0.0
    while True:
        time.sleep(EVERY_SECONDS)
        now = json.dumps(_rows())
        if now == "[]" or (now == last and time.monotonic() < written + REPEAT_SECONDS):
            continue
        try:
            publish()
            last, written = now, time.monotonic()
        except redis.RedisError:
            _log.debug("The figures of the providers cannot be told", exc_info=True)


def _name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


@cache
def client() -> "redis.Redis":
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=SOCKET_SECONDS, socket_connect_timeout=SOCKET_SECONDS
    )


os.register_at_fork(after_in_child=_started.clear)
