"""What scaling judges: the cost of one session, whatever their number."""

import pytest

from project.bench import crowds
from project.bench.client import LiveClient
from project.bench.commands.scaling import ScalingWishes, cost, sessions_told, slope
from project.bench.counters import LATE_SECONDS, Counters, Reading
from project.bench.crowds import Span
from project.bench.errors import BenchError
from project.bench.machine import Hardware
from project.bench.results import Result
from project.bench.target import Target

REST = Reading(0.0, {"cpu.web": 1.0}, 10.0)


def span(sessions: int, percent: float) -> Span:
    """So many sessions that take so much of a core each, beside what is used anyway."""
    used = 20.0 * (0.1 + sessions * percent / 100)
    return Span(sessions, Reading(20.0, {"cpu.web": used}, 20.0), 100, (25.0,) * sessions, 0, 0.0, 0.0, 0)


def judged(*spans: Span) -> Result:
    result = Result("s", "scaling", "2026-11-21T00:00:00", "abc", {}, Hardware("cpu", 2, 4096), "Linux")
    sessions_told(result, "idle, 1 web process", spans, REST)
    return result


def test_the_cost_of_one_session_is_above_rest():
    assert cost(span(10, 0.6), REST) == pytest.approx(0.6)


def test_one_more_session_costs_the_slope_of_the_totals():
    assert slope({10: 1.0, 20: 0.75, 30: 2 / 3}) == pytest.approx(0.5)


def test_a_cost_that_falls_or_stays_passes():
    assert judged(span(10, 1.0), span(60, 0.5)).passed
    assert judged(span(10, 1.0), span(60, 1.1)).passed


def test_a_cost_that_grows_by_more_than_15_percent_fails():
    result = judged(span(10, 1.0), span(60, 1.2))
    assert not result.passed
    assert "+20%" in result.checks[0].evidence
    assert result.find("cpu_percent_session", case="60 sessions idle, 1 web process")


def test_growth_in_the_middle_is_seen_too():
    assert not judged(span(10, 1.0), span(30, 1.4), span(60, 1.0)).passed


def test_readings_subtract_and_parts_that_began_anew_count_from_zero():
    spent = Reading(1.0, {"a": 5.0, "b": 9.0}).until(Reading(3.0, {"a": 7.0, "b": 2.0, "c": 1.0}))
    assert (spent.values, spent.seconds, spent.rate("a")) == ({"a": 2.0, "b": 2.0, "c": 1.0}, 2.0, 1.0)
    assert spent["nothing"] == 0.0


@pytest.mark.parametrize("wrong", [{"idle": (20, 10)}, {"share": 0.0}, {"clips": 0}])
def test_wishes_that_make_no_sense_are_refused(wrong: dict[str, object]):
    with pytest.raises(ValueError, match=r"grow|share"):
        ScalingWishes(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("database", "late"), [("postgres://db/parley", LATE_SECONDS), ("sqlite:////tmp/x", 0.0)]
)
async def test_what_a_database_tells_late_is_not_counted_in_the_next_span(database, late, monkeypatch):
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(crowds.asyncio, "sleep", sleep)
    with Counters(Target("http://127.0.0.1:1", "key")) as counters:
        monkeypatch.setattr(counters, "_database", database)
        monkeypatch.setattr(counters, "read", lambda: Reading(0.0))
        await crowds.at_rest(counters, 7.0)
    assert slept == [late, 7.0]


async def test_who_falls_silent_ends_the_measurement(monkeypatch):
    async def broken(*_: object) -> None:
        raise ConnectionError("the socket closed (1006)")

    monkeypatch.setattr(crowds, "_talk", broken)
    monkeypatch.setattr(crowds, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(crowds.Crowd, "_span", lambda *_: None)
    service = Target("http://127.0.0.1:1", "key")
    with Counters(service) as counters:
        monkeypatch.setattr(counters, "read", lambda: Reading(0.0, seconds=1.0))
        monkeypatch.setattr(Reading, "until", lambda *_: Reading(1.0, seconds=1.0))
        crowd = crowds.Crowd(None, service, counters, [LiveClient("http://127.0.0.1:1", "key")], None)
        with pytest.raises(BenchError, match="1006"):
            await crowd.watched(0.01, talking=0.5)
        await crowd.watched(0.01)
