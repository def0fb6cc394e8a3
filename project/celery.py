"""The Celery application: queues, routes and the periodic schedule.

`workers.dispatch` is the only place that publishes; `workers.tasks` the only place that consumes.
"""

import os
import time
from pathlib import Path
from typing import Any

from celery import Celery
from celery.signals import beat_init, before_task_publish, worker_init, worker_process_init, worker_ready
from django.conf import settings
from kombu import Queue

from project import carrying  # noqa: F401 - connects what messages carry

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")  # noqa: TID251 - Django's own bootstrap

GENERAL_QUEUES = ("speech", "media", "prepare", "webhooks", "maintenance")

app = Celery("parley")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    task_default_queue="maintenance",
    task_create_missing_queues=False,
    include=["workers.tasks"],
    worker_disable_prefetch=True,
    beat_schedule={
        "reconcile-clips": {
            "task": "workers.tasks.maintenance.reconcile",
            "schedule": 3.0,
            "options": {"queue": "maintenance", "expires": 10},
        },
        "deliver-webhooks": {
            "task": "workers.tasks.webhooks.deliver_due",
            "schedule": 5.0,
            "options": {"queue": "webhooks", "expires": 10},
        },
        "reap-sessions": {
            "task": "workers.tasks.sessions.reap",
            "schedule": 5.0,
            "options": {"queue": "maintenance", "expires": 10},
        },
        "expire-sessions": {
            "task": "workers.tasks.sessions.expire",
            "schedule": 300.0,
            "options": {"queue": "maintenance", "expires": 300},
        },
        "expire": {
            "task": "workers.tasks.maintenance.expire",
            "schedule": 600.0,
            "options": {"queue": "maintenance", "expires": 600},
        },
        "copy-voices": {
            "task": "workers.tasks.voices.reconcile",
            "schedule": 20.0,
            "options": {"queue": "maintenance", "expires": 20},
        },
        "list-voices": {
            "task": "workers.tasks.voices.list_voices",
            "schedule": 60.0,
            "options": {"queue": "maintenance", "expires": 60},
        },
        "probe-providers": {
            "task": "workers.tasks.voices.probe",
            "schedule": 60.0,
            "options": {"queue": "maintenance", "expires": 60},
        },
        "collect-orphans": {
            "task": "workers.tasks.maintenance.collect_orphans",
            "schedule": 6 * 3600.0,
            "options": {"queue": "maintenance", "expires": 3600},
        },
    },
)


def queues() -> tuple[str, ...]:
    """Every queue: those of all models, configured or not, and the general ones."""
    from workers import profiles  # noqa: PLC0415 - this module is loaded before the settings are

    models = profiles.profiles()
    return (*GENERAL_QUEUES, *(p.queue for p in models), *(p.live_queue for p in models))


@app.on_after_configure.connect
def _make_queues(sender: Celery, **_: Any) -> None:
    sender.conf.task_queues = [Queue(name) for name in queues()]


@before_task_publish.connect
def _stamp(headers: dict[str, Any], **_: Any) -> None:
    """Whoever takes it can tell how long it waited."""
    headers["published_at"] = time.time()


@worker_init.connect
@beat_init.connect
def _count(**_: Any) -> None:
    # Only now: where figures are kept is a setting.
    from project.metrics import exporter, publishing, tasks  # noqa: PLC0415

    tasks.count()
    publishing.start()
    exporter.begin()


@worker_process_init.connect
def _publish(**_: Any) -> None:
    """A pool of processes works in its children: what they use is theirs to tell."""
    from project.metrics import publishing  # noqa: PLC0415 - as above

    publishing.start()


@worker_ready.connect
@beat_init.connect
def _say_ready(**_: Any) -> None:
    """Tell whoever started us that tasks are taken (or sent) from now on."""
    if settings.READY_FILE:
        Path(settings.READY_FILE).touch()
