"""What is broken is let go again, also where something else cannot be broken."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from project.bench.faults import breaker as breakers
from project.bench.faults.breaker import Breaker, Broken
from project.bench.faults.plan import Failure, Kind


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_what_stands_still_goes_on_when_another_part_cannot_be_broken() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:

        def kill(part: str, number: int) -> int:
            assert part == "render1", f"{part} is not running"
            process.send_signal(number)
            return process.pid

        stack = SimpleNamespace(status=lambda: {"parts": {"render1": {}, "valkey": {}}}, kill=kill)
        breaker = Breaker(SimpleNamespace(stack=stack, stub=None), 0.0)  # type: ignore[arg-type]
        both = [Failure(0.0, Kind("render", "stop", 5.0), 0), Failure(0.0, Kind("valkey", "kill"), 0)]
        try:
            with pytest.raises(AssertionError, match="valkey is not running"):
                breaker.happen(both)
            assert state(process.pid) != "T"
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == -signal.SIGTERM  # who is stopped does not hear it
        finally:
            process.kill()


class Pair:
    """A stack with a process that stands still, and two parts that are back after so many seconds."""

    exit_status = None

    def __init__(self, process: subprocess.Popen[bytes], back: dict[str, float]) -> None:
        self.process, self.back, self.began = process, back, time.monotonic()

    def status(self) -> dict[str, object]:
        return {"parts": {"live1": {}, **{name: {} for name in self.back}}}

    def kill(self, part: str, number: int) -> int:
        if part == "live1":
            self.process.send_signal(number)
        return self.process.pid

    def restarted(self, part: str, _pid: int) -> bool:
        return time.monotonic() > self.began + self.back[part]

    def wait_healthy(self, _seconds: float) -> None:
        pass


def test_no_part_waits_for_another_to_be_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breakers, "LOOK_SECONDS", 0.01)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        try:
            stack = Pair(process, {"web1": 1.6, "scheduler": 0.1})
            breaker = Breaker(SimpleNamespace(stack=stack, stub=None), time.monotonic())  # type: ignore[arg-type]
            breaker.happen(
                [
                    Failure(0.0, Kind("live", "stop", 0.8), 0),
                    Failure(0.0, Kind("web", "kill"), 0),
                    Failure(0.0, Kind("scheduler", "kill"), 0),
                ]
            )
            assert state(process.pid) != "T"
        finally:
            process.kill()
    assert [each.part for each in breaker.broken] == ["scheduler", "live1", "web1"]
    first, stop, last = (each.recovery_s for each in breaker.broken)
    assert first < 0.8 <= stop < last


def test_what_stands_still_goes_on_when_its_pair_does_not_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breakers, "BACK_SECONDS", 0.2)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        try:
            stack = Pair(process, {"web1": 60.0})
            breaker = Breaker(SimpleNamespace(stack=stack, stub=None), time.monotonic())  # type: ignore[arg-type]
            both = [Failure(0.0, Kind("live", "stop", 30.0), 0), Failure(0.0, Kind("web", "kill"), 0)]
            with pytest.raises(AssertionError, match=r"Not after 0\.2 s: web1 is ready again"):
                breaker.happen(both)
            assert state(process.pid) != "T"
        finally:
            process.kill()


def test_it_is_known_when_hosts_of_sessions_were_away() -> None:
    breaker = Breaker(SimpleNamespace(stack=object(), stub=None), 1000.0)  # type: ignore[arg-type]
    breaker.broken = [
        Broken("web2", "stop", 10.0, 3.5),
        Broken("render1", "stop", 20.0, 16.0),
        Broken("valkey", "kill", 40.0, 1.5),
    ]
    assert breaker.away == [(1010.0, 1013.5), (1040.0, 1041.5)]
