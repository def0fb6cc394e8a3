"""Celery entry point of live rendering."""

from typing import Any

from celery import shared_task
from celery.signals import celeryd_after_setup, worker_shutdown

from sessions import rendering, streams, warming
from workers import dispatch, profiles


@shared_task(name=dispatch.RENDER_LIVE, bind=True)
def render(self: Any, request: str) -> None:
    rendering.render(request, str(self.request.hostname))


@celeryd_after_setup.connect
def warm(instance: Any, **_: Any) -> None:
    """Get ready before the first message is taken."""
    queues = set(instance.app.amqp.queues.consume_from)
    if queues & {profile.live_queue for profile in profiles.profiles()}:
        warming.begin(queues)


@worker_shutdown.connect
def leave(**_: Any) -> None:
    """Give back what the sessions' streams hold, so that nobody waits for it."""
    streams.kept.close_all()
