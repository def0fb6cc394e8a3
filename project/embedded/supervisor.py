"""Starts the parts in the order of their needs, restarts what dies, and stops everything it started."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from project.embedded.errors import StackError
from project.embedded.home import Home
from project.embedded.logs import Logs, headline
from project.embedded.parts import Part, levels
from project.embedded.process import MARKER, Child, sweep

PROBE_SECONDS = 0.1
ROTATE_SECONDS = 30
FIRST_TRIES = 3  # starts that may fail before the whole stack gives up
REPAIR_AFTER = 3  # failed starts in a row before a part's data is looked at
BACKOFF_SECONDS = 0.25
MAX_BACKOFF_SECONDS = 15.0
STEADY_SECONDS = 30.0  # a part that lived this long starts over with a short backoff

Report = Callable[[str], None]


@dataclass
class State:
    """What the status file says of one part."""

    state: str = "waiting"  # waiting, starting, ready, done, restarting, stopped
    pid: int | None = None
    restarts: int = 0
    started_seconds: float = 0.0  # what its first start took


class Supervisor:
    """Runs one set of parts, once."""

    def __init__(
        self, home: Home, parts: list[Part], *, env: Mapping[str, str], marker: str, report: Report
    ) -> None:
        self._home = home
        self._levels = levels(parts)
        self._parts = {part.name: part for part in parts}
        self._env = {**env, MARKER: marker}
        self._marker = marker
        self._report = report
        self._logs = Logs(home.logs)
        self._ready = {part.name: asyncio.Event() for part in parts}
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._children: dict[str, Child] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._announced = False
        self.states = {part.name: State() for part in parts}

    async def start(self) -> None:
        """Start everything; return once every part is ready, or raise StackError."""
        self._publish()
        self._tasks = [asyncio.create_task(self._keep(part), name=name) for name, part in self._parts.items()]
        self._tasks.append(asyncio.create_task(self._rotate(), name="rotate"))
        everything = asyncio.create_task(self._everything(), name="everything")
        try:
            await asyncio.wait({everything, self._failed}, return_when=asyncio.FIRST_COMPLETED)
            if self._failed.done():
                self._failed.result()
        finally:
            everything.cancel()

    async def _everything(self) -> None:
        for event in self._ready.values():
            await event.wait()

    def announce(self) -> None:
        """From now on the status file may say "ready": what callers need has been written down."""
        self._announced = True
        self._publish()

    async def failed(self) -> None:
        """Raise StackError if a part turns out to be beyond help."""
        await asyncio.shield(self._failed)

    async def stop(self) -> None:
        """Stop what runs, last started first; afterwards no process of this stack is left."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for level in reversed(self._levels):
            await asyncio.gather(*(self._stop(part) for part in level))
        # What a part started outside its own group carries our marker all the same.
        sweep(self._marker)
        self._failed.cancel()

    def kill(self) -> None:
        """End everything at once: somebody pressed Ctrl-C twice."""
        for child in self._children.values():
            child.signal(9)

    async def _stop(self, part: Part) -> None:
        child = self._children.get(part.name)
        if child is not None and child.running:
            await child.stop(part.stop_seconds)
        if part.after is not None:
            part.after()
        self._move(part, "stopped", pid=None)

    async def _keep(self, part: Part) -> None:
        """The life of one part, from the moment its needs are met."""
        try:
            for need in part.needs:
                if need in self._ready:
                    await self._ready[need].wait()
            if part.probe is None:
                await self._run_step(part)
            else:
                await self._run_service(part)
        except StackError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - whatever it was, nobody may wait for this part for ever
            self._fail(StackError(f"{part.name}: {error!r}"))

    async def _run_step(self, part: Part) -> None:
        began = time.monotonic()
        child = self._spawn(part)
        code = await child.wait()
        if code != 0:
            raise StackError(self._obituary(part, f"ended with status {code}"))
        self._move(part, "done", pid=None)
        self._set_ready(part, began)

    async def _run_service(self, part: Part) -> None:
        began, failures = time.monotonic(), 0
        while True:
            born = time.monotonic()
            child = self._spawn(part)
            if await self._becomes_ready(part, child):
                failures = 0
                self._move(part, "ready")
                self._set_ready(part, began)
                await child.wait()
                if time.monotonic() - born < STEADY_SECONDS:
                    failures = 1
            else:
                failures += 1
                await child.stop(part.stop_seconds)
                self._give_up_or_repair(part, failures)
            await self._pause(part, failures)

    async def _becomes_ready(self, part: Part, child: Child) -> bool:
        deadline = time.monotonic() + part.start_seconds
        while child.running and time.monotonic() < deadline:
            if part.probe is not None and await part.probe():
                return child.running
            await asyncio.sleep(PROBE_SECONDS)
        return False

    def _give_up_or_repair(self, part: Part, failures: int) -> None:
        if part.repair is not None and failures == REPAIR_AFTER and (done := part.repair()):
            self._report(f"{part.name}: {done}")
        elif failures >= FIRST_TRIES and not self._ready[part.name].is_set():
            raise StackError(self._obituary(part, "did not become ready"))

    async def _pause(self, part: Part, failures: int) -> None:
        state = self.states[part.name]
        state.restarts += 1
        self._move(part, "restarting", pid=None)
        if self._ready[part.name].is_set():
            self._report(f"{part.name} died and is started again; see {self._logs.path(part.name)}")
        await asyncio.sleep(min(BACKOFF_SECONDS * 2 ** min(failures, 10), MAX_BACKOFF_SECONDS))

    def _spawn(self, part: Part) -> Child:
        if part.before is not None:
            part.before()
        # What a killed process was working on, customers' words and sound among it, is not left lying about.
        scratch = str(self._home.scratch(part.name))
        with self._logs.open(part.name) as log:
            log.write(headline(part.name, self._env.get("LOG_FORMAT", "")))
            try:
                child = Child(
                    part.command,
                    env={**self._env, "PROCESS_NAME": part.name, "TMPDIR": scratch, **part.env},
                    cwd=part.cwd or Path.cwd(),
                    log=log,
                    nice=part.nice,
                    pass_fds=part.pass_fds,
                )
            except OSError as error:
                raise StackError(f"{part.name}: {part.command[0]} cannot be run: {error.strerror}") from error
        self._children[part.name] = child
        self._move(part, "starting", pid=child.pid)
        return child

    def _set_ready(self, part: Part, began: float) -> None:
        if not self._ready[part.name].is_set():
            self.states[part.name].started_seconds = round(time.monotonic() - began, 2)
            self._report(f"  {part.name:<10} ready after {time.monotonic() - began:.1f} s")
            self._ready[part.name].set()
            self._publish()

    def _move(self, part: Part, state: str, *, pid: int | None = -1) -> None:
        self.states[part.name].state = state
        if pid != -1:
            self.states[part.name].pid = pid
        self._publish()

    def _publish(self) -> None:
        status = {
            "supervisor": os.getpid(),
            "ready": self._announced
            and all(state.state in ("ready", "done") for state in self.states.values()),
            "parts": {name: asdict(state) for name, state in self.states.items()},
        }
        try:
            self._home.write(self._home.status_file, json.dumps(status, indent=2) + "\n")
        except OSError as error:  # a full disk must not take the running parts down
            self._report(f"Cannot write {self._home.status_file}: {error.strerror}")

    def _fail(self, error: StackError) -> None:
        if not self._failed.done():
            self._failed.set_exception(error)

    def _obituary(self, part: Part, what: str) -> str:
        tail = self._logs.tail(part.name)
        return f"{part.name} {what}. The end of {self._logs.path(part.name)}:\n\n{tail}"

    async def _rotate(self) -> None:
        while True:
            await asyncio.sleep(ROTATE_SECONDS)
            try:
                self._logs.rotate()
            except OSError as error:  # tried again at the next turn
                self._report(f"Cannot rotate the logs: {error.strerror}")


@contextmanager
def watchdog(marker: str) -> Iterator[IO[bytes]]:
    """Keep a small process that ends what we started, should we be killed ourselves."""
    program = Path(__file__).with_name("watchdog.py")
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={},
        start_new_session=True,
    )
    pipe = process.stdin
    if pipe is None:
        raise AssertionError("it was asked for a pipe")
    try:
        pipe.write(f"{marker}\n".encode())
        pipe.flush()
        yield pipe
    finally:
        pipe.close()
        process.wait()
