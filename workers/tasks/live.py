"""Celery entry point of live rendering."""

from typing import Any

from celery import shared_task

from sessions import rendering
from workers import dispatch


@shared_task(name=dispatch.RENDER_LIVE, bind=True)
def render(self: Any, request: str) -> None:
    rendering.render(request, str(self.request.hostname))
