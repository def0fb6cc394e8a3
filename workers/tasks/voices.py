"""Celery entry points of voices and their providers."""

from celery import shared_task

from generation.providers import cloning, listing, probing
from project import context


@shared_task(name="workers.tasks.voices.clone", queue="media")
def clone(voice_id: str) -> None:
    with context.about(voice=voice_id):
        cloning.work(voice_id)


@shared_task(name="workers.tasks.voices.reconcile")
def reconcile() -> None:
    cloning.reconcile()


@shared_task(name="workers.tasks.voices.list_voices")
def list_voices() -> None:
    listing.refresh()


@shared_task(name="workers.tasks.voices.probe")
def probe() -> None:
    probing.probe()
