"""One child process: started so that it cannot outlive us, stopped with everything it started."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

MARKER = "PARLEY_STACK"
POLL_SECONDS = 0.05
AUTOGROUP_TRIES = 100
AUTOGROUP_PAUSE_SECONDS = 0.1
_PR_SET_PDEATHSIG = 1
# Loaded here and not after the fork, where little is safe.
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Child:
    """A running process and its group. Start and stop it from the main thread only.

    The kernel sends the parent-death signal when the *thread* that forked goes, hence the main one.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        log: IO[bytes],
        nice: int = 0,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self._process = subprocess.Popen(
            command,
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=pass_fds,
            start_new_session=True,
            preexec_fn=_prepare(os.getpid(), nice),  # noqa: PLW1509 - the supervisor has one thread
        )
        self.pid = self._process.pid
        self._exit: asyncio.Task[int] = asyncio.create_task(self._reap(), name=f"reap {self.pid}")
        self._behind = asyncio.create_task(_step_back(self.pid, nice)) if nice else None

    @property
    def running(self) -> bool:
        return not self._exit.done()

    async def wait(self) -> int:
        """Wait for the end; negative codes are signals."""
        return await asyncio.shield(self._exit)

    async def stop(self, deadline_seconds: float) -> None:
        """Ask, wait, and then insist; afterwards nothing of its group is left."""
        self.signal(signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(deadline_seconds):
                await self.wait()
        self.signal(signal.SIGKILL)
        await self.wait()

    def signal(self, number: int) -> None:
        """Signal the whole group, as long as its leader has not been reaped."""
        if self.running:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    async def _reap(self) -> int:
        await _gone(self.pid)
        if self._behind is not None:
            self._behind.cancel()
        # The dead leader is not reaped yet, so the number of its group cannot be anybody else's.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        return self._process.wait()


def _prepare(parent: int, nice: int) -> Callable[[], None]:
    """What the child does between fork and exec: ask to die with its parent, and step back."""

    def prepare() -> None:
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:  # it died before we could ask
                os._exit(1)
        if nice:
            os.nice(nice)

    return prepare


async def _step_back(pid: int, nice: int) -> None:
    """Give the whole session of a process its niceness.

    Where Linux groups processes by session (`sched_autogroup_enabled`), it shares the cores out among the
    sessions first, each with a niceness of its own; that of a process counts within its session only,
    and every part of the stack has one to itself.
    """
    group = Path(f"/proc/{pid}/autogroup")
    for _ in range(AUTOGROUP_TRIES):
        try:
            group.write_text(str(nice))  # noqa: ASYNC240 - a file of the kernel
        except BlockingIOError:  # the kernel allows one change in a tenth of a second
            await asyncio.sleep(AUTOGROUP_PAUSE_SECONDS * (1 + pid % 7 / 7))
        except OSError:  # no such thing here, or the process is gone
            return
        else:
            return


def die_with_parent() -> None:
    """Ask for SIGTERM when whoever started us is gone: `make` was killed, say."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


async def _gone(pid: int) -> None:
    """Wait until a child has ended, without reaping it."""
    if not hasattr(os, "pidfd_open"):
        await _gone_by_asking(pid)
        return
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:  # an old kernel, or one that pretends to be Linux
        await _gone_by_asking(pid)
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def _gone_by_asking(pid: int) -> None:
    while not _has_ended(pid):  # noqa: ASYNC110 - nothing to be woken by where there are no pidfds
        await asyncio.sleep(POLL_SECONDS)


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def marked(marker: str) -> list[int]:
    """Every process of ours that carries this stack's marker in its environment."""
    wanted = f"{MARKER}={marker}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        # Gone in between, or not ours to look at.
        with suppress(OSError):
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return [pid for pid in found if pid != os.getpid()]


def sweep(marker: str) -> int:
    """Kill whatever still carries the marker; return how many there were."""
    pids = marked(marker)
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return len(pids)
