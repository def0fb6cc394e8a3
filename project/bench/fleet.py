"""Several processes of customers, ordered as one.

with Fleet(service, Habits(), processes=2) as fleet:
    fleet.grow(20)
    seen = fleet.report(since, until)
"""

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any, Self

from project.bench.customers import Service
from project.bench.errors import BenchError
from project.bench.talking import Answered, Failure, Habits
from project.embedded.stack import ROOT

ANSWER_SECONDS = 60.0
JOIN_SECONDS = 45.0  # the longest that one customer takes to come, or to give up
STOP_SECONDS = 40.0


@dataclass(frozen=True, slots=True)
class Joined:
    """A customer who came: when (monotonic seconds), and how long it took."""

    at: float
    created_ms: float
    first_frame_ms: float


@dataclass(frozen=True)
class Seen:
    """What all customers saw in a span. Of each customer one entry in `fps` and `freezes`.

    `unheard_ms` says how long those had waited at its end who had asked and heard nothing yet.
    """

    customers: int
    watching: int
    turns: tuple[Answered, ...]
    failures: tuple[Failure, ...]
    fps: tuple[float, ...]
    freezes: tuple[int, ...]
    longest_ms: float
    joined: tuple[Joined, ...]
    spoken: float
    offsets_ms: tuple[float, ...]
    cpu_seconds: float
    lag_ms: float
    unheard_ms: tuple[float, ...] = ()


@dataclass
class Fleet:
    """`processes` share the customers; `read_cards` makes them decode the pictures of a test card."""

    service: Service
    habits: Habits
    processes: int = 1
    read_cards: bool = False
    first: int = 0
    _all: list["_Process"] = field(default_factory=list, init=False)
    _count: int = field(default=0, init=False)

    def __enter__(self) -> Self:
        try:
            for number in range(self.processes):
                self._all.append(_Process(self._plan(number)))
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _plan(self, number: int) -> dict[str, Any]:
        return {
            "service": asdict(self.service),
            "habits": asdict(self.habits),
            "first": self.first + 10_000 * number,
            "read_cards": self.read_cards,
        }

    def __len__(self) -> int:
        return self._count

    def grow(self, count: int) -> None:
        """Have so many customers in all; those that are there stay."""
        more = max(0, count - self._count)
        shares = [more // self.processes + (place < more % self.processes) for place in range(self.processes)]
        self._ask([{"grow": share} for share in shares], ANSWER_SECONDS + JOIN_SECONDS * max(shares))
        self._count += more

    def report(self, since: float, until: float) -> Seen:
        """What was seen in a span of monotonic seconds."""
        return _joined(self._ask([{"report": [since, until]}] * self.processes))

    def forget(self, before: float) -> None:
        """Let the customers drop what they saw before then."""
        self._ask([{"forget": before}] * self.processes)

    def stop(self) -> None:
        """Everybody hangs up; nothing of the processes is left."""
        for one in self._all:
            one.close()
        for one in self._all:
            one.wait()
        self._all.clear()

    def _ask(self, orders: Sequence[dict[str, Any]], seconds: float = ANSWER_SECONDS) -> list[dict[str, Any]]:
        for one, order in zip(self._all, orders, strict=True):
            one.send(order)
        return [one.answer(seconds) for one in self._all]


class _Process:
    """One process of customers, with a thread that reads what it answers."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "project.bench.talkers"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name="talkers", daemon=True)
        self._reader.start()
        self.send(plan)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put("")

    def send(self, order: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise BenchError(f"A process of customers ended ({self._process.poll()})") from error

    def answer(self, seconds: float) -> dict[str, Any]:
        """Its next answer. Raises `BenchError` when it ended, or says nothing for so long."""
        try:
            line = self._answers.get(timeout=seconds)
        except queue.Empty:
            raise BenchError(f"A process of customers did not answer in {seconds:.0f} s") from None
        if not line:
            raise BenchError(f"A process of customers ended ({self._process.wait(STOP_SECONDS)})")
        return dict(json.loads(line))

    def close(self) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except OSError:
            self._process.terminate()

    def wait(self) -> None:
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


def _joined(reports: Sequence[dict[str, Any]]) -> Seen:
    customers = [customer for report in reports for customer in report["customers"]]
    video = [customer["video"] for customer in customers if customer["video"] is not None]
    spoken = [customer["spoken"] for customer in customers if "spoken" in customer]
    return Seen(
        customers=len(customers),
        watching=sum(customer["watching"] for customer in customers),
        turns=tuple(Answered(**turn) for customer in customers for turn in customer["turns"]),
        failures=tuple(Failure(**failure) for customer in customers for failure in customer["failures"]),
        fps=tuple(each["fps"] for each in video),
        freezes=tuple(each["freezes"] for each in video),
        longest_ms=max((each["longest_ms"] for each in video), default=0.0),
        joined=tuple(Joined(**customer["joined"]) for customer in customers if customer["joined"]),
        spoken=sum(spoken) / len(spoken) if spoken else 0.0,
        offsets_ms=tuple(each["offset_ms"] for each in customers if each["offset_ms"] is not None),
        cpu_seconds=sum(report["cpu_seconds"] for report in reports),
        lag_ms=max(report["lag_ms"] for report in reports),
        unheard_ms=tuple(each["unheard_ms"] for each in customers if each["unheard_ms"] is not None),
    )
