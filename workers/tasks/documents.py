"""Documents of personas. The row is claimed, so a message that comes twice does its work once."""

from celery import shared_task

from project import context
from sessions.knowledge import preparing
from workers import dispatch


@shared_task(name=dispatch.DOCUMENT)
def prepare(document_id: str) -> None:
    with context.about(document=document_id):
        preparing.prepare(document_id)
