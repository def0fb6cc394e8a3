"""The real stack, for tests that start it, kill parts of it, or drive it like a client.

with EmbeddedStack(tmp_path / "home") as stack:
    stack.client.post("/api/v1/clips", json={...})
    stack.kill("render1", signal.SIGKILL)
    stack.wait_healthy()
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from project.embedded.home import Home
from project.embedded.process import marked
from project.embedded.stack import NAMES, ROOT

START_SECONDS = 300.0
STOP_SECONDS = 60.0
WAIT_SECONDS = 180.0  # a bound for what hangs; a busy machine takes its time
# What the suite or a developer's shell may have set: a stack under test gets its own.
OURS = (
    *("SECRET_KEY", "DATABASE_URL", "REDIS_URL", "S3_ENDPOINT_URL", "S3_PUBLIC_ENDPOINT_URL", "S3_PORT"),
    *(
        "S3_ACCESS_KEY_ID",
        "S3_SECRET_ACCESS_KEY",
        "S3_BUCKET",
        "SPEECH_URL",
        "SPEECH_API_KEY",
        "HOST",
        "PORT",
    ),
    *("PUBLIC_URL", "ALLOWED_HOSTS", "TLS", "HEALTH_TOKEN", "METRICS_TOKEN", "METRICS_DIR", "PROCESS_NAME"),
    *("LOG_FORMAT", "LOG_LEVEL", "LOG_SPOKEN_TEXT", "OTEL_EXPORTER_OTLP_ENDPOINT", "DJANGO_SETTINGS_MODULE"),
)


class EmbeddedStack:
    """One stack on free ports in its own home; always stopped, and nothing of it is left running."""

    def __init__(
        self,
        home: Path,
        parts: Sequence[str] = NAMES,
        render_workers: int | None = None,
        *,
        env: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.home = home
        self.parts = tuple(parts)
        self._env = {name: value for name, value in os.environ.items() if name not in OURS}
        self._env |= {"PARLEY_HOME": str(home), "PORT": "0", "HOST": host}
        if render_workers is not None:
            self._env["RENDER_WORKERS"] = str(render_workers)
        self._env |= dict(env or {})
        self._process: subprocess.Popen[bytes] | None = None

    # --- Life ------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, *, wait: bool = True) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self.status_file.unlink(missing_ok=True)
        with (self.home / "supervisor.out").open("ab") as out:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "project.embedded",
                    "--with-parent",
                    "up",
                    "--parts",
                    ",".join(self.parts),
                ],
                cwd=ROOT,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if wait:
            try:
                self.wait_healthy(START_SECONDS)
            except BaseException:
                self.stop()
                raise

    def stop(self) -> int | None:
        """Stop as Ctrl-C does; return the supervisor's exit status."""
        if self._process is None:
            return None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
        return self._process.wait()

    # --- What is there ---------------------------------------------------------------------

    @property
    def status_file(self) -> Path:
        return self.home / "run" / "status.json"

    @property
    def supervisor_pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        return None if self._process is None else self._process.poll()

    def status(self) -> dict[str, Any]:
        with suppress(FileNotFoundError):
            return dict(json.loads(self.status_file.read_text()))
        return {"ready": False, "parts": {}}

    def pid(self, part: str) -> int:
        """The process of a part, such as "valkey", "storage", "web2", "render1", "general"."""
        pid = self._state(part)["pid"]
        assert pid is not None, f"{part} is not running"
        return int(pid)

    def _state(self, part: str) -> dict[str, Any]:
        """What the status file says of a part; of several alike ("web"), the first."""
        parts = self.status()["parts"]
        found = parts.get(part) or parts.get(f"{part}1")
        assert found is not None, f"{part} is no part of the stack now"
        return dict(found)

    def pids(self) -> dict[str, int]:
        return {name: state["pid"] for name, state in self.status()["parts"].items() if state["pid"]}

    def everything(self) -> list[int]:
        """Every process that carries this stack's marker, whoever started it."""
        return marked(self.secrets["marker"])

    @property
    def secrets(self) -> dict[str, str]:
        return Home(self.home).secrets()

    @property
    def ports(self) -> dict[str, int]:
        return dict(json.loads((self.home / "ports.json").read_text()))

    @property
    def connection(self) -> dict[str, str]:
        return dict(json.loads((self.home / "connection.json").read_text()))

    @property
    def base_url(self) -> str:
        return self.connection["url"]

    @property
    def api_key(self) -> str:
        return self.connection["api_key"]

    @property
    def admin(self) -> tuple[str, str]:
        """E-mail address and password."""
        return self.connection["admin_user"], self.connection["admin_password"]

    @property
    def client(self) -> httpx.Client:
        """A new client with our API key; close it, or use it in a `with` block."""
        return httpx.Client(
            base_url=self.base_url,
            headers={"Authorization": f"Bearer {self.api_key}"},
            timeout=60,
            verify=False,  # noqa: S501 - certificates of our own making
        )

    def environment(self) -> dict[str, str]:
        """The environment of a child: for a management command or a script beside the stack."""
        pid = next(iter(self.pids().values()))
        pairs = (pair.partition("=") for pair in Path(f"/proc/{pid}/environ").read_text().split("\0") if pair)
        return {name: value for name, _, value in pairs if name != "PROCESS_NAME"}

    def manage(self, *arguments: str) -> str:
        """Run a management command against this stack and return what it printed."""
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def log(self, part: str) -> str:
        return (self.home / "logs" / f"{part}.log").read_text(errors="replace")

    def logs(self) -> str:
        """The end of every log: for the message of a failed test."""
        texts = [(self.home / "supervisor.out").read_text(errors="replace")]
        for path in sorted((self.home / "logs").glob("*.log")):
            lines = path.read_text(errors="replace").splitlines()[-15:]
            texts.append(f"== {path.name}\n" + "\n".join(lines))
        return "\n".join(texts)

    # --- What can happen to it ---------------------------------------------------------------

    def kill(self, part: str, number: int = signal.SIGKILL) -> int:
        """Signal a part and return the process it was."""
        pid = self.pid(part)
        os.kill(pid, number)
        return pid

    def restarts(self, part: str) -> int:
        return int(self._state(part)["restarts"])

    def wait_healthy(self, seconds: float = WAIT_SECONDS) -> None:
        """Wait until every part is ready."""
        self.wait_until(lambda: bool(self.status()["ready"]), "every part is ready", seconds)

    def wait_restarted(self, part: str, old_pid: int, seconds: float = WAIT_SECONDS) -> None:
        """Wait until a part that was killed is ready again as another process."""
        self.wait_until(lambda: self.restarted(part, old_pid), f"{part} is ready again", seconds)

    def restarted(self, part: str, old_pid: int) -> bool:
        """Whether a part that was killed is ready again as another process."""
        state = self._state(part)
        return bool(state["state"] == "ready" and state["pid"] != old_pid)

    def wait_until(self, condition: Callable[[], bool], what: str, seconds: float = WAIT_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.exit_status is None, f"The stack ended while waiting until {what}\n{self.logs()}"
            assert time.monotonic() < deadline, f"Not after {seconds} s: {what}\n{self.logs()}"
            time.sleep(0.1)
