"""Celery entry point of live rendering."""

from typing import Any

from celery import shared_task
from celery.signals import celeryd_after_setup

from sessions import rendering, warming
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
