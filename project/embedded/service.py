"""One run of the stack: from the first lock to the last process."""

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from project.embedded.environment import Plan, plan
from project.embedded.home import Home
from project.embedded.ports import Ports
from project.embedded.process import MARKER, sweep
from project.embedded.stack import NAMES, parts, result_file
from project.embedded.supervisor import Supervisor, watchdog

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
COMMAND_STOP_SECONDS = 10.0


class Stop:
    """Set by the first signal; the second one ends everything at once."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.by: int | None = None
        self.supervisor: Supervisor | None = None

    def __call__(self, number: int) -> None:
        if self.event.is_set() and self.supervisor is not None:
            self.supervisor.kill()
        self.by = number
        self.event.set()


async def run(
    home_path: Path,
    given: Mapping[str, str],
    *,
    wanted: tuple[str, ...] = NAMES,
    command: list[str] | None = None,
) -> int:
    """Run the stack until a signal comes or `command` ends; return the exit status."""
    home = Home(home_path)
    with _signals() as stop, home.held():
        secrets = home.secrets()
        for left in home.run.iterdir():
            shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
        shutil.rmtree(home.figures, ignore_errors=True)
        if left_over := sweep(secrets["marker"]):
            _say(f"Ended {left_over} processes that an earlier run had left behind.")
        ports = Ports(home)
        try:
            return await _run(plan(home, ports, given), wanted, command, stop)
        finally:
            ports.release()


async def _run(made: Plan, wanted: tuple[str, ...], command: list[str] | None, stop: Stop) -> int:
    _say(f"Starting Parley in {made.home.path} (logs in {made.home.logs})")
    marker = made.secrets["marker"]
    with watchdog(marker):
        supervisor = Supervisor(made.home, parts(made, wanted), env=made.env, marker=marker, report=_say)
        stop.supervisor = supervisor
        try:
            if not await _first(stop, supervisor.start()):
                return _status(stop)
            connection, is_new = _write_connection(made)
            supervisor.announce()
            if command is None:
                _say(_summary(made, connection, is_new=is_new))
                await _first(stop, supervisor.failed())
                return _status(stop)
            return await _beside(made, command, stop)
        finally:
            _say("Stopping...")
            await supervisor.stop()
            _say("Stopped.")


async def _first(stop: Stop, work: Coroutine[Any, Any, None]) -> bool:
    """Wait for the work or for a signal; True when the work was first. Its errors are raised."""
    task = asyncio.create_task(work)
    signalled = asyncio.create_task(stop.event.wait())
    try:
        await asyncio.wait({task, signalled}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        return task.done()
    finally:
        for future in (task, signalled):
            future.cancel()
        await asyncio.gather(task, signalled, return_exceptions=True)


async def _beside(made: Plan, command: list[str], stop: Stop) -> int:
    """Run a command with the environment of the parts, in the foreground."""
    env = {**made.env, MARKER: made.secrets["marker"]}
    process = await asyncio.create_subprocess_exec(*command, env=env, stdin=None)
    ended = asyncio.create_task(process.wait())
    signalled = asyncio.create_task(stop.event.wait())
    await asyncio.wait({ended, signalled}, return_when=asyncio.FIRST_COMPLETED)
    signalled.cancel()
    if process.returncode is None:
        process.terminate()
        await asyncio.wait({ended}, timeout=COMMAND_STOP_SECONDS)
    if process.returncode is None:
        process.kill()
    code = await ended
    return code if code >= 0 else 128 - code


def _status(stop: Stop) -> int:
    """Ctrl-C and SIGTERM are how `up` is meant to end; both are a success once it has stopped cleanly."""
    return 0 if stop.by in STOP_SIGNALS else 1


def _write_connection(made: Plan) -> tuple[dict[str, str | None], bool]:
    """Keep what scripts need to call us; True when a password was made at this start."""
    kept = made.home.read_json(made.home.connection_file)
    fresh = {k: v for k, v in made.home.read_json(result_file(made)).items() if v}
    content: dict[str, str | None] = {
        "url": made.public_url,
        **{name: fresh.get(name) or kept.get(name) for name in ("api_key", "admin_user", "admin_password")},
    }
    made.home.write(made.home.connection_file, json.dumps(content, indent=2) + "\n")
    return content, content["admin_password"] != kept.get("admin_password")


def _summary(made: Plan, connection: Mapping[str, str | None], *, is_new: bool) -> str:
    kept = f"as before; it is in {made.home.connection_file}"
    lines = [
        "",
        f"  Parley is ready:  {made.public_url}/",
        f"  Admin:            {made.public_url}/admin/",
        f"  API:              {made.public_url}/api/docs/",
        "",
        f"  Sign in as        {connection['admin_user'] or kept}",
        f"  Password          {connection['admin_password'] if is_new else kept}",
        f"  API key           {connection['api_key'] or kept}",
        "",
        "  Ctrl-C stops everything.",
        "",
    ]
    return "\n".join(lines)


@contextmanager
def _signals() -> Iterator[Stop]:
    stop = Stop()
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop, number)
    try:
        yield stop
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)


def _say(text: str) -> None:
    """Write to the terminal, which may be gone: that is no reason to leave processes behind."""
    try:
        print(text, flush=True)
    except OSError:
        # From now on to nowhere, so that the interpreter does not stumble over it at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
