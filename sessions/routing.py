"""Addresses of WebSockets."""

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import URLRouter
from django.urls import re_path

from sessions.consumers import SessionConsumer


class Nowhere(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    """Refuses the handshake: without an address that fits, channels raises, and the client is told 500."""

    channel_layer_alias = ""

    async def connect(self) -> None:
        await self.close()


application = URLRouter(
    [
        re_path(r"^ws/sessions/(?P<session_id>ses_[0-9a-f]{32})/?$", SessionConsumer.as_asgi()),
        re_path("", Nowhere.as_asgi()),
    ]
)
