"""The yardsticks of a run: measured here, without anything of the service."""

import ast
from pathlib import Path

import pytest

from project.bench import calibration
from project.embedded.errors import StackError

OURS = ("generation", "sessions", "rtc", "workers", "storage")


def test_each_yardstick_is_measured_as_often_as_asked():
    taken = calibration.take(2)
    assert set(taken) == set(calibration.BOUNDARIES)
    assert all(len(values) == 2 and min(values) > 0 for values in taken.values())


def test_what_cannot_be_measured_is_left_out(monkeypatch: pytest.MonkeyPatch):
    def nowhere() -> str:
        raise StackError("no broker")

    monkeypatch.setattr(calibration, "binary", nowhere)
    assert set(calibration.BOUNDARIES) - set(calibration.take(1)) == {"calibration_round_trip_ms"}


def test_takes_are_joined_also_where_one_lacks_something():
    assert calibration.joined({"a": [1.0], "b": [2.0]}, {"a": [3.0]}) == {"a": [1.0, 3.0], "b": [2.0]}


def test_a_yardstick_uses_no_code_that_is_judged_by_it():
    tree = ast.parse(Path(calibration.__file__).read_text(encoding="utf-8"))
    imported = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not [name for name in imported if name.startswith(OURS)]


def test_nothing_of_it_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(calibration.tempfile, "tempdir", str(tmp_path))
    calibration.take(1)
    assert list(tmp_path.iterdir()) == []
