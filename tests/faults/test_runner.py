"""The short form of `manage.py bench faults`: a batch and a conversation while parts die."""

from pathlib import Path

import pytest

from project.bench import config, writers
from project.bench.commands import faults
from project.bench.faults.plan import Plan
from project.bench.results import Result

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]


def test_everything_holds_while_parts_die(tmp_path: Path) -> None:
    chosen = config.read(config.path(faults.SHORT))
    plan = chosen.section("faults", Plan)
    result = Result.begin(chosen.common.name, command="faults", config=chosen.told("faults"))
    faults.perform(result, plan, chosen, tmp_path / "out")
    folder = writers.write(result, tmp_path / "out")
    assert [check for check in result.checks if not check.passed] == []
    told = [moment.what for moment in result.timeline]
    failures = [what for what in told if "ready again" in what or "goes on" in what]
    assert len(failures) == plan.failures.count, told
    assert (folder / "report.md").read_text().count("ready again") >= 1
