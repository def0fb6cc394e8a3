"""An answer is there as a whole within its time, however it is dealt out."""

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from workers.adapters.deadline import whole_client

HEAD = b"HTTP/1.1 200 OK\r\nX-Long: "
BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"


class Dealer(BaseHTTPRequestHandler):
    """Answers `/head` and `/body` a byte at a time without end, `/late` after a moment, others at once."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        stopped: threading.Event = self.server.stopped  # type: ignore[attr-defined]
        if self.path in ("/head", "/body"):
            self.wfile.write(HEAD if self.path == "/head" else BODY)
            for _ in itertools.count():
                self.wfile.write(b"x")
                if stopped.wait(0.02):
                    return
        if self.path == "/late":
            stopped.wait(0.2)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None: ...

    def handle(self) -> None:
        with suppress(OSError):  # whoever asked has gone
            super().handle()


@contextmanager
def dealing() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Dealer)
    server.stopped = threading.Event()  # type: ignore[attr-defined]
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.stopped.set()  # type: ignore[attr-defined]
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("path", ["/head", "/body"])
def test_an_answer_that_drips_is_given_up(path):
    with dealing() as address, pytest.raises(httpx.ReadTimeout):
        whole_client(address).get(path, timeout=0.3)


def test_a_connection_that_was_idle_gives_each_request_its_whole_time():
    with dealing() as address:
        client = whole_client(address)
        for path in ("/now", "/late", "/now"):
            assert client.get(path, timeout=5).text == "ok"
        time.sleep(2.0)
        assert client.get("/late", timeout=1.9).text == "ok"


def test_without_a_timeout_it_is_waited_for():
    with dealing() as address:
        assert whole_client(address).get("/late", timeout=None).text == "ok"
