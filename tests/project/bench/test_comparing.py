"""Runs against each other: what is worse is named, noise is not, and machines may differ."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from project.bench import calibration, gates
from project.bench.baseline import Middle, Run
from project.bench.comparing import Comparison, compare, told
from project.bench.gates import Gate, Gates
from project.bench.machine import Hardware
from project.bench.results import Better, Result

JUDGING = Gates(
    (
        Gate("interrupt_ms", fixed=20, yardsticks={"calibration_cpu_ms": 1}),
        Gate("freezes", least=2),
        Gate("av_drift_ms", magnitude=True, least=10, goal=40),
        Gate("*", yardsticks={"calibration_cpu_ms": 0.5, "calibration_x264_ms": 0.5}),
    )
)
YARDSTICKS = {"calibration_cpu_ms": 10.0, "calibration_x264_ms": 20.0}


def near(middle: float, spread: float = 0.05, n: int = 20, seed: int = 1) -> list[float]:
    """Repeats that differ as those of a quiet machine do."""
    dice = random.Random(f"{middle} {n} {seed}")
    return [middle * (1 + spread * dice.uniform(-1, 1)) for _ in range(n)]


def run(
    figures: Mapping[str, Sequence[float]], *, slower: float = 1.0, better: Better = "less", seed: int = 1
) -> Run:
    """A run on a machine that takes `slower` times as long for everything."""
    result = Result("short", "live", "2026-11-21T00:00:00", "abc", {}, Hardware("cpu", 2, 4096), "Linux")
    for name, values in figures.items():
        result.add(name, "ms", values, state="warm", boundary="from a to b", source="receiver", better=better)
    result.calibration = {name: near(ms * slower, 0.02, 14, seed) for name, ms in YARDSTICKS.items()}
    return Run.of([result])


def verdicts(comparison: Comparison) -> dict[str, str]:
    return {finding.figure.name: finding.verdict for finding in comparison.findings}


def compared(before: Run, now: Run) -> dict[str, str]:
    return verdicts(compare(before, now, JUDGING))


def test_a_run_made_worse_is_named_and_nothing_else():
    before = run({"session_create_ms": near(40), "llm_first_token_ms": near(160)})
    now = run({"session_create_ms": near(49, seed=2), "llm_first_token_ms": near(161, seed=2)}, seed=2)
    assert compared(before, now) == {"session_create_ms": "worse", "llm_first_token_ms": "same"}


@pytest.mark.parametrize("seed", range(40))
def test_noise_is_not_told(seed: int):
    before = run({"a_ms": near(40, 0.3, seed=seed), "b_ms": near(7, 0.3, 6, seed=seed)}, seed=seed)
    now = run(
        {"a_ms": near(40, 0.3, seed=seed + 99), "b_ms": near(7, 0.3, 6, seed=seed + 99)}, seed=seed + 99
    )
    assert "worse" not in compared(before, now).values()


@pytest.mark.parametrize("slower", [0.4, 1.0, 2.5])
@pytest.mark.parametrize("better", ["less", "more"])
def test_another_machine_is_neither_better_nor_worse(slower: float, better: Better):
    here = 40 / slower if better == "more" else 40 * slower
    before = run({"a": near(40)}, better=better)
    assert compared(before, run({"a": near(here, seed=2)}, slower=slower, better=better, seed=2)) == {
        "a": "same"
    }


@pytest.mark.parametrize("better", ["less", "more"])
def test_worse_is_seen_on_a_machine_that_is_twice_as_fast(better: Better):
    here = 40 / 0.5 / 1.3 if better == "more" else 40 * 0.5 * 1.3
    before = run({"a": near(40)}, better=better)
    found = compare(before, run({"a": near(here, seed=2)}, slower=0.5, better=better, seed=2), JUDGING)
    assert verdicts(found) == {"a": "worse"}
    assert found.findings[0].times == pytest.approx(1.3, abs=0.06)


def test_what_no_machine_changes_is_neither_scaled_nor_judged():
    before = run({"interrupt_ms": near(30, 0.01)})
    assert compared(before, run({"interrupt_ms": near(40, 0.01)}, slower=2)) == {"interrupt_ms": "same"}
    assert compared(before, run({"interrupt_ms": near(33, 0.01)})) == {"interrupt_ms": "worse"}


def test_something_where_there_was_nothing_is_worse():
    assert compared(run({"freezes": [0] * 8}), run({"freezes": [3] * 8})) == {"freezes": "worse"}
    assert compared(run({"freezes": [0] * 8}), run({"freezes": [1] * 8})) == {"freezes": "same"}
    assert compared(run({"freezes": [0] * 8}), run({"freezes": [0] * 8})) == {"freezes": "same"}


@pytest.mark.parametrize(
    ("figure", "before", "now", "verdict"),
    [
        ("late_packets", [0] * 20, [0] * 19 + [1], "worse"),
        ("late_packets", [0] * 19 + [1], [0] * 20, "better"),
        ("late_packets", [0] * 3, [0] * 20, "same"),
        ("freezes", [0] * 20, [0] * 18 + [6, 6], "worse"),
        ("freezes", [0] * 20, [0] * 19 + [4], "unclear"),
        ("freezes", [0] * 20, [0] * 19 + [2], "same"),
        ("underruns", [0] * 6, [0] * 5 + [9], "worse"),
        ("underruns", [1] * 6, [1] * 20, "same"),
        ("underruns", [1] * 20, [1] * 6, "same"),
    ],
)
def test_what_happened_in_single_turns_is_seen_though_no_median_moves(
    figure: str, before: list[int], now: list[int], verdict: str
):
    found = compare(run({figure: before}), run({figure: now}, seed=2), gates.read())
    assert verdicts(found) == {figure: verdict}
    if verdict == "worse":
        assert "(largest)" in told([found]) or f"(sum of {len(now)})" in told([found])
        assert [one.missed_goal for one in found.findings] == [figure == "late_packets"]


def test_a_figure_around_zero_is_judged_by_its_distance():
    before = run({"av_drift_ms": [-3, -2, 0, 1, 2, 3]})
    assert compared(before, run({"av_drift_ms": [-60, -55, -58, -57, -61, -59]})) == {"av_drift_ms": "worse"}
    assert compared(before, run({"av_drift_ms": [3, 2, 0, -1, -2, -3]})) == {"av_drift_ms": "same"}


def test_lips_and_voice_are_judged_though_neither_sooner_nor_later_is_better():
    before = run({"av_drift_ms": [-3, -2, 0, 1, 2, 3]}, better="")
    apart = run({"av_drift_ms": [80, 85, 82, 83, 81, 84]}, better="")
    assert compared(before, apart) == {"av_drift_ms": "worse"}
    assert compared(before, run({}, better="")) == {"av_drift_ms": "missing"}
    assert [one.missed_goal for one in compare(apart, apart, JUDGING).findings] == [True]


def test_better_missing_and_new_are_said():
    before = run({"a_ms": near(40), "b_ms": near(10)})
    now = run({"a_ms": near(20, seed=2), "c_ms": near(10)}, seed=2)
    assert compared(before, now) == {"a_ms": "better", "b_ms": "missing", "c_ms": "new"}


def test_more_by_the_median_but_not_for_sure_is_unclear():
    before = run({"a_ms": [10, 20, 30, 40, 50, 60, 70]})
    now = run({"a_ms": [20, 30, 40, 55, 60, 70, 80]}, seed=2)
    assert compared(before, now) == {"a_ms": "unclear"}


@pytest.mark.parametrize(("now", "verdict"), [(112, "same"), (122, "unclear"), (135, "worse")])
def test_one_or_two_values_have_to_differ_by_more(now: float, verdict: str):
    assert compared(run({"a_ms": [100]}), run({"a_ms": [now]}, seed=2)) == {"a_ms": verdict}
    two = compared(run({"a_ms": [99, 101]}), run({"a_ms": [now - 1, now + 1]}, seed=2))
    assert two == {"a_ms": verdict}
    if verdict == "unclear":
        assert compared(run({"a_ms": [98, 100, 101]}), run({"a_ms": [now + 5]})) == {"a_ms": "worse"}


def test_figures_that_are_neither_good_nor_bad_are_not_judged():
    assert compared(run({"queue": [1, 2]}, better=""), run({"queue": [9, 9]}, better="")) == {}


def test_only_the_same_measurement_is_compared():
    other = replace(run({"a_ms": near(40)}), name="full")
    with pytest.raises(ValueError, match="live short cannot be compared with live full"):
        compare(run({"a_ms": near(40)}), other, JUDGING)


def test_a_goal_is_told_whatever_the_run_before_had():
    before, now = (run({"av_drift_ms": [-50] * 6}) for _ in range(2))
    assert "av_drift_ms" in told([compare(before, now, JUDGING)]).split("Goals that are not reached")[1]


def test_a_busy_machine_and_another_one_are_remarked():
    before = run({"a_ms": near(40)})
    now = replace(
        run({"a_ms": near(40)}, slower=1.5),
        hardware=Hardware("another", 8, 4096),
        config={"turns": 3},
    )
    now.calibration["calibration_cpu_ms"] = Middle(15, 10, 20, 14)
    remarks = " ".join(compare(before, now, JUDGING).remarks)
    for words in (
        "Other machines",
        "configured differently",
        "cpu_ms varied from 10 to 20",
        "x264_ms took 1.5",
    ):
        assert words in remarks


def test_without_yardsticks_figures_are_compared_as_they_are():
    before, now = run({"a_ms": near(40)}), replace(run({"a_ms": near(60)}), calibration={})
    found = compare(before, now, JUDGING)
    assert verdicts(found) == {"a_ms": "worse"}
    assert any("Without calibration_cpu_ms" in remark for remark in found.remarks)


@pytest.mark.parametrize(
    ("n", "low", "high"), [(1, 0, 0), (5, 0, 4), (6, 0, 5), (8, 0, 7), (9, 1, 7), (20, 5, 14)]
)
def test_where_the_true_median_lies(n: int, low: int, high: int):
    middle = Middle.of([float(number) for number in range(n)])
    assert (middle.low, middle.high, middle.n) == (low, high, n)


def test_the_gates_that_are_used_can_be_read():
    judging = gates.read()
    assert judging.of("live", "session_create_ms", "").goal == 40
    assert judging.of("anything", "unheard_of", "").figure == "*"


@pytest.mark.parametrize(
    ("case", "before", "worse"), [("text", 330, 370), ("voice", 900, 960), ("audio", 90, 130)]
)
def test_an_answer_that_came_later_is_seen_however_it_was_asked_for(case: str, before: float, worse: float):
    result = Result("short", "live", "2026-11-21T00:00:00", "abc", {}, Hardware("cpu", 2, 4096), "Linux")
    result.calibration = {name: near(10, 0.02, 14) for name in calibration.BOUNDARIES}
    runs = []
    for middle in (before, worse):
        result.metrics.clear()
        result.add(
            "ttfa_ms", "ms", near(middle, 0.01), state="steady", boundary="-", source="receiver", case=case
        )
        runs.append(Run.of([result]))
    assert verdicts(compare(runs[0], runs[1], gates.read())) == {"ttfa_ms": "worse"}


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"yardsticks": {"calibration_luck_ms": 1.0}}, "no calibration measures calibration_luck_ms"),
        ({"yardsticks": {"calibration_cpu_ms": 0.5}}, "must make 1"),
        ({"tolerance": 0.0}, "above 0"),
        ({"least": -1.0}, "above 0"),
        ({"of": "sum", "yardsticks": {"calibration_cpu_ms": 1.0}}, "no machine scales"),
    ],
)
def test_a_gate_that_makes_no_sense_is_refused(wrong: dict[str, object], why: str):
    with pytest.raises(ValueError, match=why):
        Gate("a", **wrong)  # type: ignore[arg-type]


def test_gates_without_one_for_the_rest_are_refused():
    with pytest.raises(ValueError, match="every figure"):
        Gates((Gate("a"),))
