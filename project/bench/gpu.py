"""Memory of the GPU, by process where the driver tells it, else as the difference of the whole GPU.

Under WSL2, in containers with process ids of their own, and for some drivers, nvidia-smi names no
process or no figure. Then only the whole GPU's memory is known: what it has more than before the stack
was started is ours, as long as nobody else uses it. Every figure says which of both it is.
"""

import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

PROGRAM = "nvidia-smi"
SECONDS = 10.0
NOISE_MB = 64.0  # what a whole GPU's figure moves by itself
Kind = Literal["process", "whole"]
BOUNDARIES: dict[Kind, str] = {
    "process": "memory of the GPU that the driver counts for the stack's own processes",
    "whole": (
        "difference of the whole GPU's used memory to before the stack was started, because the driver tells "
        "nothing of its processes (as under WSL2): no memory of a process; nothing else may use the GPU"
    ),
}


@dataclass(frozen=True, slots=True)
class Rows:
    """What the driver says: of the whole GPU, and of those processes whose figure it knows."""

    whole_mb: float
    processes: dict[int, float]


class GpuWatch:
    """Made before the stack is started: what the GPU has then is the baseline."""

    def __init__(self, program: str = PROGRAM, index: int = 0) -> None:
        self._program, self._index = program, index
        whole = self._asked("--query-gpu=memory.used")
        self.there = bool(whole)
        self._baseline = (_number(whole[0]) if whole else None) or 0.0
        self.kind: Kind = "process"

    def used_mb(self, pids: Iterable[int]) -> float:
        """What these processes have there now; once nothing was told of them, the difference."""
        rows, ours = self._rows(), set(pids)
        more = max(0.0, rows.whole_mb - self._baseline)
        mine = sum(used for pid, used in rows.processes.items() if pid in ours)
        if mine == 0.0 and more > NOISE_MB:
            self.kind = "whole"
        return more if self.kind == "whole" else mine

    @property
    def boundary(self) -> str:
        return BOUNDARIES[self.kind]

    def _rows(self) -> Rows:
        whole = self._asked("--query-gpu=memory.used")
        apps = self._asked("--query-compute-apps=pid,used_memory")
        processes: dict[int, float] = {}
        for line in apps:
            pid, _, used = line.partition(",")
            figures = (_number(pid), _number(used))
            if figures[0] is not None and figures[1] is not None:  # "[N/A]", "[Insufficient Permissions]"
                processes[int(figures[0])] = processes.get(int(figures[0]), 0.0) + figures[1]
        return Rows((_number(whole[0]) if whole else None) or 0.0, processes)

    def _asked(self, query: str) -> list[str]:
        command = [self._program, f"--id={self._index}", query, "--format=csv,noheader,nounits"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
        except (OSError, subprocess.TimeoutExpired):
            return []
        return [line for line in done.stdout.splitlines() if line.strip()] if done.returncode == 0 else []


def watch(program: str = PROGRAM) -> GpuWatch | None:
    """A watch over the first GPU; None where the driver's program is not there or sees none."""
    if shutil.which(program) is None:
        return None
    made = GpuWatch(program)
    return made if made.there else None


def _number(told: str) -> float | None:
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)(?:\s*MiB)?\s*", told)
    return float(found.group(1)) if found else None
