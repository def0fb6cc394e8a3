"""Customers in processes of their own, and the judgement of a step: seen to fail when something is worse."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from project.bench import config
from project.bench.clips_beside import ClipsBeside
from project.bench.commands.load import LoadWishes, crowded
from project.bench.customers import Service, web
from project.bench.errors import BenchError
from project.bench.fleet import Fleet, Joined, Seen
from project.bench.load_figures import Step, Targets, tell
from project.bench.machine import Hardware
from project.bench.media import Picture, Watcher
from project.bench.results import Result
from project.bench.talking import Answered, Customer, Failure, Habits
from project.bench.watch import Watch
from tests.support import live_host


def seen(**changes) -> Seen:
    good = Seen(
        customers=4,
        watching=4,
        turns=(
            Answered(1.0, 9.9, 350.0, 9000.0, {"queue_depth": 2.0}),
            Answered(2.0, 11.0, 400.0, 9000.0, {}),
        ),
        failures=(),
        fps=(25.0, 25.0, 24.9, 25.1),
        freezes=(0, 0, 0, 0),
        longest_ms=60.0,
        joined=(Joined(0.5, 90.0, 50.0), Joined(5.0, 40.0, 50.0)),
        spoken=0.4,
        offsets_ms=(0.0,),
        cpu_seconds=3.0,
        lag_ms=2.0,
    )
    return replace(good, **changes)


def step(told: Seen | None = None, **changes) -> Step:
    good = Step(
        sessions=4,
        seconds=60.0,
        seen=told or seen(),
        cpu_percent={"web": 30.0, "render": 50.0},
        rest_percent={"web": 2.0, "render": 2.0},
        memory_mb={"web": 240.0},
        rest_mb={"web": 200.0},
        client_percent=9.0,
        queue_depth=[(1.0, 0.0)],
        floor_ms=250.0,
    )
    return replace(good, **changes)


WORSE = {
    "response_above_stub_ms": step(seen(turns=(Answered(1.0, 9.9, 1200.0, 9000.0, {}),))),
    "freezes_a_minute": step(seen(freezes=(0, 0, 0, 9))),
    "fps": step(seen(fps=(25.0, 25.0, 25.0, 20.0))),
    "failures": step(seen(failures=(Failure(1.0, "turn: TimeoutError"),))),
    "clip_failures": step(clip_failures=1),
}


def test_a_good_step_misses_nothing() -> None:
    assert step().missed(Targets()) == []
    assert step().cpu_each("web") == 7.0
    assert step().cpu_each() == 19.0
    assert step().memory_each() == 10.0


@pytest.mark.parametrize("name", WORSE)
def test_each_target_is_missed_by_name(name: str) -> None:
    (told,) = WORSE[name].missed(Targets())
    assert told.startswith(f"{name} ")


def test_one_pause_of_a_picture_ends_no_ramp() -> None:
    one = {"sessions": 1, "seconds": 20.0}
    assert step(seen(watching=1, fps=(25.0,), freezes=(1,)), **one).missed(Targets()) == []
    (told,) = step(seen(watching=1, fps=(25.0,), freezes=(2,)), **one).missed(Targets())
    assert told == "freezes_a_minute 6 (target 0.5)"


def test_a_call_that_was_lost_and_a_step_without_answers_are_missed() -> None:
    lost = step(seen(watching=3)).missed(Targets())
    assert [words.split()[0] for words in lost] == ["fps", "failures"]
    assert step(seen(turns=())).missed(Targets()) == ["response_above_stub_ms: nothing was measured"]


def test_who_waits_for_an_answer_at_the_end_of_a_step_counts() -> None:
    assert step(seen(unheard_ms=(200.0,))).missed(Targets()) == []
    (told,) = step(seen(unheard_ms=(200.0, 20_000.0))).missed(Targets())
    assert told == "response_above_stub_ms 1.975e+04 (target 400)"
    (told,) = step(seen(turns=(), unheard_ms=(20_000.0,))).missed(Targets())
    assert told.startswith("response_above_stub_ms 1.975e+04")


def test_a_pause_between_two_looks_is_one_freeze() -> None:
    customer = Customer(Service("http://service", "key"), None, Habits(), 0)  # type: ignore[arg-type]
    watcher = Watcher()
    watcher.pictures += [Picture(at / 25, at, False, 100) for at in (*range(50), *range(60, 100))]
    customer.client = SimpleNamespace(peer=object(), watcher=watcher, av_offset_ms=lambda _: None)  # type: ignore[assignment]
    told = [customer.report(since, since + 2.2)["video"]["freezes"] for since in (0.0, 2.2)]
    assert told == [0, 1]


async def test_a_customer_who_falls_silent_is_a_failure() -> None:
    customer = Customer(Service("http://service", "key"), None, Habits(), 0)  # type: ignore[arg-type]
    customer.client = SimpleNamespace()  # type: ignore[assignment]
    customer._dice = SimpleNamespace(uniform=lambda *_: 0)  # type: ignore[assignment]
    await customer._go_on()
    (failure,) = customer.failures
    assert failure.what.startswith("talk: AttributeError")


def test_sessions_within_targets_are_those_before_the_first_miss() -> None:
    result = Result.begin("tiny", command="load")
    steps = [step(sessions=4), replace(WORSE["fps"], sessions=8), step(sessions=12)]
    for one in steps:
        object.__setattr__(one, "seen", replace(one.seen, watching=one.sessions))
    assert tell(result, steps, Targets(), "viseme") == 4
    assert result.tables[0].rows[1][1].startswith("fps 20")
    assert result.find("cpu_percent_session", model="viseme", case="4 sessions") is not None


def test_ramps_of_two_models_stand_beside_each_other() -> None:
    result = Result.begin("tiny", command="load")
    for model in ("viseme", "mock"):
        tell(result, [step()], Targets(), model)
    assert [table.title.partition(": ")[2] for table in result.tables] == ["viseme", "mock"]
    lines = [(line.plot, line.name) for line in result.series]
    assert len(lines) == len(set(lines))


def test_sessions_that_look_cheap_beside_clips_are_told() -> None:
    def notes(cores: int, clips: int) -> list[str]:
        result = Result.begin("tiny", command="load")
        result.hardware = Hardware("cpu", cores, 4096)
        tell(result, [step(clips=clips)], Targets(), "viseme")
        return result.notes

    assert notes(2, 3) == notes(1, 0) == []
    (told,) = notes(1, 3)
    assert "from 4 sessions on the cores were full" in told


def test_each_step_tells_of_those_who_came_in_it_and_of_late_customers() -> None:
    result = Result.begin("tiny", command="load")
    tell(result, [step(seen(lag_ms=400.0), grown_at=4.0)], Targets(), "viseme")
    created = result.find("session_create_ms", model="viseme")
    assert created is not None
    assert created.values == (40.0,)
    assert "up to 400 ms late" in result.notes[0]


def test_a_ramp_that_finds_the_places_of_the_live_workers_says_so() -> None:
    assert crowded((1, 4, 8, 16, 24), 0.4, 16) == ""
    assert "of 32 sessions" in crowded((1, 16, 32, 45), 0.4, 16)
    assert "the 16 that" in crowded((32,), 0.4, 16)
    assert crowded((16,), 1.0, 16) == crowded((60,), 0.4, 0) == ""


@pytest.mark.parametrize("name", ["short", "full"])
def test_a_service_that_carries_nobody_fails_the_committed_ramps(name: str) -> None:
    assert config.read(config.path(name)).section("load", LoadWishes).least_sessions >= 1


def test_wishes_are_refused_that_mean_nothing() -> None:
    with pytest.raises(ValueError, match="grow"):
        LoadWishes(steps=(4, 4))
    with pytest.raises(ValueError, match="no step has so many"):
        LoadWishes(steps=(4, 8), least_sessions=9)
    with pytest.raises(ValueError, match="share"):
        Habits(share=1.5)


async def test_a_customer_asks_hears_and_asks_again() -> None:
    with live_host.service() as service:
        async with web() as http:
            customer = Customer(Service(service.url, "key", "avt_1"), http, Habits(share=1.0), 0)
            try:
                await customer.start()
                assert customer.client is not None
                await customer.client.event("metrics", seconds=30)
                await customer.client.until(lambda: bool(customer.turns), 30)
                turn = customer.turns[0]
                told = customer.report(turn.at, turn.ended_at + 1)
                assert customer.report(turn.at, turn.ended_at)["turns"] == []
            finally:
                await customer.stop()
    assert turn.ttfa_ms >= 1000 * live_host.THINKING_SECONDS
    assert turn.server["llm_first_token_ms"] == 150.0
    assert len(told["turns"]) >= 1
    assert told["video"]["fps"] > 15
    customer.forget(turn.at + 3600)
    assert customer.report(0.0, 1e12)["turns"] == []
    assert service.ended == 1


async def test_what_goes_wrong_is_written_down() -> None:
    with live_host.service() as service:
        service.refuse = 1
        async with web() as http:
            customer = Customer(Service(service.url, "key"), http, Habits(), 0)
            await customer.start()
            await customer.stop()
    assert [failure.what.split(":")[0] for failure in customer.failures] == ["join"]
    assert "concurrency_limit_exceeded" in customer.failures[0].what


def test_a_fleet_shares_its_customers_among_processes_and_leaves_none() -> None:
    with live_host.service() as service:
        with Fleet(Service(service.url, "key"), Habits(share=0.0), processes=2) as fleet:
            fleet.grow(3)
            fleet.grow(3)
            report = fleet.report(0.0, 1e12)
            processes = [one._process for one in fleet._all]
        assert report.customers == 3
        assert len(report.joined) == 3
        assert report.failures == ()
        assert service.ended == 3
    assert [process.returncode for process in processes] == [0, 0]


def test_a_process_of_customers_that_dies_is_told() -> None:
    with live_host.service() as service, Fleet(Service(service.url, "key"), Habits(share=0.0)) as fleet:
        fleet._all[0]._process.kill()
        fleet._all[0]._process.wait(10)
        with pytest.raises(BenchError, match="A process of customers"):
            fleet.report(0.0, 1.0)


def test_a_watch_reads_on_when_a_part_is_away() -> None:
    asked = []

    def away() -> float:
        asked.append(1)
        raise ConnectionError("gone")

    watch = Watch({"there": lambda: 3.0, "away": away}, every=10.0)
    watch.look()
    watch.look()
    assert [value for _, value in watch.points["there"]] == [3.0, 3.0]
    assert watch.points["away"] == []
    assert watch.failed == {"away": "ConnectionError: gone"}
    assert len(asked) == 2


def test_clips_beside_count_what_became_of_them() -> None:
    class Target:
        def __init__(self, *statuses: str) -> None:
            self.statuses = list(statuses)

        @property
        def client(self):
            return self

        def __enter__(self):
            return self

        def __exit__(self, *_) -> None: ...

    class Answer(dict):
        def raise_for_status(self):
            return self

        def json(self):
            return self

    class Clips(Target):
        def post(self, path: str, **_):
            if not self.statuses:
                beside._ended.set()
                return Answer(id="clip_1", status="cancelled")
            return Answer(id="clip_1", status=self.statuses.pop(0))

    beside = ClipsBeside(Clips("succeeded", "failed", "succeeded"), {}, at_once=1)  # type: ignore[arg-type]
    with beside:
        beside._threads[0].join(10)
    assert beside.counts() == (2, 1)
