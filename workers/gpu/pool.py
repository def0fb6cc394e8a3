"""The threads of a render worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery.concurrency.thread import TaskPool
from kombu.asynchronous import get_event_loop

POOL = "workers.gpu.pool:Threads"


class Threads(TaskPool):
    """Celery's thread pool, which also says at once when a thread is free.

    A worker asks the broker for a message only while a thread is free, and looks whether one is when
    something else wakes it, up to a second later: a live request would wait that long beside a free thread.
    """

    def on_apply(
        self,
        target: Callable[..., Any],
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
        callback: Callable[..., Any] | None = None,
        accept_callback: Callable[..., Any] | None = None,
        **_: Any,
    ) -> Any:
        made = super().on_apply(target, args, kwargs, callback, accept_callback)
        made.f.add_done_callback(_wake)
        return made


def _wake(_: object) -> None:
    hub = get_event_loop()
    if hub is not None:
        hub.call_soon(_nothing)


def _nothing() -> None:
    """The loop turns, that is all."""
