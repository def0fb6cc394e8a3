"""Live sessions, periodically: ending what nobody ends, and forgetting what had its time."""

from celery import shared_task

from sessions import reaping, upkeep


@shared_task(name="workers.tasks.sessions.reap")
def reap() -> None:
    reaping.reap()


@shared_task(name="workers.tasks.sessions.expire")
def expire() -> None:
    upkeep.expire()
