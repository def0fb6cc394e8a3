"""What a measurement of conversations judges whatever the machine."""

import pytest

from project.bench.commands.live import judge
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
