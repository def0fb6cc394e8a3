"""Breaks the parts of a stack by plan, and waits until they are back."""

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import redis

from project.bench.faults.plan import Failure
from project.bench.results import Moment
from project.bench.stack import EmbeddedStack
from project.bench.target import Target

BACK_SECONDS = 150.0
LOOK_SECONDS = 0.1
HOSTING = ("web", "valkey")
AWAY_SECONDS = 2.0  # for how long the providers' stub stays dead


Begun = tuple[Failure, str, int]  # with the name of its part, and the process that it was


@dataclass(frozen=True, slots=True)
class Broken:
    """A failure that happened: to which process, and how long the part took to be ready again."""

    part: str
    how: str
    at_s: float
    recovery_s: float


class Breaker:
    """`began` is the monotonic moment from which the timeline counts."""

    def __init__(self, target: Target, began: float) -> None:
        if target.stack is None:
            raise ValueError("only a stack of our own may be broken")
        self._target, self._began = target, began
        self._stack: EmbeddedStack = target.stack
        self.broken: list[Broken] = []
        self.timeline: list[Moment] = []

    def say(self, what: str) -> None:
        self.timeline.append(Moment(round(time.monotonic() - self._began, 1), what))

    @property
    def away(self) -> list[tuple[float, float]]:
        """When a host of sessions, or the broker that tells it what is wanted, was away (monotonic)."""
        return [
            (self._began + each.at_s, self._began + each.at_s + each.recovery_s)
            for each in self.broken
            if each.part.rstrip("0123456789") in HOSTING
        ]

    def happen(self, failures: Sequence[Failure]) -> None:
        """Let all of these happen at once, and return when every part is ready again."""
        named = [(failure, self._name(failure)) for failure in failures]
        begun = self._all_begun(named)
        self._see_through(begun)
        self._stack.wait_healthy(BACK_SECONDS)

    def _see_through(self, begun: Sequence[Begun]) -> None:
        """Wait until each is back, and note when it was: none waits for another. What stands still goes on
        in any case."""
        since = time.monotonic()
        waiting = list(begun)
        try:
            while waiting := [each for each in waiting if not self._back(*each, since)]:
                missing = next((name for failure, name, _ in waiting if failure.kind.how != "stop"), "")
                what = f"{missing or waiting[0][1]} is ready again"
                assert self._stack.exit_status is None, f"The stack ended while waiting until {what}"
                late = missing and time.monotonic() > since + BACK_SECONDS
                assert not late, f"Not after {BACK_SECONDS} s: {what}"
                time.sleep(LOOK_SECONDS)
        finally:
            _let_go(waiting)

    def _all_begun(self, named: Sequence[tuple[Failure, str]]) -> list[Begun]:
        """Break all of them. Where one cannot be, those that stand still go on before it is told."""
        begun: list[Begun] = []
        try:
            for failure, name in named:
                begun.append((failure, name, self._begin(failure, name)))
        except BaseException:
            _let_go(begun)
            raise
        return begun

    def _name(self, failure: Failure) -> str:
        """The part, with its number where there are several."""
        alike = sorted(
            name for name in self._stack.status()["parts"] if name.rstrip("0123456789") == failure.kind.part
        )
        return alike[failure.which % len(alike)] if alike else failure.kind.part

    def _begin(self, failure: Failure, name: str) -> int:
        how = failure.kind.how
        self.say(f"{name}: {how}" + (f" for {failure.kind.seconds:g} s" if how == "stop" else ""))
        if failure.kind.part == "providers":
            assert self._target.stub is not None
            self._target.stub.kill()
            return 0
        if how == "forget":
            with redis.Redis.from_url(self._stack.environment()["REDIS_URL"]) as broker:
                broker.flushall()
        signals = {"terminate": signal.SIGTERM, "stop": signal.SIGSTOP}
        return self._stack.kill(name, signals.get(how, signal.SIGKILL))

    def _back(self, failure: Failure, name: str, pid: int, since: float) -> bool:
        """Whether a part is back, which is noted; what was away for long enough comes back."""
        took = time.monotonic() - since
        if failure.kind.how == "stop":
            if took < failure.kind.seconds:
                return False
            _let_go([(failure, name, pid)])
            self.say(f"{name} goes on after {failure.kind.seconds:g} s")
        elif failure.kind.part == "providers":
            if took < AWAY_SECONDS:
                return False
            assert self._target.stub is not None
            self._target.stub.revive()
        elif not self._stack.restarted(name, pid):
            return False
        took = time.monotonic() - since
        self.broken.append(Broken(name, failure.kind.how, round(since - self._began, 1), round(took, 2)))
        if failure.kind.how != "stop":
            self.say(f"{name} is ready again after {took:.1f} s")
        return True


def _let_go(begun: Sequence[Begun]) -> None:
    """Let those go on that stand still."""
    for failure, _, pid in begun:
        if failure.kind.how == "stop":
            with suppress(ProcessLookupError):  # another failure of the same moment ended it
                os.kill(pid, signal.SIGCONT)
