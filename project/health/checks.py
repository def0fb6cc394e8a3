"""Whether the parts that we depend on answer, each within a short time."""

import functools
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass

import redis
from django.conf import settings
from django.db import connection

from storage.s3 import store

DEADLINE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Check:
    """One part: whether it answered, after how long, and what went wrong."""

    name: str
    ok: bool
    took_ms: int
    error: str = ""


def run() -> list[Check]:
    """Ask every part at once; whatever has not answered by the deadline counts as away."""
    started = time.monotonic()
    asked = {name: _threads().submit(_timed, probe) for name, probe in PROBES.items()}
    return [_result(name, future, started + DEADLINE_SECONDS) for name, future in asked.items()]


def _result(name: str, future: "Future[int]", deadline: float) -> Check:
    try:
        return Check(name, ok=True, took_ms=future.result(timeout=max(0.0, deadline - time.monotonic())))
    except FutureTimeoutError:
        return Check(name, ok=False, took_ms=round(DEADLINE_SECONDS * 1000), error="no answer in time")
    except Exception as exc:  # noqa: BLE001 - whatever a driver raises, the answer is "not ready"
        return Check(name, ok=False, took_ms=0, error=f"{type(exc).__name__}: {exc}"[:300])


def _timed(probe: Callable[[], None]) -> int:
    started = time.monotonic()
    probe()
    return round((time.monotonic() - started) * 1000)


def _database() -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        connection.close()  # this thread's own; no request will close it


def _broker() -> None:
    _redis().ping()


def _storage() -> None:
    store().check()


@functools.cache
def _redis() -> "redis.Redis":
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=DEADLINE_SECONDS, socket_connect_timeout=DEADLINE_SECONDS
    )


@functools.cache
def _threads() -> ThreadPoolExecutor:
    # A part that hangs keeps a thread; more than these are never lost to it.
    return ThreadPoolExecutor(max_workers=9, thread_name_prefix="ready")


PROBES: dict[str, Callable[[], None]] = {"database": _database, "broker": _broker, "storage": _storage}
