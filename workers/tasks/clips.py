"""The stages of a clip. Each claims its row, so a message that comes twice does its work once."""

from typing import Any

from celery import current_app, shared_task
from celery.signals import worker_process_init, worker_ready, worker_shutdown

from generation.clips import assembling, parking, rendering, speaking, streaming, warming
from project import context
from workers import dispatch


@shared_task(name=dispatch.SPEAK)
def speak(clip_id: str) -> None:
    with context.about(clip=clip_id):
        speaking.speak(clip_id)


@shared_task(name=dispatch.RENDER_FRAGMENT)
def render_fragment(clip_id: str, index: int) -> None:
    with context.about(clip=clip_id, fragment=index):
        rendering.render_fragment(clip_id, index)


@shared_task(name=dispatch.RENDER_STREAM)
def render_stream(clip_id: str) -> None:
    first = [queue for queue in _queues() if queue.startswith(("worker.", "live."))]
    with context.about(clip=clip_id):
        streaming.render_stream(clip_id, goes_first=first)


@shared_task(name=dispatch.ASSEMBLE)
def assemble(clip_id: str) -> None:
    with context.about(clip=clip_id):
        assembling.assemble_clip(clip_id)


@worker_process_init.connect
def warm_child(**_: Any) -> None:
    """Get ready what the first fragment would wait for: in a child of a prefork worker."""
    warming.warm(_queues())


@worker_ready.connect
def warm_worker(sender: Any, **_: Any) -> None:
    """As above, in a worker that renders in its own main thread."""
    if type(sender.pool).__module__.endswith("solo"):
        warming.warm(_queues())


@worker_shutdown.connect
def leave(**_: Any) -> None:
    """Give back what parked streams hold."""
    parking.parked.close_all()


def _queues() -> list[str]:
    return list(current_app.amqp.queues.consume_from)
