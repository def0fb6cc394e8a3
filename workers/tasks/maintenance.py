"""What has to be done again and again, whatever happened to messages and workers."""

from celery import shared_task

from generation import upkeep
from generation.clips import reconciling
from sessions.knowledge import upkeep as documents
from sessions.recording import upkeep as recording


@shared_task(name="workers.tasks.maintenance.reconcile")
def reconcile() -> None:
    reconciling.reconcile()
    upkeep.reconcile_preparations()
    recording.reconcile()
    documents.reconcile()


@shared_task(name="workers.tasks.maintenance.expire")
def expire() -> None:
    upkeep.expire()


@shared_task(name="workers.tasks.maintenance.collect_orphans")
def collect_orphans() -> None:
    upkeep.collect_orphans()
    recording.collect_orphans()
    documents.collect_orphans()
