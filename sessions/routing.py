"""Addresses of WebSockets."""

from channels.routing import URLRouter
from django.urls import re_path

from sessions.consumers import SessionConsumer

application = URLRouter(
    [re_path(r"^ws/sessions/(?P<session_id>ses_[0-9a-f]{32})/?$", SessionConsumer.as_asgi())]
)
