import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from project.embedded.process import MARKER, Child, marked, sweep

PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
"""


def _child(program: str, log: Path, **options: object) -> Child:
    with log.open("ab") as file:
        return Child(
            [sys.executable, "-c", program],
            env={**os.environ, **options.pop("env", {})},  # type: ignore[dict-item]
            cwd=log.parent,
            log=file,
            **options,  # type: ignore[arg-type]
        )


async def _line(log: Path) -> str:
    while not log.exists() or "\n" not in log.read_text():
        await asyncio.sleep(0.02)
    return log.read_text().splitlines()[0]


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def _until_gone(pid: int) -> None:
    async with asyncio.timeout(10):
        while _alive(pid):
            await asyncio.sleep(0.02)


async def test_the_exit_status_is_told(tmp_path: Path) -> None:
    child = _child("raise SystemExit(3)", tmp_path / "log")
    assert await child.wait() == 3
    assert not child.running


async def test_output_and_errors_go_to_the_log(tmp_path: Path) -> None:
    child = _child("import sys; print('out'); print('err', file=sys.stderr)", tmp_path / "log")
    await child.wait()
    assert sorted((tmp_path / "log").read_text().split()) == ["err", "out"]


async def test_stopping_a_part_stops_what_it_started(tmp_path: Path) -> None:
    child = _child(PARENT, tmp_path / "log")
    grandchild = int(await _line(tmp_path / "log"))
    await child.stop(5)
    await _until_gone(grandchild)


async def test_what_a_part_started_does_not_outlive_its_crash(tmp_path: Path) -> None:
    child = _child(PARENT, tmp_path / "log")
    grandchild = int(await _line(tmp_path / "log"))
    os.kill(child.pid, signal.SIGKILL)
    assert await child.wait() == -signal.SIGKILL
    await _until_gone(grandchild)


async def test_a_part_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    child = _child(STUBBORN, tmp_path / "log")
    await _line(tmp_path / "log")
    await child.stop(0.2)
    assert await child.wait() == -signal.SIGKILL


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="this kernel has no such groups")
async def test_it_steps_back_with_its_whole_session(tmp_path: Path) -> None:
    """Niceness alone counts within a session only where the kernel groups processes by session."""
    children = [
        _child("import time; time.sleep(60)", tmp_path / f"log{nice}", nice=nice) for nice in (0, 7, 15)
    ]
    told = [Path(f"/proc/{child.pid}/autogroup") for child in children]
    async with asyncio.timeout(20):
        while [path.read_text().split()[-1] for path in told] != ["0", "7", "15"]:
            await asyncio.sleep(0.02)
    for child in children:
        await child.stop(1.0)


async def test_a_part_can_step_back(tmp_path: Path) -> None:
    child = _child("import os; print(os.nice(0))", tmp_path / "log", nice=7)
    await child.wait()
    assert int((tmp_path / "log").read_text()) >= 7


async def test_a_part_dies_with_the_one_who_started_it(tmp_path: Path) -> None:
    """The supervisor is killed: the kernel ends its children."""
    program = f"""
import asyncio, os, sys
from pathlib import Path
from project.embedded.process import Child
async def main():
    with open({str(tmp_path / "inner")!r}, "ab") as log:
        sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
        child = Child(sleeper, env=dict(os.environ), cwd=Path("."), log=log)
    print(child.pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""
    starter = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert starter.stdout is not None
    child = int(starter.stdout.readline())
    assert _alive(child)
    starter.kill()
    starter.wait()
    await _until_gone(child)


def test_the_watchdog_ends_what_left_its_group() -> None:
    """Something that made itself a session of its own still carries the marker."""
    marker = f"test-{time.time_ns()}"
    runaway = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"],
        env={**os.environ, MARKER: marker},
        start_new_session=True,
    )
    watchdog = Path(__file__).parents[3] / "project/embedded/watchdog.py"
    guard = subprocess.Popen([sys.executable, "-I", "-S", watchdog], stdin=subprocess.PIPE)
    assert guard.stdin is not None
    guard.stdin.write(f"{marker}\n".encode())
    guard.stdin.flush()
    assert runaway.poll() is None
    guard.stdin.close()  # what the kernel does when the supervisor is killed
    assert guard.wait(10) == 0
    assert runaway.wait(10) == -signal.SIGKILL


def test_only_processes_with_the_very_marker_are_swept() -> None:
    mine, other = f"test-{time.time_ns()}", f"test-{time.time_ns()}-other"
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    victims = [subprocess.Popen(sleeper, env={**os.environ, MARKER: marker}) for marker in (mine, other)]
    try:
        deadline = time.monotonic() + 10
        while marked(mine) != [victims[0].pid] and time.monotonic() < deadline:
            time.sleep(0.02)  # until the child has become its program
        assert sweep(mine) == 1
        assert victims[0].wait(10) == -signal.SIGKILL
        assert victims[1].poll() is None
    finally:
        for victim in victims:
            victim.kill()
            victim.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
def test_the_supervisor_itself_may_ask_to_end_with_make() -> None:
    program = """
import subprocess, sys
inner = (
    "from project.embedded.process import die_with_parent; import time; die_with_parent();"
    "print('up', flush=True); time.sleep(600)"
)
child = subprocess.Popen([sys.executable, "-c", inner], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
__import__("os")._exit(0)
"""
    starter = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    pid = int(starter.stdout)
    deadline = time.monotonic() + 10
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _alive(pid)
