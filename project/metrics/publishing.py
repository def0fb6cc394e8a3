"""What is said every few seconds instead of at each event: what processes use, and what hot paths count."""

import atexit
import logging
import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

from django.conf import settings
from prometheus_client import Counter

from project.metrics import instruments

EVERY_SECONDS = 5.0

_log = logging.getLogger(__name__)
_BEGAN = time.time()
_lock = threading.Lock()
_started = threading.Event()

# Parts of the service that count something in plain numbers say it here; each call is short and asks nobody.
SOURCES: list[Callable[[], None]] = []


class Running:
    """A counter whose total is kept elsewhere: only what came since the last time is added."""

    def __init__(self, counter: Counter) -> None:
        self._counter, self._told = counter, 0.0

    def is_now(self, total: float) -> None:
        """Say the total. One that is smaller than the last began anew."""
        grown = total - self._told if total >= self._told else total
        self._told = total
        if grown > 0:
            self._counter.inc(grown)


def start() -> None:
    """Publish from now on, until this process ends; called again it does nothing."""
    if _started.is_set():
        return
    with _lock:
        if _started.is_set():
            return
        _started.set()
        threading.Thread(target=_run, name="figures", daemon=True).start()
        atexit.register(publish)


def publish() -> None:
    """Say everything now. What fails is logged, and keeps nobody else from it."""
    with _lock:
        for source in (_process, *SOURCES):
            try:
                source()
            except Exception:  # noqa: BLE001 - figures never fail the work
                _log.exception("Some figures cannot be told")


def _run() -> None:
    while True:
        publish()
        time.sleep(EVERY_SECONDS)


@cache
def _cpu() -> Running:
    return Running(instruments.process_cpu.labels(settings.PROCESS_NAME))


def _process() -> None:
    name, used = settings.PROCESS_NAME, resource.getrusage(resource.RUSAGE_SELF)
    _cpu().is_now(used.ru_utime + used.ru_stime)
    instruments.process_start.labels(name).set(_BEGAN)
    instruments.process_memory.labels(name).set(_resident_bytes(used.ru_maxrss))
    instruments.process_threads.labels(name).set(threading.active_count())
    if (files := _open_files()) is not None:
        instruments.process_fds.labels(name).set(files)
        instruments.process_max_fds.labels(name).set(_most_files())


def _resident_bytes(peak_kilobytes: int) -> int:
    """Present memory on Linux; elsewhere the peak, which is all the system tells."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    return peak_kilobytes * (1 if sys.platform == "darwin" else 1024)


def _open_files() -> int | None:
    try:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - ten times as fast where there are thousands
    except OSError:
        return None


def _most_files() -> float:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return float("inf") if most == resource.RLIM_INFINITY else float(most)


def _begin_anew() -> None:
    """In the child of a fork, which has this thread alone."""
    _lock.release()
    _started.clear()


# Nobody is in the middle of telling while a process forks: the child would wait for its locks for ever.
os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_begin_anew)
