"""The ASGI application: HTTP to Django, WebSockets to the consumers."""

import os

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")  # noqa: TID251 - Django's own bootstrap

application = ProtocolTypeRouter({"http": get_asgi_application()})
