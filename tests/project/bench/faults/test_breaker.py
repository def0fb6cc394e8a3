"""What is broken is let go again, also where something else cannot be broken."""

import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

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


def test_it_is_known_when_hosts_of_sessions_were_away() -> None:
    breaker = Breaker(SimpleNamespace(stack=object(), stub=None), 1000.0)  # type: ignore[arg-type]
    breaker.broken = [
        Broken("web2", "stop", 10.0, 3.5),
        Broken("render1", "stop", 20.0, 16.0),
        Broken("valkey", "kill", 40.0, 1.5),
    ]
    assert breaker.away == [(1010.0, 1013.5), (1040.0, 1041.5)]
