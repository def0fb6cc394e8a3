"""How stacks start, break, recover and end. Nothing may be left running, whatever happens."""

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import redis

from project.bench.stack import EmbeddedStack
from project.embedded.process import marked
from project.embedded.stack import ROOT
from storage.s3 import Endpoint, ObjectStore

FEW = ("valkey", "storage")


def _store(stack: EmbeddedStack) -> ObjectStore:
    told = stack.environment()
    url, key = told["S3_ENDPOINT_URL"], told["S3_ACCESS_KEY_ID"]
    return ObjectStore(Endpoint(url, url, "us-east-1", "parley", key, told["S3_SECRET_ACCESS_KEY"]))


def _until_nothing_is_left(marker: str, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while marked(marker):
        assert time.monotonic() < deadline, [
            Path(f"/proc/{pid}/cmdline").read_bytes()[:100] for pid in marked(marker)
        ]
        time.sleep(0.1)


PARTS = ["valkey", "storage", "speech", "web1", "live1", "render1", "general", "scheduler"]


@pytest.mark.parametrize("part", PARTS)
def test_a_killed_part_comes_back_alone(stack: EmbeddedStack, part: str) -> None:
    stack.wait_healthy()
    others = {name: pid for name, pid in stack.pids().items() if name != part}
    stack.wait_restarted(part, stack.kill(part))
    stack.wait_healthy()
    assert {name: pid for name, pid in stack.pids().items() if name != part} == others
    assert httpx.get(f"{stack.base_url}/livez").status_code == 200
    stack.wait_until(lambda: httpx.get(f"{stack.base_url}/readyz").status_code == 200, "the service is ready")


def test_one_web_process_answers_while_another_restarts(stack: EmbeddedStack) -> None:
    stack.wait_healthy()
    pid = stack.kill("web2")
    for _ in range(20):
        assert httpx.get(f"{stack.base_url}/livez", timeout=5).status_code == 200
    stack.wait_restarted("web2", pid)


def test_callers_wait_while_every_web_process_restarts(stack: EmbeddedStack) -> None:
    stack.wait_healthy()
    for part in ("web1", "web2"):
        stack.kill(part)
    assert httpx.get(f"{stack.base_url}/livez", timeout=60).status_code == 200


def test_the_connection_file_is_enough_to_call(stack: EmbeddedStack) -> None:
    stack.wait_healthy()
    with stack.client as client:
        assert client.get("/api/v1/avatars").status_code == 200
    assert httpx.get(f"{stack.base_url}/api/v1/avatars").status_code == 401


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything_cleanly(home: Path, number: signal.Signals) -> None:
    with EmbeddedStack(home, FEW) as stack:
        assert len(stack.everything()) >= 2
        os.kill(stack.supervisor_pid, number)
        stack._process.wait(30)  # type: ignore[union-attr]
        assert stack.exit_status == 0
        assert stack.everything() == []


def test_killing_the_supervisor_leaves_nothing(home: Path) -> None:
    with EmbeddedStack(home) as stack:
        marker = stack.secrets["marker"]
        assert len(marked(marker)) >= 8
        os.kill(stack.supervisor_pid, signal.SIGKILL)
        _until_nothing_is_left(marker)


def test_killing_the_whole_foreground_leaves_nothing(home: Path) -> None:
    """As the kernel's memory killer, or a closed terminal with everything in it, would."""
    with EmbeddedStack(home, FEW) as stack:
        marker = stack.secrets["marker"]
        os.killpg(stack.supervisor_pid, signal.SIGKILL)
        _until_nothing_is_left(marker)


@pytest.mark.parametrize("after_seconds", [0.05, 0.3, 1.0, 2.5, 6.0])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_start_can_be_broken_off_at_any_moment(
    home: Path, after_seconds: float, number: signal.Signals
) -> None:
    stack = EmbeddedStack(home, ("valkey", "storage", "migrate", "prepare"))
    stack.start(wait=False)
    time.sleep(after_seconds)
    os.kill(stack.supervisor_pid, number)
    stack._process.wait(30)  # type: ignore[union-attr]
    if (home / "secrets.json").exists():
        _until_nothing_is_left(stack.secrets["marker"])


def test_ctrl_c_twice_does_not_wait(home: Path) -> None:
    with EmbeddedStack(home, FEW) as stack:
        os.kill(stack.pid("storage"), signal.SIGSTOP)  # it will not listen to anybody
        os.kill(stack.supervisor_pid, signal.SIGINT)
        time.sleep(0.2)
        os.kill(stack.supervisor_pid, signal.SIGINT)
        stack._process.wait(30)  # type: ignore[union-attr]
        assert stack.everything() == []


def test_a_restart_keeps_addresses_and_data(home: Path) -> None:
    with EmbeddedStack(home, FEW) as stack:
        _store(stack).ensure_bucket()
        _store(stack).put_bytes("clips/clip_1/audio.m4a", b"kept", "audio/mp4")
        with redis.Redis.from_url(stack.environment()["REDIS_URL"]) as broker:
            broker.set("queue", "kept")
        ports, secrets = stack.ports, stack.secrets
    with EmbeddedStack(home, FEW) as stack:
        assert stack.ports == ports
        assert stack.secrets == secrets
        with redis.Redis.from_url(stack.environment()["REDIS_URL"]) as broker:
            assert broker.get("queue") == b"kept"
        _until_readable(stack, "clips/clip_1/audio.m4a", b"kept")


def test_what_was_stored_survives_a_crash_of_everything(home: Path) -> None:
    with EmbeddedStack(home, FEW) as stack:
        store = _store(stack)
        store.ensure_bucket()
        for number in range(50):
            store.put_bytes(f"clips/clip_1/fragments/{number:06d}.mp4", bytes([number]) * 10_000, "video/mp4")
        os.kill(stack.supervisor_pid, signal.SIGKILL)
        _until_nothing_is_left(stack.secrets["marker"])
    with EmbeddedStack(home, FEW) as stack:
        for number in range(50):
            _until_readable(stack, f"clips/clip_1/fragments/{number:06d}.mp4", bytes([number]) * 10_000)


def _until_readable(stack: EmbeddedStack, key: str, expected: bytes) -> None:
    """The S3 port answers a little before its volumes do."""
    store = _store(stack)

    def readable() -> bool:
        try:
            return store.get_bytes(key) == expected
        except Exception as error:  # noqa: BLE001 - tried again until the deadline
            print(error)
            return False

    stack.wait_until(readable, f"{key} can be read", 30)


def test_a_broker_whose_data_is_damaged_starts_all_the_same(home: Path) -> None:
    with (
        EmbeddedStack(home, ("valkey",)) as stack,
        redis.Redis.from_url(stack.environment()["REDIS_URL"]) as broker,
    ):
        broker.set("queue", "x" * 1000)
    for path in (home / "valkey/appendonlydir").glob("*.incr.aof"):
        path.write_bytes(b"*9\r\n$nonsense" * 50)
    with EmbeddedStack(home, ("valkey",)) as stack:
        with redis.Redis.from_url(stack.environment()["REDIS_URL"]) as broker:
            assert broker.ping()
        assert (home / "valkey/appendonlydir.damaged").exists()


def test_two_stacks_run_side_by_side(tmp_path: Path) -> None:
    with EmbeddedStack(tmp_path / "one", FEW) as one, EmbeddedStack(tmp_path / "two", FEW) as two:
        assert not set(one.ports.values()) & set(two.ports.values())
        one.stop()
        two.wait_healthy()
        _store(two).ensure_bucket()
        assert one.everything() == []


def _fails(home: Path, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "project.embedded", "up", "--parts", "valkey"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PARLEY_HOME": str(home), "PORT": "0", **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


def test_one_home_is_for_one_stack(home: Path) -> None:
    with EmbeddedStack(home, ("valkey",)) as stack:
        told = _fails(home)
        assert f"already running in {home} (process {stack.supervisor_pid})" in told
        stack.wait_healthy()


def test_a_taken_port_is_named(home: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert f"PORT={port} cannot be used" in _fails(home, PORT=str(port))


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert "Cannot write to" in _fails(tmp_path / "file" / "home")


def test_a_command_runs_beside_the_stack_and_tells_its_status(home: Path) -> None:
    program = "import os; print('broker at', os.environ['REDIS_URL'][:18]); raise SystemExit(7)"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "project.embedded",
            "run",
            "--parts",
            "valkey",
            "--",
            sys.executable,
            "-c",
            program,
        ],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PARLEY_HOME": str(home), "PORT": "0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 7
    assert "broker at redis://:" in done.stdout


def test_https_is_served_with_the_certificate_of_the_home(home: Path) -> None:
    with EmbeddedStack(home, render_workers=1, env={"TLS": "1"}) as stack:
        assert stack.base_url.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=str(home / "tls/https-cert.pem"))
        answer = httpx.get(f"{stack.base_url}/livez", verify=context)
        assert answer.status_code == 200
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(f"{stack.base_url}/livez")
