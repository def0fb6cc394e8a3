"""What a task of a worker knows of whoever sent it: ids for its log lines, and the trace it belongs to.

Both travel as headers of the message. Connected to Celery's signals by being imported.
"""

import logging
import os
from contextlib import ExitStack
from typing import Any

from celery.signals import (
    before_task_publish,
    celeryd_init,
    setup_logging,
    task_postrun,
    task_prerun,
    worker_init,
    worker_process_init,
    worker_process_shutdown,
)
from django.conf import settings

from project import context, tracing
from workers import logs

IDS = "parley"
CARRIED = ("request_id", "session", "turn", "clip")
"""What is also the receiver's: a fragment or a task may be the sender's alone."""
TRACE = "traceparent"
_ID_CHARACTERS = 128
_running: dict[str, ExitStack] = {}


def headers() -> dict[str, Any]:
    """Return what a message takes along of what is known here."""
    told: dict[str, Any] = {}
    if known := {name: value for name, value in context.ids().items() if name in CARRIED}:
        told[IDS] = known
    if traceparent := tracing.current().traceparent:
        told[TRACE] = traceparent
    return told


def begin_process() -> None:
    """Have this process tell of itself: what nobody caught in its logs, and traces if they are wanted."""
    logs.catch()
    tracing.start(
        settings.OTEL_EXPORTER_OTLP_ENDPOINT,
        service=settings.OTEL_SERVICE_NAME,
        process=f"{settings.PROCESS_NAME}:{os.getpid()}",
        ratio=settings.OTEL_TRACES_SAMPLER_ARG,
        headers=settings.OTEL_EXPORTER_OTLP_HEADERS,
    )


@before_task_publish.connect
def _send(**told: Any) -> None:
    if isinstance(told.get("headers"), dict):
        told["headers"].update(headers())


@task_prerun.connect
def _begin(task_id: str, task: Any, **_: Any) -> None:
    request, entered = task.request, ExitStack()
    known = _decent(request.get(IDS)) | {"task": task.name.removeprefix("workers.tasks.")}
    entered.enter_context(context.only(**known))
    if isinstance(parent := request.get(TRACE), str):
        entered.enter_context(tracing.following(parent))
    _running[task_id] = entered


@task_postrun.connect
def _end(task_id: str, **_: Any) -> None:
    if (entered := _running.pop(task_id, None)) is not None:
        entered.close()


@setup_logging.connect
def _log(loglevel: Any = None, **_: Any) -> None:
    """Leave the handlers of the settings in place, and take the level of the command line."""
    if loglevel:
        logging.getLogger().setLevel(loglevel)


@celeryd_init.connect
def _catch(**_: Any) -> None:
    """Before Celery warns of anything."""
    logs.catch()


@worker_init.connect
@worker_process_init.connect
def _trace(**_: Any) -> None:
    begin_process()


@worker_process_shutdown.connect
def _send_last(**_: Any) -> None:
    tracing.stop()


def _decent(known: Any) -> dict[str, context.Id]:
    """Whoever can write to the broker shall not be able to write logs at will: nor a line's message."""
    if not isinstance(known, dict):
        return {}
    return {
        name: value[:_ID_CHARACTERS] if isinstance(value, str) else value
        for name, value in known.items()
        if name in CARRIED and isinstance(value, str | int)
    }
