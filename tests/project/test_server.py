"""Two web processes serve HTTPS on one socket that neither of them opened."""

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest

from project.embedded import certificates
from project.embedded.home import Home

ROOT = Path(__file__).parents[2]
APPLICATION = """
import os
async def application(scope, receive, send):
    headers = [(b"x-scheme", scope.get("scheme", "").encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
"""


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[tuple[str, ssl.SSLContext, list[subprocess.Popen[bytes]]]]:
    """The address, what to trust, and two servers."""
    home = Home(tmp_path / "home")
    with home.held():
        certificate, key = certificates.self_signed(home, home.folder("tls"), ["127.0.0.1"])
    (tmp_path / "pid_app.py").write_text(APPLICATION)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        told = {"fileno": listening.fileno(), "certificate": str(certificate), "key": str(key)}
        command = [sys.executable, "-m", "project.server", "-v", "0", "-e", f"tlsfd:{urlencode(told)}"]
        started = [
            subprocess.Popen(
                [*command, "pid_app:application"],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(tmp_path)},
                pass_fds=(listening.fileno(),),
            )
            for _ in range(2)
        ]
        port = listening.getsockname()[1]
        try:
            yield f"https://127.0.0.1:{port}/", ssl.create_default_context(cafile=str(certificate)), started
        finally:
            for process in started:
                process.kill()
                process.wait()


def _answering(url: str, trusted: ssl.SSLContext) -> int:
    answer = httpx.get(url, verify=trusted, timeout=20)
    assert answer.headers["x-scheme"] == "https"
    return int(answer.text)


def test_either_answers_and_one_alone_goes_on(
    processes: tuple[str, ssl.SSLContext, list[subprocess.Popen[bytes]]],
) -> None:
    url, trusted, (one, other) = processes
    deadline, seen = time.monotonic() + 30, set()
    while seen != {one.pid, other.pid}:
        assert time.monotonic() < deadline, f"only {seen} answered"
        seen.add(_answering(url, trusted))
        # Whoever is awake first takes the call; let the other one have its turn.
        sleeper = one if seen == {one.pid} else other if seen == {other.pid} else None
        if sleeper is not None:
            sleeper.send_signal(signal.SIGSTOP)
            seen.add(_answering(url, trusted))
            sleeper.send_signal(signal.SIGCONT)
    one.kill()
    one.wait()
    assert {_answering(url, trusted) for _ in range(10)} == {other.pid}
