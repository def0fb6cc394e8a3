"""A throw-away PostgreSQL on a free loopback port, and a command that runs tests against it.

`python -m tests.support.postgres -- pytest -m postgres` starts a server, sets `DATABASE_URL` for
the command, and removes the server with its data afterwards. Where the server programs are not
installed it says so and leaves with success, so that `make test` works everywhere.
"""

import argparse
import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path


def programs() -> Path | None:
    """The folder with `initdb` and `postgres`, or None where they are not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    if found:
        return found[0].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _account() -> pwd.struct_passwd | None:
    """PostgreSQL refuses root; then it runs as `postgres`, or as `nobody`."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    return None


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """Start a server and give its `DATABASE_URL`; stopped and removed at the end."""
    folder = programs()
    if folder is None:
        raise RuntimeError("PostgreSQL's server programs are not installed")
    home = Path(tempfile.mkdtemp(prefix="parley-pg-", dir="/tmp"))
    account = _account()
    if account is not None:
        os.chown(home, account.pw_uid, account.pw_gid)
    identity = (
        {} if account is None else {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    )
    password = secrets.token_urlsafe(16)
    secret = home / "password"
    secret.write_text(password)
    secret.chmod(0o600)
    if account is not None:
        os.chown(secret, account.pw_uid, account.pw_gid)
    data, port = home / "data", _free_port()
    try:
        subprocess.run(
            [folder / "initdb", "-D", data, "-U", "parley", "-A", "scram-sha-256", "--pwfile", secret,
             "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"],
            check=True, stdout=subprocess.DEVNULL, cwd=home, **identity,
        )  # fmt: skip
        server = subprocess.Popen(
            [folder / "postgres", "-D", data, "-p", str(port), "-c", "listen_addresses=127.0.0.1",
             "-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "max_connections=60"],
            stdout=subprocess.DEVNULL, stderr=(home / "log").open("w"), cwd=home, **identity,
        )  # fmt: skip
        try:
            _wait_ready(server, folder, port)
            yield f"postgres://parley:{password}@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGINT)
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _wait_ready(server: subprocess.Popen[bytes], folder: Path, port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError("PostgreSQL stopped while starting")
        ready = [folder / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
        if subprocess.run(ready, check=False).returncode == 0:
            return
        time.sleep(0.1)
    raise RuntimeError("PostgreSQL did not start within 30 s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    command = parser.parse_args().command
    if command[:1] == ["--"]:
        command = command[1:]
    if programs() is None:
        print("SKIPPED: the tests on PostgreSQL (its server programs are not installed)")
        return 0
    with postgres_server() as url:
        return subprocess.run(command, check=False, env={**os.environ, "DATABASE_URL": url}).returncode


if __name__ == "__main__":
    sys.exit(main())
