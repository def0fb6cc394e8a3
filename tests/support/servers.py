"""A small HTTP server on loopback whose answers a test decides."""

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Seen:
    """One request that arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Server:
    """`answer(handler, seen)` writes the response; `seen` keeps what arrived."""

    port: int = 0
    seen: list[Seen] = field(default_factory=list)
    answer: Callable[[BaseHTTPRequestHandler, Seen], None] | None = None


def reply(
    status: int = 200, body: bytes = b"", **headers: str
) -> Callable[[BaseHTTPRequestHandler, Seen], None]:
    """An answer with these headers (underscores become hyphens)."""

    def write(handler: BaseHTTPRequestHandler, _: Seen) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return write


@contextlib.contextmanager
def http_server(context: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Serve until the block ends; over TLS when a context is given."""
    state = Server(answer=reply())

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            size = int(self.headers.get("Content-Length", "0"))
            seen = Seen(self.command, self.path, dict(self.headers), self.rfile.read(size))
            state.seen.append(seen)
            if state.answer:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    state.answer(self, seen)

        do_GET = do_POST = _serve  # noqa: N815 - the library's names

        def log_message(self, *args: object) -> None:
            """Tests look at `seen`."""

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *args: object) -> None:
            """A client that hangs up (a refused TLS certificate) is no news."""

    server = Quiet(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
