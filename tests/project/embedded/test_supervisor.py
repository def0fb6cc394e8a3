"""The supervisor with small programs for parts."""

import asyncio
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from project.embedded import probes
from project.embedded.errors import StackError
from project.embedded.home import Home
from project.embedded.parts import Part, levels
from project.embedded.supervisor import Supervisor

Start = Callable[..., Supervisor]


@pytest.fixture
async def supervise(home: Home, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Start]:
    monkeypatch.setattr("project.embedded.supervisor.BACKOFF_SECONDS", 0.01)
    made: list[Supervisor] = []
    # Stopping sweeps away whatever carries the marker, also in another test process.
    marker = secrets.token_hex(8)

    def make(*parts: Part, report: Callable[[str], None] = print) -> Supervisor:
        made.append(Supervisor(home, list(parts), env=dict(os.environ), marker=marker, report=report))
        return made[-1]

    yield make
    for supervisor in made:
        await supervisor.stop()


def _service(home: Home, name: str, *, needs: tuple[str, ...] = (), body: str = "", **options: Any) -> Part:
    """A part that writes down its start, says that it is ready, and stays."""
    ready = home.run / f"{name}.ready"
    program = (
        f"import time, pathlib; open({str(home.path / 'order')!r}, 'a').write('{name}\\n')\n{body}\n"
        f"pathlib.Path({str(ready)!r}).touch(); time.sleep(600)"
    )
    return Part(
        name,
        [sys.executable, "-c", program],
        needs=needs,
        probe=probes.file(ready),
        before=lambda: ready.unlink(missing_ok=True),
        **options,
    )


def _step(home: Home, name: str, *, needs: tuple[str, ...] = (), code: int = 0, says: str = "") -> Part:
    order = str(home.path / "order")
    program = f"open({order!r}, 'a').write('{name}\\n'); print({says!r}); raise SystemExit({code})"
    return Part(name, [sys.executable, "-c", program], needs=needs)


def _order(home: Home) -> list[str]:
    return (home.path / "order").read_text().split()


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


async def test_parts_start_after_what_they_need(home: Home, supervise: Start) -> None:
    parts = [
        _service(home, "web", needs=("prepare",)),
        _step(home, "prepare", needs=("database", "storage")),
        _service(home, "database"),
        _service(home, "storage"),
    ]
    await supervise(*parts).start()
    assert set(_order(home)[:2]) == {"database", "storage"}
    assert _order(home)[2:] == ["prepare", "web"]


async def test_a_need_that_is_met_elsewhere_is_not_waited_for(home: Home, supervise: Start) -> None:
    await supervise(_service(home, "web", needs=("valkey",))).start()


def test_parts_that_wait_for_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="wait for each other"):
        levels([Part("a", [], needs=("b",)), Part("b", [], needs=("a",))])


async def test_a_part_that_dies_is_started_again(home: Home, supervise: Start) -> None:
    supervisor = supervise(_service(home, "web"))
    await supervisor.start()
    first = supervisor.states["web"].pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await _until(lambda: supervisor.states["web"].state == "ready" and supervisor.states["web"].pid != first)
    assert supervisor.states["web"].restarts == 1


async def test_a_part_that_dies_leaves_no_temporary_files(home: Home, supervise: Start) -> None:
    working = "import tempfile; tempfile.mkstemp(prefix='words-')"
    supervisor = supervise(_service(home, "worker", body=working), _service(home, "web", body=working))
    await supervisor.start()
    first = supervisor.states["worker"].pid or 0
    there = set((home.run / "tmp").rglob("words-*"))
    assert len(there) == 2
    os.kill(first, signal.SIGKILL)
    state = supervisor.states["worker"]
    await _until(lambda: state.state == "ready" and state.pid != first)
    left = set((home.run / "tmp").rglob("words-*"))
    assert len(left) == 2
    assert {path.parent.name for path in left & there} == {"web"}


async def test_its_neighbours_are_left_alone(home: Home, supervise: Start) -> None:
    supervisor = supervise(_service(home, "web"), _service(home, "database"))
    await supervisor.start()
    before = supervisor.states["database"].pid
    os.kill(supervisor.states["web"].pid or 0, signal.SIGKILL)
    await _until(lambda: supervisor.states["web"].restarts == 1 and supervisor.states["web"].state == "ready")
    assert supervisor.states["database"].pid == before


async def test_a_step_that_fails_stops_the_start_with_its_last_words(home: Home, supervise: Start) -> None:
    supervisor = supervise(_step(home, "prepare", code=3, says="the table is locked"))
    with pytest.raises(StackError, match="prepare ended with status 3") as caught:
        await supervisor.start()
    assert "the table is locked" in str(caught.value)


async def test_a_part_that_never_becomes_ready_stops_the_start(home: Home, supervise: Start) -> None:
    part = _service(home, "web", body="raise SystemExit('no such module')")
    with pytest.raises(StackError, match="did not become ready") as caught:
        await supervise(part).start()
    assert "no such module" in str(caught.value)
    assert _order(home) == ["web"] * 3


async def test_a_part_that_hangs_at_its_start_is_killed(home: Home, supervise: Start) -> None:
    part = _service(home, "web", body="time.sleep(600)", start_seconds=0.3, stop_seconds=1.0)
    with pytest.raises(StackError, match="did not become ready"):
        await supervise(part).start()


async def test_a_program_that_is_not_there_is_named(home: Home, supervise: Start) -> None:
    with pytest.raises(StackError, match="/nowhere/weed cannot be run"):
        await supervise(Part("storage", ["/nowhere/weed"])).start()


async def test_data_a_part_cannot_read_is_set_aside(home: Home, supervise: Start) -> None:
    damaged = home.path / "damaged"
    damaged.touch()

    def repair() -> str:
        damaged.unlink()
        return "set aside"

    said: list[str] = []
    body = f"\nif pathlib.Path({str(damaged)!r}).exists(): raise SystemExit(1)"
    await supervise(_service(home, "valkey", body=body, repair=repair), report=said.append).start()
    assert "valkey: set aside" in said


async def test_nothing_is_left_after_a_stop(home: Home, supervise: Start) -> None:
    supervisor = supervise(_service(home, "web", needs=("database",)), _service(home, "database"))
    await supervisor.start()
    pids = [state.pid or 0 for state in supervisor.states.values()]
    await supervisor.stop()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert {state.state for state in supervisor.states.values()} == {"stopped"}


async def test_parts_stop_before_what_they_need(home: Home, supervise: Start) -> None:
    def goodbye(name: str) -> str:
        words = f"open({str(home.path / 'order')!r}, 'a').write('-{name}\\n')"
        return f"import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: ({words}, sys.exit(0)))"

    supervisor = supervise(
        _service(home, "database", body=goodbye("database")),
        _service(home, "web", needs=("database",), body=goodbye("web")),
    )
    await supervisor.start()
    await supervisor.stop()
    assert _order(home) == ["database", "web", "-web", "-database"]


async def test_a_stop_in_the_middle_of_a_start_leaves_nothing(home: Home, supervise: Start) -> None:
    supervisor = supervise(
        _service(home, "database"), _service(home, "web", needs=("database",), body="time.sleep(600)")
    )
    starting = asyncio.create_task(supervisor.start())
    await _until(lambda: supervisor.states["web"].pid is not None)
    pids = [state.pid or 0 for state in supervisor.states.values()]
    starting.cancel()
    await supervisor.stop()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_the_status_file_tells_how_it_is(home: Home, supervise: Start) -> None:
    supervisor = supervise(_service(home, "web"), _step(home, "prepare"))
    await supervisor.start()
    assert json.loads(home.status_file.read_text())["ready"] is False
    supervisor.announce()
    status = json.loads(home.status_file.read_text())
    assert status["ready"] is True
    assert status["supervisor"] == os.getpid()
    assert status["parts"]["web"]["state"] == "ready"
    assert status["parts"]["web"]["pid"] == supervisor.states["web"].pid
    assert status["parts"]["prepare"]["state"] == "done"
    await supervisor.stop()
    assert json.loads(home.status_file.read_text())["ready"] is False


async def test_every_part_has_its_log(home: Home, supervise: Start, tmp_path: Path) -> None:
    await supervise(_step(home, "prepare", says="hello from a part")).start()
    assert "hello from a part" in (home.logs / "prepare.log").read_text()
