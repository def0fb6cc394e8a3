"""The logs of a run that fails outlive its stack."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from project.bench import config
from project.bench.commands import faults
from project.bench.faults.plan import Plan
from project.bench.results import Result
from tests.project.bench.faults.seen import good

CHOSEN = config.read(config.path(faults.SHORT))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state of a stack whose processes are not there."""
    home = tmp_path / "home"
    (home / "logs").mkdir(parents=True)
    (home / "logs" / "web1.log").write_text("it broke\n")
    (home / "supervisor.out").write_text("web1 is ready\n")
    stack = SimpleNamespace(stop=lambda: 0, everything=list)

    @contextmanager
    def started(*_: object, **__: object) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(home=home, stack=stack)

    monkeypatch.setattr(faults.target, "started", started)
    avatar = {"id": "avt_1", "slug": "lena", "width": 512, "height": 512}
    monkeypatch.setattr(faults, "_avatar", lambda *_: avatar)
    monkeypatch.setattr(faults, "_card", lambda *_: "avt_2")
    return home


def perform(folder: Path, monkeypatch: pytest.MonkeyPatch, *, passed: bool | None) -> None:
    """A run that passes, fails, or (None) breaks off."""

    def play() -> object:
        if passed is None:
            raise OSError("it broke off")
        return good()

    monkeypatch.setattr(faults, "Run", lambda *_: SimpleNamespace(play=play))
    monkeypatch.setattr(faults.report, "fill", lambda result, *_: result.check("all held", passed, ""))
    plan = CHOSEN.section("faults", Plan)
    faults.perform(Result.begin("faults", command="faults", config={}), plan, CHOSEN, folder)


@pytest.mark.usefixtures("home")
def test_the_logs_of_a_run_that_failed_a_check_are_kept(tmp_path, monkeypatch):
    perform(tmp_path / "out", monkeypatch, passed=False)
    assert (tmp_path / "out" / "logs" / "web1.log").read_text() == "it broke\n"
    assert (tmp_path / "out" / "logs" / "supervisor.out").exists()


@pytest.mark.usefixtures("home")
def test_the_logs_of_a_run_that_broke_off_are_kept(tmp_path, monkeypatch):
    with pytest.raises(OSError, match="it broke off"):
        perform(tmp_path / "out", monkeypatch, passed=None)
    assert (tmp_path / "out" / "logs" / "web1.log").exists()


@pytest.mark.usefixtures("home")
def test_a_run_that_passed_leaves_no_logs_nor_those_of_the_one_before(tmp_path, monkeypatch):
    perform(tmp_path / "out", monkeypatch, passed=False)
    perform(tmp_path / "out", monkeypatch, passed=True)
    assert not (tmp_path / "out" / "logs").exists()
