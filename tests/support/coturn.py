"""A TURN server (Debian's coturn) on a free port of this machine, with credentials of the REST kind."""

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rtc.ice import IceConfig, host_addresses

SECRET = "a shared secret of the tests"
START_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Coturn:
    """A running server: where it is, and our configuration for it."""

    address: str
    port: int
    log_file: Path

    @property
    def url(self) -> str:
        return f"turn:{self.address}:{self.port}?transport=udp"

    @property
    def tcp_url(self) -> str:
        return f"turn:{self.address}:{self.port}?transport=tcp"

    def config(self, ttl: int = 600) -> IceConfig:
        return IceConfig(turn_urls=(self.url,), turn_secret=SECRET, ttl=ttl)

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")


def _address() -> str:
    """An address that clients of this machine use; coturn and a browser both mistrust loopback."""
    return next(address for address in host_addresses(IceConfig()) if "." in address)


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def coturn() -> Iterator[Coturn]:
    """Run a TURN server until the block ends; skips the test where coturn is not installed."""
    program = shutil.which("turnserver")
    if program is None:
        pytest.skip("coturn is not installed (apt-get install coturn): relay tests are skipped")
    address = _address()
    port = _free_port(address)
    with tempfile.TemporaryDirectory(prefix="parley-coturn-") as folder:
        command = [
            *(
                program,
                "-n",
                "--no-cli",
                "--no-tls",
                "--no-dtls",
                "--no-stdout-log",
                "--simple-log",
                "--verbose",
            ),
            *(f"--listening-ip={address}", f"--relay-ip={address}", f"--listening-port={port}"),
            *("--use-auth-secret", f"--static-auth-secret={SECRET}", "--realm=parley", "--fingerprint"),
            *("--allow-loopback-peers", f"--log-file={folder}/log", f"--pidfile={folder}/pid"),
            *(f"--userdb={folder}/users", "--min-port=40000", "--max-port=49999"),
        ]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)
        try:
            _wait(server, address, port)
            yield Coturn(address, port, Path(folder, "log"))
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _wait(server: "subprocess.Popen[bytes]", address: str, port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError("coturn stopped while starting")
        with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"coturn did not start within {START_SECONDS} s")
