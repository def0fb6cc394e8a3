"""How long background tasks wait in their queues, and how long they run. For Celery's workers."""

import time
from typing import Any

from celery.signals import task_postrun, task_prerun

from project.metrics import instruments

_running: dict[str, float] = {}


def count() -> None:
    """Measure every task of this worker from now on; called again it does nothing."""
    task_prerun.connect(_begins, dispatch_uid="figures")
    task_postrun.connect(_ended, dispatch_uid="figures")


def _begins(task_id: str, task: Any, **_: Any) -> None:
    _running[task_id] = time.perf_counter()
    published_at = getattr(task.request, "published_at", None)
    if isinstance(published_at, int | float):
        # Two machines' clocks: a little before it was sent is at once.
        instruments.task_wait.labels(task.name).observe(max(0.0, time.time() - published_at))


def _ended(task_id: str, task: Any, state: str | None = None, **_: Any) -> None:
    began = _running.pop(task_id, None)
    if began is not None:
        outcome = (state or "unknown").lower()
        instruments.task_seconds.labels(task.name, outcome).observe(time.perf_counter() - began)
