"""Celery entry points of the catalogue."""

from celery import shared_task

from generation.avatars import preparation
from project import context


@shared_task(name="workers.tasks.avatars.prepare", queue="prepare")
def prepare(avatar_id: str) -> None:
    with context.about(avatar=avatar_id):
        preparation.prepare(avatar_id)
