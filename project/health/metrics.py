"""Figures of this process in Prometheus' text format."""

import resource
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_STARTED = time.time()

Sample = tuple[str, str, str, float]  # name, type, meaning, value
# Parts of the service that count something of their own add themselves here.
SOURCES: list[Callable[[], list[Sample]]] = []


def render() -> str:
    lines: list[str] = []
    told = ""
    # Those of one name stand together; what tells them apart is written in braces behind it.
    for name, kind, meaning, value in sorted(samples(), key=lambda sample: sample[0].partition("{")[0]):
        family = name.partition("{")[0]
        if family != told:
            lines += [f"# HELP {family} {meaning}", f"# TYPE {family} {kind}"]
            told = family
        lines.append(f"{name} {value:.10g}")
    return "\n".join(lines) + "\n"


def samples() -> list[Sample]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = used.ru_utime + used.ru_stime
    found: list[Sample] = [
        ("process_cpu_seconds_total", "counter", "CPU time spent, user and system", cpu),
        ("process_start_time_seconds", "gauge", "When this process began, in Unix seconds", _STARTED),
        ("process_resident_memory_bytes", "gauge", "Memory in use", _resident_bytes(used.ru_maxrss)),
        ("process_threads", "gauge", "Threads of this process", threading.active_count()),
    ]
    if (files := _open_files()) is not None:
        found.append(("process_open_fds", "gauge", "Open files and sockets", files))
    return [*found, *(sample for source in SOURCES for sample in source())]


def _resident_bytes(peak_kilobytes: int) -> int:
    """Present memory on Linux; elsewhere the peak, which is all the system tells."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    return peak_kilobytes * (1 if sys.platform == "darwin" else 1024)


def _open_files() -> int | None:
    folder = Path("/proc/self/fd")
    return sum(1 for _ in folder.iterdir()) if folder.exists() else None
