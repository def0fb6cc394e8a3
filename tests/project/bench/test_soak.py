"""The verdicts of a soak: each is seen to fail when something grows, breaks or drifts."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from project.bench import config, target
from project.bench.commands import soak as commands
from project.bench.commands.soak import Soak, SoakWishes
from project.bench.config import Common, SubjectWishes
from project.bench.customers import Service
from project.bench.errors import BenchError
from project.bench.inside import Inside, database_of
from project.bench.resources import Sample, Use
from project.bench.results import Result
from project.bench.talking import Failure
from tests.project.bench.test_load import seen

MINUTES = 30.0


def soak(minutes: float = MINUTES) -> Soak:
    subject = SubjectWishes(model="viseme")
    result = Result.begin("tiny", command="soak")
    wishes = SoakWishes(minutes=minutes, sessions=4)
    return Soak(SimpleNamespace(stack=None), subject, Common("tiny", (subject,)), wishes, result)  # type: ignore[arg-type]


def line(per_hour: float, minutes: float = MINUTES) -> list[tuple[float, float]]:
    return [(float(at), 100 + per_hour * at / 3600) for at in range(0, int(60 * minutes), 10)]


@pytest.mark.parametrize(
    ("name", "bound"),
    [
        ("memory_mb", 30.0),
        ("descriptors", 20.0),
        ("asyncio_tasks", 20.0),
        ("broker_mb", 20.0),
        ("broker_keys", 200.0),
    ],
)
def test_what_grows_is_told_by_name(name: str, bound: float) -> None:
    still, growing = soak(), soak()
    still._judge(name, "u", name, line(bound * 0.5))
    growing._judge(name, "u", name, line(bound * 2))
    assert [check.passed for check in still.result.checks] == [True]
    (check,) = growing.result.checks
    assert not check.passed
    assert name in check.name
    assert f"the bound is {bound:g}" in check.evidence


def test_rows_are_told_and_not_judged_and_a_short_run_judges_nothing() -> None:
    whole, short = soak(), soak(minutes=2)
    whole._judge("database_rows", "rows", "rows of all tables", line(5000))
    short._judge("memory_mb", "MB", "memory", line(5000, 2))
    assert whole.result.checks == short.result.checks == []
    assert whole.result.find("database_rows_per_hour", model="viseme") is not None
    assert short.result.notes == ["memory: too short a time to tell whether it grows"]


def test_what_could_not_be_read_says_why() -> None:
    one = soak()
    one._judge("broker_keys", "keys", "keys of the broker", [], "ConnectionError: gone")
    metric = one.result.find("broker_keys", model="viseme")
    assert metric is not None
    assert metric.missing == "ConnectionError: gone"
    assert one.result.passed


def test_of_a_stack_of_our_own_everything_can_be_read() -> None:
    one = soak()
    one.target.stack = object()  # type: ignore[assignment]
    one._judge("broker_keys", "keys", "keys of the broker", [], "LookupError: no figure")
    (check,) = one.result.checks
    assert (check.passed, check.evidence) == (False, "LookupError: no figure")


WORSE = {
    "lips and voice stay together": {"offsets_ms": (-80.0,)},
    "pictures keep coming": {"freezes": (0, 0, 0, 90)},
    "nobody had to complain": {"failures": (Failure(1.0, "turn: TimeoutError: no answer"),)},
}


def test_good_talks_pass_every_check() -> None:
    one = soak()
    one.looks = [(10.0, seen(), seen())]
    one._tell_seen(0.0)
    one._tell_clips(5, 0)
    assert one.result.passed
    assert len(one.result.checks) == 4
    heard = one.result.find("ttfa_ms", model="viseme")
    assert heard is not None
    assert heard.n == 2


@pytest.mark.parametrize("name", WORSE)
def test_bad_talks_fail_by_name(name: str) -> None:
    one = soak()
    one.looks = [(10.0, seen(**WORSE[name]), seen(**WORSE[name]))]
    one._tell_seen(0.0)
    assert [check.name for check in one.result.checks if not check.passed] == [name]


def test_a_lost_call_an_unreadable_card_and_a_failed_clip_are_no_success() -> None:
    one = soak()
    one.looks = [(10.0, seen(watching=3), seen(offsets_ms=()))]
    one._tell_seen(0.0)
    one._tell_clips(5, 1)
    failed = [check.name for check in one.result.checks if not check.passed]
    assert failed == ["lips and voice stay together", "nobody had to complain", "clips beside succeed"]


def test_pictures_that_were_away_for_a_while_are_no_success() -> None:
    one = soak()
    one.looks = [(10.0, seen(), seen()), (20.0, seen(watching=2), seen()), (30.0, seen(), seen())]
    one._tell_seen(0.0)
    (failed,) = [check for check in one.result.checks if not check.passed]
    assert failed.name == "nobody had to complain"
    assert "2 calls lost" in failed.evidence


@pytest.mark.parametrize(("read", "passed"), [("yynyny", True), ("yyynnn", False), ("nnnyyy", False)])
def test_lips_that_can_be_read_for_half_the_time_only_are_no_success(read: str, passed: bool) -> None:
    one = soak()
    cards = [seen() if each == "y" else seen(offsets_ms=()) for each in read]
    one.looks = [(10.0 * number, seen(), card) for number, card in enumerate(cards)]
    one._tell_seen(0.0)
    assert {check.name: check.passed for check in one.result.checks}["lips and voice stay together"] is passed


class Talkers:
    """Customers who are seen twice, and then their process is gone."""

    def __init__(self, *_: object, **__: object) -> None:
        self.reports = 0

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None: ...
    def grow(self, count: int) -> None: ...
    def forget(self, before: float) -> None: ...
    def readings(self) -> dict[str, object]:
        return {}

    def counts(self) -> tuple[int, int]:
        return 3, 0

    def report(self, *_: float):
        self.reports += 1
        if self.reports > 2:
            raise BenchError("A process of customers ended")
        return seen()


def test_what_was_seen_of_a_soak_that_broke_off_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("Fleet", "Inside", "ClipsBeside"):
        monkeypatch.setattr(commands, name, Talkers)
    one = soak()
    one.target.pids = dict
    one.wishes = replace(one.wishes, every_seconds=0.05)
    service = Service("http://service", "key")
    with pytest.raises(BenchError):
        one._soak(service, service)
    heard = one.result.find("ttfa_ms", model="viseme")
    assert heard is not None
    assert heard.n == 4
    assert one.wishes.minutes < 1
    assert {check.name for check in one.result.checks} >= {"pictures keep coming", "clips beside succeed"}


def test_slopes_and_rows_are_no_better_or_worse_between_runs() -> None:
    one = soak()
    one._judge("database_rows", "rows", "rows of all tables", line(5000))
    one._judge("broker_mb", "MB", "what the broker keeps", line(1))
    assert {metric.name: metric.better for metric in one.result.metrics} == {
        "database_rows": "",
        "database_rows_per_hour": "",
        "broker_mb": "less",
        "broker_mb_per_hour": "",
    }


def test_the_memory_of_each_part_is_judged_by_itself() -> None:
    samples = [
        Sample(
            float(at),
            {"web": Use(0, 100 + at / 10, 10), "render": Use(0, 250 - at / 10, 5), "storage": Use(0, at, 1)},
            with_memory=True,
        )
        for at in range(0, 1800, 10)
    ]
    one = soak()
    one._tell_use(SimpleNamespace(samples=samples, lines=lambda _: []), 0.0)  # type: ignore[arg-type]
    memory = one.result.find("memory_mb", model="viseme", case="web")
    assert memory is not None
    assert memory.values[0] == 100.0
    verdicts = {check.name: check.passed for check in one.result.checks}
    assert verdicts == {
        "proportional memory of web: no growth": False,
        "proportional memory of render: no growth": True,
        "open files and sockets of the whole stack: no growth": True,
    }
    assert one.result.find("memory_mb_per_hour", model="viseme", case="storage") is not None


def test_rows_are_counted_where_the_service_keeps_them(tmp_path) -> None:
    import sqlite3
    from contextlib import closing

    assert database_of({}, tmp_path) == ""
    assert database_of({"DATABASE_URL": "postgres://x/y"}, tmp_path) == "postgres://x/y"
    with closing(sqlite3.connect(tmp_path / "parley.sqlite3")) as database:
        database.execute("CREATE TABLE clips (id INTEGER)")
        database.executemany("INSERT INTO clips VALUES (?)", [(1,), (2,)])
        database.commit()
    target = SimpleNamespace(pids=dict, home=tmp_path, base_url="http://x", metrics_token="")
    with Inside(target) as inside:  # type: ignore[arg-type]
        assert inside.readings() == {}
        inside._database = database_of({"PATH": "x"}, tmp_path)
        assert inside.tables() == {"clips": 2}
        assert inside.readings()["database_rows"]() == 2.0


def test_no_session_of_a_stack_of_our_own_ends_before_its_soak() -> None:
    wishes = config.read(config.path("full")).section("soak", SoakWishes)
    assert int(target.ENVIRONMENT["LIVE_MAX_DURATION_SECONDS"]) > 2 * 60 * wishes.minutes
