"""Celery entry points of the catalogue."""

from celery import shared_task

from generation.avatars import preparation


@shared_task(name="workers.tasks.avatars.prepare", queue="prepare")
def prepare(avatar_id: str) -> None:
    preparation.prepare(avatar_id)
