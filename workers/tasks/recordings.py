"""Recordings of sessions. The row is claimed, so a message that comes twice does its work once."""

from celery import shared_task

from project import context
from sessions.recording import assembling
from workers import dispatch


@shared_task(name=dispatch.RECORDING)
def assemble(recording_id: str) -> None:
    with context.about(recording=recording_id):
        assembling.assemble_recording(recording_id)
