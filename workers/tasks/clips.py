"""The stages of a clip. Each claims its row, so a message that comes twice does its work once."""

from celery import shared_task

from generation.clips import assembling, rendering, speaking
from workers import dispatch


@shared_task(name=dispatch.SPEAK)
def speak(clip_id: str) -> None:
    speaking.speak(clip_id)


@shared_task(name=dispatch.RENDER_FRAGMENT)
def render_fragment(clip_id: str, index: int) -> None:
    rendering.render_fragment(clip_id, index)


@shared_task(name=dispatch.ASSEMBLE)
def assemble(clip_id: str) -> None:
    assembling.assemble_clip(clip_id)
