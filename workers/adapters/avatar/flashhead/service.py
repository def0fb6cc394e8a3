"""The HTTP side of `manage.py flashhead_service`: `POST /v1/generate`, and its films.

The server is the standard library's: there is one client or a few, one film is made at a time, and the
machine with the GPU needs nothing more installed for it.
"""

from __future__ import annotations

import hmac
import json
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from workers.adapters.avatar.base import FPS
from workers.adapters.avatar.flashhead.studio import Made, Studio
from workers.adapters.avatar.flashhead.wishes import Reader, Refused

MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_DIGITS = 12  # of a length
BLOCK_BYTES = 64 * 1024
READ_SECONDS = 30
MAX_CONNECTIONS = 32
_FILM = re.compile(r"/outputs/([0-9a-f]{24}\.mp4)")
_HOST = re.compile(r"[A-Za-z0-9.\-]+(:\d+)?|\[[0-9A-Fa-f:]+\](:\d+)?")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Desk:
    """What requests are answered from. Without a key everybody may ask: keep it to loopback then."""

    reader: Reader
    studio: Studio
    slice_frames: int
    api_key: str = ""

    def answer(self, made: Made, host: str) -> dict[str, Any]:
        film = {
            "kind": "video",
            "path": str(made.path),
            "url": f"http://{host}/outputs/{made.path.name}",
            "file": f"outputs/{made.path.name}",  # below the address of whoever asks through a proxy
            "mime": "video/mp4",
            "width": self.reader.width,
            "height": self.reader.height,
            "num_frames": made.frames,
            "fps": FPS,
            "audio": False,
        }
        about = {
            "continued": made.continued,
            "slice_frames": self.slice_frames,
            "render_ms": made.render_ms,
        }
        return {"outputs": [film], "metadata": about}


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    timeout = READ_SECONDS
    server_version, sys_version = "parley-flashhead", ""

    def do_GET(self) -> None:
        with self._refusals():
            self._check_key()
            film = _FILM.fullmatch(self.path)
            if self.path == "/health":
                self._json(HTTPStatus.OK, {"status": "ok", "busy": self.server.desk.studio.busy})
            elif film:
                self._film(film.group(1))
            else:
                raise Refused(HTTPStatus.NOT_FOUND, "not_found", "There is no such address.")

    def do_POST(self) -> None:
        with self._refusals():
            length = self._length()
            try:
                self._check_key()
            except Refused:
                self._ignore(length)  # who is refused while sending sees a broken connection
                raise
            body = self._body(length)
            if self.path != "/v1/generate":
                raise Refused(HTTPStatus.NOT_FOUND, "not_found", "There is no such address.")
            desk = self.server.desk
            made = desk.studio.make(desk.reader.wish(body))
            self._json(HTTPStatus.OK, desk.answer(made, self._host()))

    def log_message(self, *args: object) -> None:
        """Addresses and paths of requests stay out of the log."""

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except Refused as refused:
            headers = {"Retry-After": str(refused.retry_after)} if refused.retry_after else {}
            self._json(refused.status, {"detail": refused.detail, "code": refused.code}, **headers)
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def _check_key(self) -> None:
        given = self.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        wanted = f"Bearer {self.server.desk.api_key}".encode()
        if self.server.desk.api_key and not hmac.compare_digest(given, wanted):
            raise Refused(HTTPStatus.UNAUTHORIZED, "unauthorized", "The API key is missing or wrong.")

    def _length(self) -> int:
        told = self.headers.get("Content-Length", "")
        if not told.isascii() or not told.isdecimal():
            self.close_connection = True
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "length_required", "Content-Length is needed.")
        if len(told.lstrip("0")) > MAX_DIGITS or int(told) > MAX_BODY_BYTES:
            self.close_connection = True
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", "The body is too large.")
        return int(told)

    def _body(self, length: int) -> bytes:
        body = self.rfile.read(length)
        if len(body) < length:
            raise ConnectionError
        return body

    def _ignore(self, length: int) -> None:
        """Let a body pass without keeping it."""
        while length > 0 and (block := self.rfile.read(min(length, BLOCK_BYTES))):
            length -= len(block)

    def _host(self) -> str:
        """As the client calls us, so that it finds the film where it found us."""
        given = self.headers.get("Host", "")
        if _HOST.fullmatch(given):
            return given
        return f"{self.server.server_address[0]!s}:{self.server.server_address[1]}"

    def _film(self, name: str) -> None:
        try:
            data = (self.server.desk.studio.folder / name).read_bytes()
        except OSError:
            raise Refused(HTTPStatus.NOT_FOUND, "not_found", "This film is gone.") from None
        self._send(HTTPStatus.OK, "video/mp4", data)

    def _json(self, status: int, told: dict[str, Any], **headers: str) -> None:
        self._send(status, "application/json", json.dumps(told).encode(), **headers)

    def _send(self, status: int, kind: str, body: bytes, **headers: str) -> None:
        with suppress(ConnectionError, TimeoutError):
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """Serves until `shutdown`; more than a few connections at once are closed."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], desk: Desk) -> None:
        super().__init__(address, _Handler)
        self.desk = desk
        self._room = threading.BoundedSemaphore(MAX_CONNECTIONS)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        _log.exception("A request broke")
