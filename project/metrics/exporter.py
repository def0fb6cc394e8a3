"""`/metrics` on a port of its own: for workers, which have no other page, and for networks inside."""

import hmac
import logging
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from django.conf import settings
from django.db import connections

from project.metrics import page

TIMEOUT_SECONDS = 5.0

_log = logging.getLogger(__name__)


class _Handler(BaseHTTPRequestHandler):
    service = False
    server_version = "Parley"
    sys_version = ""
    timeout = TIMEOUT_SECONDS

    def do_GET(self) -> None:
        if self.path != "/metrics":
            self._answer(404, b"There is no such page.\n")
        elif not bears(self.headers.get("Authorization", "")):
            self._answer(401, b"A metrics token is needed.\n")
        else:
            self._told()

    def _told(self) -> None:
        try:
            told = page.render(service=self.service)
        except OSError as error:
            _log.warning("No figures: %s", error)
            self._answer(503, b"The figures cannot be read now.\n")
        else:
            self._answer(200, told, page.MEDIA_TYPE)
        finally:
            connections.close_all()  # this thread's own; no request will close them

    def _answer(self, status: int, body: bytes, kind: str = "text/plain") -> None:
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", 'Bearer realm="metrics"')
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name
        """Said by nobody: Prometheus asks every few seconds."""


class _Service(_Handler):
    service = True


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the parent's
        """Say in one line what a caller did or met; the parent writes a traceback past the log."""
        _log.info("A reader of the figures got nothing: %s", type(sys.exception()).__name__)


def bears(authorization: str) -> bool:
    """Whether a header carries the metrics token; an unset token opens nothing."""
    scheme, _, offered = authorization.partition(" ")
    token = settings.METRICS_TOKEN
    if not token or scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(offered.strip().encode(), token.encode())


def serve(host: str, port: int, *, service: bool = False) -> ThreadingHTTPServer:
    """Answer in threads of this process, until it ends. Raises OSError where the port is taken.

    `service` adds the figures of the whole service.
    """
    server = _Server((host, port), _Service if service else _Handler)
    threading.Thread(target=server.serve_forever, name="figures page", daemon=True).start()
    return server


def begin(*, service: bool = False) -> None:
    """Serve where the settings want it. A port that is taken is logged: work goes on without a page."""
    if not settings.METRICS_PORT:
        return
    try:
        serve(settings.METRICS_HOST, settings.METRICS_PORT, service=service)
    except OSError as error:
        _log.error("No figures at METRICS_PORT=%d: %s", settings.METRICS_PORT, error)
