"""What a measurement of conversations judges whatever the machine."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from project.bench import live_runs
from project.bench.commands.live import judge
from project.bench.customers import Service
from project.bench.live_figures import Figures
from project.bench.results import Result


@pytest.mark.parametrize(("late", "passed"), [([0] * 6, True), ([0] * 5 + [2], False), ([], True)])
def test_an_answer_that_goes_on_behind_its_silence_fails_the_run(late: list[float], passed: bool):
    result, figures = Result.begin("tiny", command="live"), Figures("viseme")
    figures.add("late_packets", "steady", *late)
    figures.into(result)
    judge(result, "viseme")
    assert result.passed is passed
    assert [check.evidence for check in result.checks] == (
        [f"{int(not passed)} of {len(late)} answers were, by up to {max(late)} packets"] if late else []
    )


@pytest.mark.parametrize("receiver", ["aiortc", "Chromium"])
async def test_a_call_that_fails_fails_the_run_and_the_others_are_made(receiver, monkeypatch):
    calls = itertools.count()

    async def join(_: object, figures: Figures, *__: object) -> None:
        if next(calls) == 1:
            raise TimeoutError("http://somewhere/?token=secret")
        figures.add("webrtc_first_frame_ms", "warm", 60.0, case=receiver)

    @asynccontextmanager
    async def chromium() -> AsyncIterator[None]:
        yield

    monkeypatch.setattr(live_runs, "chromium", chromium)
    monkeypatch.setattr(live_runs, f"_{receiver.lower()}_join", join)
    result, figures = Result.begin("tiny", command="live"), Figures("viseme")
    joins = {"aiortc": live_runs.aiortc_joins, "Chromium": live_runs.chromium_joins}[receiver]
    await joins(live_runs.Talk(Service("http://host", "key"), "Hello?"), figures, 3)
    figures.into(result)
    (metric,), (check,) = result.metrics, result.checks
    assert metric.n == 2
    assert not check.passed
    assert check.name == f"viseme: every call of {receiver} came to its end"
    assert check.evidence == "1 of 3 failed, the last with TimeoutError"


async def test_calls_that_all_came_to_their_end_pass(monkeypatch):
    async def join(*_: object) -> None:
        pass

    monkeypatch.setattr(live_runs, "_aiortc_join", join)
    result, figures = Result.begin("tiny", command="live"), Figures("viseme")
    await live_runs.aiortc_joins(live_runs.Talk(Service("http://host", "key"), "Hello?"), figures, 2)
    figures.into(result)
    assert [(check.passed, check.evidence) for check in result.checks] == [(True, "0 of 2 failed")]
