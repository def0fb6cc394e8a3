"""Bodies are bounded: in daphne before it keeps them, and in plain ASGI."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from project.api import bodies
from project.api.bodies import BodyLimit, BodyTooLarge, limit_for

ROOT = Path(__file__).parents[3]
FORM = (b"content-type", b"multipart/form-data; boundary=x")
KEY = (b"authorization", b"Bearer parley_a_b")
COOKIE = (b"cookie", b"csrftoken=x; parley_login=y")
MiB = 1024 * 1024


@pytest.mark.parametrize(
    ("path", "headers", "size"),
    [
        ("/api/v1/clips", [KEY], 2 * MiB),
        ("/api/v1/uploads", [KEY], 2 * MiB),
        ("/api/v1/uploads", [FORM], 2 * MiB),
        ("/api/v1/uploads", [FORM, KEY], 100 * MiB + 65536),
        ("/api/v1/uploads", [FORM, COOKIE], 100 * MiB + 65536),
        ("/api/v1/avatars", [FORM, KEY], 200 * MiB + 65536),
        ("/admin/generation/avatar/add/", [FORM, COOKIE], 200 * MiB + 65536),
        ("/api/v1/clips", [FORM, KEY], 2 * MiB),
        ("/login", [FORM, COOKIE], 2 * MiB),
    ],
)
def test_files_go_where_files_belong_and_only_from_callers_who_say_who_they_are(path, headers, size):
    assert limit_for(path, headers) == size


class Running(NamedTuple):
    port: int
    pid: int

    def peak_bytes(self):
        """The most memory that the process ever had."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024


class Body:
    """An ASGI client that sends these chunks and keeps what came back."""

    def __init__(self, *chunks, headers=()):
        self.scope = {"type": "http", "path": "/api/v1/clips", "headers": list(headers)}
        self._chunks = list(chunks)
        self.sent = []

    async def receive(self):
        chunk = self._chunks.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(self._chunks)}

    async def send(self, message):
        self.sent.append(message)

    @property
    def left(self):
        return len(self._chunks)


async def reading(scope, receive, send):
    """An application that reads everything first, as Django does."""
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message["body"]), message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode()})


async def test_a_declared_length_is_refused_unread(settings):
    body = Body(b"never read", headers=[(b"content-length", str(settings.MAX_JSON_BYTES + 1).encode())])
    await BodyLimit(reading)(body.scope, body.receive, body.send)
    assert body.sent[0]["status"] == 413
    assert json.loads(body.sent[1]["body"])["code"] == "body_too_large"
    assert body.left == 1


async def test_an_undeclared_length_is_refused_once_it_is_too_much(settings):
    settings.MAX_JSON_BYTES = 100
    body = Body(*[b"x" * 40] * 10)
    await BodyLimit(reading)(body.scope, body.receive, body.send)
    assert body.sent[0]["status"] == 413
    assert body.left == 7


async def test_just_enough_passes(settings):
    settings.MAX_JSON_BYTES = 120
    body = Body(*[b"x" * 40] * 3, headers=[(b"content-length", b"120")])
    await BodyLimit(reading)(body.scope, body.receive, body.send)
    assert (body.sent[0]["status"], body.sent[1]["body"]) == (200, b"120")


async def test_an_answer_that_began_is_not_followed_by_another(settings):
    settings.MAX_JSON_BYTES = 10

    async def hasty(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        with pytest.raises(BodyTooLarge):
            await receive()
        raise BodyTooLarge

    body = Body(b"x" * 20)
    await BodyLimit(hasty)(body.scope, body.receive, body.send)
    assert [message["type"] for message in body.sent] == ["http.response.start"]


def free_port():
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# Runs the real server with limits and patience small enough for a test.
SERVE = """
import sys
from project.api import bodies
bodies.HEADER_SECONDS, bodies.BODY_GRACE_SECONDS, bodies.LINGER_SECONDS = 1.0, 1.0, 1.0
from daphne.cli import CommandLineInterface
CommandLineInterface().run(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def daphne(tmp_path_factory):
    home, port = tmp_path_factory.mktemp("daphne"), free_port()
    environment = {
        **os.environ, "PARLEY_HOME": str(home), "DJANGO_SETTINGS_MODULE": "project.settings",
        "SECRET_KEY": "tests", "MAX_JSON_BYTES": "65536", "MAX_AUDIO_BYTES": str(200 * MiB),
        "TMPDIR": str(home),
    }  # fmt: skip
    environment.pop("DATABASE_URL", None)
    command = [sys.executable, "-c", "import django; django.setup()\n" + SERVE,
               "-b", "127.0.0.1", "-p", str(port), "project.asgi:application"]  # fmt: skip
    with (home / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        wait_for(port, server, home / "log")
        yield Running(port, server.pid)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(20)


def wait_for(port, server, log):
    deadline = time.monotonic() + 50
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(log.read_text())


@contextmanager
def connected(port, head):
    with closing(socket.create_connection(("127.0.0.1", port), 20)) as peer:
        peer.sendall(head.replace("\n", "\r\n").encode())
        yield peer


def read_all(peer):
    """Everything until the server closes, as (status, JSON)."""
    raw = b""
    while part := peer.recv(65536):
        raw += part
    head, _, body = raw.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


HEAD = "POST /api/v1/clips HTTP/1.1\nHost: localhost\nContent-Type: application/json\n"


def test_daphne_refuses_a_declared_length_before_any_of_it_is_sent(daphne):
    with connected(daphne.port, HEAD + "Content-Length: 99999999\n\n") as peer:
        status, body = read_all(peer)
    assert (status, body["code"], body["instance"]) == (413, "body_too_large", "/api/v1/clips")


def test_daphne_does_not_invite_what_it_refuses(daphne):
    with connected(daphne.port, HEAD + "Content-Length: 99999999\nExpect: 100-continue\n\n") as peer:
        assert read_all(peer)[0] == 413


def test_daphne_stops_an_endless_chunked_body(daphne):
    sent = 0
    with connected(daphne.port, HEAD + "Transfer-Encoding: chunked\n\n") as peer:
        chunk = b"1000\r\n" + b" " * 4096 + b"\r\n"
        try:
            for _ in range(64):  # 256 KiB into a limit of 64 KiB; the answer must survive the rest
                peer.sendall(chunk)
                sent += 4096
        except (BrokenPipeError, ConnectionResetError):
            pytest.fail(f"cut off after {sent} bytes, before the answer could be read")
        status, body = read_all(peer)
    assert (status, body["code"]) == (413, "body_too_large")


def test_daphne_stops_a_body_that_drips(daphne):
    with connected(daphne.port, HEAD + "Content-Length: 50000\n\n") as peer:
        peer.settimeout(0.2)
        for _ in range(100):
            peer.sendall(b" ")
            try:
                started = peer.recv(65536)
                break
            except TimeoutError:
                continue
        else:
            pytest.fail("the server went on listening")
    assert started.startswith(b"HTTP/1.1 408 ")
    assert b'"body_too_slow"' in started


def test_daphne_stops_headers_that_never_end(daphne):
    with connected(daphne.port, HEAD) as peer:
        status, body = read_all(peer)
    assert (status, body["code"]) == (408, "body_too_slow")


def test_daphne_cuts_off_who_sends_on_for_ever(daphne):
    with connected(daphne.port, HEAD + "Transfer-Encoding: chunked\n\n") as peer:
        chunk = b"1000\r\n" + b" " * 4096 + b"\r\n"
        try:
            for _ in range(2000):
                peer.sendall(chunk)
                time.sleep(0.005)
        except (BrokenPipeError, ConnectionResetError):
            return
    pytest.fail("the server took it all")


def test_daphne_serves_the_next_request_on_the_same_connection(daphne):
    small = HEAD + "Content-Length: 2\n\n{}"
    with connected(daphne.port, small) as peer:
        first = peer.recv(65536)
        peer.sendall(small.replace("\n", "\r\n").encode())
        second = peer.recv(65536)
    assert first.startswith(b"HTTP/1.1 401 ")
    assert second.startswith(b"HTTP/1.1 401 ")


def upload(port, size, extra=""):
    """Send a form with a file of `size` bytes under a made-up key; the answer's first bytes."""
    head = (
        "POST /api/v1/uploads HTTP/1.1\nHost: localhost\nAuthorization: Bearer no-key\n"
        f"Content-Type: multipart/form-data; boundary=x\nContent-Length: {size}\n{extra}\n"
    )
    with connected(port, head) as peer:
        for _ in range(size // MiB):
            peer.sendall(b"-" * MiB)
        return peer.recv(65536)


def test_daphne_takes_a_large_file_without_holding_it_in_memory(daphne):
    upload(daphne.port, 2 * MiB)
    before = daphne.peak_bytes()
    assert upload(daphne.port, 100 * MiB).startswith(b"HTTP/1.1 401 ")  # read; the key is no key
    assert daphne.peak_bytes() - before < 40 * MiB


def test_nobody_can_name_another_s_stored_body(daphne):
    answer = upload(daphne.port, MiB // 2 * 2, "X-Parley-Stored-Body: made-up\n")
    assert answer.startswith(b"HTTP/1.1 401 ")


async def test_a_stored_body_is_read_piece_by_piece_and_then_the_server_is_heard(tmp_path):
    path = tmp_path / "body"
    path.write_bytes(b"a" * (bodies.PIECE_BYTES * 2 + 5))
    bodies._stored[b"token"] = path.open("rb")
    client = Body(b"", b"gone", headers=[(bodies.STORED_BODY, b"token"), KEY])
    receive = bodies._from_file(client.scope, client.receive)
    got = [await receive() for _ in range(3)]
    assert [len(message["body"]) for message in got] == [bodies.PIECE_BYTES, bodies.PIECE_BYTES, 5]
    assert [message["more_body"] for message in got] == [True, True, False]
    assert (await receive())["body"] == b"gone"
    assert client.scope["headers"] == [KEY]
    assert bodies._stored == {}


def test_the_guard_is_in_daphne():
    from daphne import http_protocol

    import project.asgi  # noqa: F401 - its import puts it there

    assert http_protocol.WebRequest is bodies.BoundedRequest
