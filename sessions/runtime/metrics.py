"""Figures of the live sessions of this process: what its registries say stands now."""

from collections import Counter
from collections.abc import Callable

from django.conf import settings

from project.metrics import instruments
from project.metrics.publishing import SOURCES, Running

_STANDING = {
    "sessions": instruments.live_sessions,
    "peers": instruments.live_peers,
    "speaking": instruments.live_speaking,
    "tasks": instruments.live_tasks,
}

# Each registry of the process says what stands now, by the names above, and its `stalls`.
GAUGES: list[Callable[[], dict[str, float]]] = []
_stalls = Running(instruments.live_stalls)


def say() -> None:
    """Tell all of them together."""
    now: Counter[str] = Counter()
    for gauges in tuple(GAUGES):
        now.update(gauges())
    for name, gauge in _STANDING.items():
        gauge.labels(settings.PROCESS_NAME).set(now[name])
    _stalls.is_now(now["stalls"])


SOURCES.append(say)
