"""Addresses of WebSockets, and the figures of whoever serves them."""

from channels.routing import URLRouter
from django.urls import re_path

from project.health import metrics
from sessions.consumers import SessionConsumer
from sessions.runtime.metrics import samples

application = URLRouter(
    [re_path(r"^ws/sessions/(?P<session_id>ses_[0-9a-f]{32})/?$", SessionConsumer.as_asgi())]
)
metrics.SOURCES.append(samples)
