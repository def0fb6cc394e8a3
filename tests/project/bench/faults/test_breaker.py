"""What is broken is let go again, also where something else cannot be broken."""

import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from project.bench.faults.breaker import Breaker
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
