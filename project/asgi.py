"""The ASGI application: HTTP to Django, WebSockets to the consumers."""

import os

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")  # noqa: TID251 - Django's own bootstrap
_django = get_asgi_application()

# Only now: these read the settings.
from project import collector  # noqa: E402
from project.api.bodies import BodyLimit, bound_daphne  # noqa: E402
from project.carrying import begin_process  # noqa: E402
from project.metrics import exporter, publishing  # noqa: E402
from project.metrics.collector import Watch  # noqa: E402
from project.metrics.loop import Probe  # noqa: E402
from project.sockets import before_shutdown, bound_sockets, once_running  # noqa: E402
from sessions.pipeline.language import load_early  # noqa: E402
from sessions.routing import application as websockets  # noqa: E402
from sessions.runtime.registry import stop_registry  # noqa: E402

begin_process()
bound_daphne()
bound_sockets()
before_shutdown(stop_registry)
load_early(then=collector.settle)
publishing.start()
exporter.begin(service=True)
once_running(Probe)
once_running(Watch)
application = ProtocolTypeRouter({"http": BodyLimit(_django), "websocket": websockets})
