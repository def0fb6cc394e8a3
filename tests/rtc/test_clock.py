"""Who is driven when, by a clock that the test moves."""

import asyncio
import contextvars
import logging
from itertools import pairwise

import pytest

from rtc.clock import SLOTS, Pump


class Clock:
    """An event loop's timers without the loop."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timer: tuple[float, object] | None = None

    def time(self) -> float:
        return self.now

    def call_at(self, when, callback):
        self.timer = (when, callback)
        return self

    def cancel(self) -> None:
        self.timer = None

    def run_until(self, moment: float) -> None:
        """Let timers fire when they are due, or at once where that is over."""
        while self.timer and self.timer[0] <= moment:
            when, callback = self.timer
            self.now = max(self.now, when)
            callback()
        self.now = moment

    def stall(self, seconds: float) -> None:
        """Let time pass in which nothing can run."""
        self.now += seconds
        self.run_until(self.now)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pump(clock) -> Pump:
    return Pump(clock)


def test_frames_come_every_40_ms(clock, pump):
    seen: list[tuple[int, float]] = []
    pump.add(lambda frame: seen.append((frame, clock.now)), clock.now)

    clock.run_until(1000.205)

    assert [frame for frame, _ in seen] == [1, 2, 3, 4, 5]
    assert [round(at, 6) for _, at in seen] == [1000.04, 1000.08, 1000.12, 1000.16, 1000.2]


def test_a_session_goes_on_from_its_own_origin(clock, pump):
    """Another process began it an hour ago."""
    seen: list[int] = []
    driven = pump.add(seen.append, clock.now - 3600.01)

    clock.run_until(1000.041)

    assert seen == [90_001]
    assert pump.frame(driven) == 90_001


def test_frames_are_never_more_than_20_ms_from_where_they_belong(clock, pump):
    for number in range(9):
        origin = clock.now - number * 0.0173
        driven = pump.add(lambda frame: None, origin)
        due = 1000.4 + driven.slot * 0.01
        clock.now = due
        assert abs((due - origin) / 0.04 - pump.frame(driven)) <= 0.5 + 1e-6
        clock.now = 1000.0


def test_sessions_take_turns(clock, pump):
    times: dict[int, float] = {}
    for number in range(SLOTS):
        pump.add(lambda frame, number=number: times.setdefault(number, clock.now), clock.now)

    clock.run_until(1000.1)

    assert len({round(each % 0.04, 4) for each in times.values()}) == SLOTS


def test_a_short_delay_loses_nothing(clock, pump):
    seen: list[int] = []
    pump.add(seen.append, clock.now)
    clock.run_until(1000.041)

    clock.stall(0.079)

    assert seen == [1, 2, 3]
    assert pump.stalls == 0


def test_a_stall_skips_what_was_missed_and_sends_no_burst(clock, pump):
    seen: list[tuple[int, float]] = []
    pump.add(lambda frame: seen.append((frame, clock.now)), clock.now)
    clock.run_until(1000.041)

    clock.stall(2.0)
    clock.run_until(1002.125)

    assert [frame for frame, _ in seen] == [1, 51, 52, 53]
    assert pump.stalls == 1
    assert seen[1][1] == pytest.approx(1002.041), "the newest frame leaves at once"


def test_a_stall_skips_as_much_in_every_session(clock, pump):
    seen: dict[int, list[int]] = {number: [] for number in range(6)}
    for frames in seen.values():
        pump.add(frames.append, clock.now)
    clock.run_until(1000.2)

    clock.stall(0.5)

    assert {max(b - a for a, b in pairwise(each)) for each in seen.values()} <= {12, 13}


def test_a_session_that_left_is_not_driven_again(clock, pump):
    seen: list[int] = []
    driven = pump.add(seen.append, clock.now)
    clock.run_until(1000.05)

    pump.remove(driven)
    pump.remove(driven)
    clock.run_until(1001)

    assert seen == [1]
    assert clock.timer is None, "an idle process has nothing to wake for"


def test_a_session_may_leave_while_all_are_driven(clock, pump):
    seen: list[str] = []
    others = []

    def leave(frame: int) -> None:
        seen.append("first")
        for each in others:
            pump.remove(each)

    pump.add(leave, clock.now)
    others += [pump.add(lambda frame: seen.append("other"), clock.now) for _ in range(SLOTS)]
    clock.stall(0.2)

    assert set(seen) == {"first"}


def test_the_line_of_a_session_that_fails_is_told_in_its_own_context(clock, pump, monkeypatch):
    session = contextvars.ContextVar("session", default="nobody")
    told: list[str] = []
    monkeypatch.setattr("rtc.clock._log.exception", lambda *_: told.append(session.get()))

    def fail(frame: int) -> None:
        raise RuntimeError("no peer")

    for name in ("first", "second"):
        about = contextvars.copy_context()
        about.run(session.set, name)
        about.run(pump.add, fail, clock.now)
    clock.run_until(1000.13)

    assert sorted(told) == ["first", "second"]


def test_a_session_that_fails_does_not_stop_the_clock(clock, pump, caplog):
    seen: list[int] = []

    def fail(frame: int) -> None:
        raise RuntimeError("no peer")

    pump.add(fail, clock.now)
    pump.add(seen.append, clock.now)
    with caplog.at_level(logging.ERROR, "rtc.clock"):
        clock.run_until(1000.13)

    assert seen == [0, 1, 2, 3]
    assert len(caplog.records) == 1


def test_a_later_session_does_not_wait_for_the_slot_of_an_earlier_one(clock, pump):
    pump.add(lambda frame: None, clock.now)
    clock.run_until(1000.041)
    times: list[float] = []

    pump.add(lambda frame: times.append(clock.now), clock.now)
    clock.run_until(1000.2)

    assert times[0] == pytest.approx(1000.05)


async def test_it_runs_on_a_real_loop():
    done = asyncio.Event()
    pump = Pump()
    driven = pump.add(lambda frame: done.set() if frame >= 3 else None, asyncio.get_running_loop().time())

    async with asyncio.timeout(5):
        await done.wait()

    pump.remove(driven)
    pump.close()
