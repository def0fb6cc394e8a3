"""What the parts of a stack use: CPU, memory, descriptors, and memory of the GPU.

    with Sampler(service.pids, every=1.0) as sampler:
        ...
    sampler.cpu_percent()["web"]     # of one core, parts of one kind together

A part is its process with everything that this one started. Parts of one kind ("web1", "web2") are
told together, as "web".
"""

import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

from project.bench.errors import BenchError
from project.bench.gpu import GpuWatch
from project.bench.results import Series

TICK = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")
MEMORY_EVERY = 5.0  # seconds: reading it costs the process that is read
Pids = Callable[[], Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Use:
    """What one part, or several, used at one moment; `memory_mb` is proportional: shared pages are split."""

    cpu_s: float = 0.0
    memory_mb: float = 0.0
    descriptors: int = 0
    threads: int = 0
    processes: int = 0

    def __add__(self, other: "Use") -> "Use":
        return Use(
            self.cpu_s + other.cpu_s,
            self.memory_mb + other.memory_mb,
            self.descriptors + other.descriptors,
            self.threads + other.threads,
            self.processes + other.processes,
        )


@dataclass(frozen=True, slots=True)
class Sample:
    """All parts at one moment (monotonic seconds); `memory_mb` of the parts is 0 where it was not read."""

    at: float
    parts: Mapping[str, Use]
    with_memory: bool
    gpu_mb: float | None = None

    @property
    def whole(self) -> Use:
        return sum(self.parts.values(), Use())


def kind(part: str) -> str:
    """What a part is one of: "web" for "web2"."""
    return re.sub(r"\d+$", "", part) or part


def snapshot(pids: Mapping[str, int], *, memory: bool = True) -> dict[str, Use]:
    """What each kind of part uses now. Processes that just ended count nothing."""
    children = _children()
    used: dict[str, Use] = {}
    for part, pid in pids.items():
        for one in _family(pid, children):
            used[kind(part)] = used.get(kind(part), Use()) + _of(one, memory=memory)
    return used


def _of(pid: int, *, memory: bool) -> Use:
    with suppress(OSError, ValueError, IndexError):
        fields = (PROC / str(pid) / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        # Its own time, and that of children which ended: a part that starts programs pays for them.
        cpu = sum(int(fields[place]) for place in (11, 12, 13, 14)) / TICK
        megabytes = _memory_mb(pid) if memory else 0.0
        return Use(cpu, megabytes, _descriptors(pid), int(fields[17]), 1)
    return Use()


def _memory_mb(pid: int) -> float:
    with suppress(OSError):
        for line in (PROC / str(pid) / "smaps_rollup").read_text(encoding="utf-8").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _descriptors(pid: int) -> int:
    with suppress(OSError):
        return sum(1 for _ in (PROC / str(pid) / "fd").iterdir())
    return 0


def _children() -> dict[int, list[int]]:
    """Every process by who started it."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdecimal():
            with suppress(OSError, ValueError, IndexError):
                told = (entry / "stat").read_text(encoding="utf-8", errors="replace")
                children.setdefault(int(told.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    return children


def _family(pid: int, children: Mapping[int, list[int]]) -> Iterable[int]:
    yield pid
    for child in children.get(pid, ()):
        yield from _family(child, children)


@dataclass
class Sampler:
    """Looks at the parts from a thread of its own, as long as its block lasts.

    A look that fails is left out, and the next one made. Where more failed than did not, leaving the block
    raises `BenchError`: what is between the first look and the last is not known.
    """

    pids: Pids
    every: float = 1.0
    gpu: GpuWatch | None = None
    samples: list[Sample] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="resources", daemon=True)
        self._memory_at = -MEMORY_EVERY
        self._failed = 0
        self._why = ""  # the last one did

    def __enter__(self) -> Self:
        self._look(memory=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._look(memory=True)
        if error is None and self._failed > len(self.samples):
            raise BenchError(f"{self._failed} looks at the parts failed: {self._why}")

    def _run(self) -> None:
        while not self._ended.wait(self.every):
            try:
                self._look(memory=time.monotonic() >= self._memory_at + MEMORY_EVERY)
            except Exception as failure:  # noqa: BLE001 - a thread that ends would be missed by nobody
                self._failed += 1
                self._why = f"{type(failure).__name__}: {failure}"[:200]

    def _look(self, *, memory: bool) -> None:
        pids = dict(self.pids())
        at = time.monotonic()
        parts = snapshot(pids, memory=memory)
        if memory:
            self._memory_at = at
        gpu = self.gpu.used_mb(_all(pids.values())) if self.gpu else None
        self.samples.append(Sample(at, parts, memory, gpu))

    # --- What it saw ---------------------------------------------------------------------------

    @property
    def seconds(self) -> float:
        return self.samples[-1].at - self.samples[0].at

    def cpu_seconds(self) -> dict[str, float]:
        """What each kind of part used between the first look and the last.

        A part that was started again begins at 0; what it used is counted all the same.
        """
        used: dict[str, float] = {}
        for before, after in pairwise(self.samples):
            for part, now in after.parts.items():
                then = before.parts[part].cpu_s if part in before.parts else 0.0
                used[part] = used.get(part, 0.0) + max(0.0, now.cpu_s - then)
        return used

    def cpu_percent(self) -> dict[str, float]:
        """The same, in percent of one core."""
        return {part: 100 * used / self.seconds for part, used in self.cpu_seconds().items()}

    def memory_mb(self) -> dict[str, list[float]]:
        """The memory of each kind of part, as often as it was read."""
        kept: dict[str, list[float]] = {}
        for sample in self.samples:
            if sample.with_memory:
                for part, use in sample.parts.items():
                    kept.setdefault(part, []).append(use.memory_mb)
        return kept

    def gpu_mb(self) -> list[float]:
        return [sample.gpu_mb for sample in self.samples if sample.gpu_mb is not None]

    def lines(self, began: float | None = None) -> list[Series]:
        """CPU, memory and descriptors over time, to be drawn; seconds since `began`, or the first look."""
        zero = self.samples[0].at if began is None else began
        names = sorted({part for sample in self.samples for part in sample.parts})
        return [line for name in names for line in self._of_part(name, zero) if line.points]

    def _of_part(self, part: str, zero: float) -> list[Series]:
        there = [(sample, sample.parts[part]) for sample in self.samples if part in sample.parts]
        cpu = tuple(
            (round(now.at - zero, 2), round(100 * max(0.0, use.cpu_s - then.cpu_s) / (now.at - before.at), 1))
            for (before, then), (now, use) in pairwise(there)
            if now.at > before.at
        )
        memory = tuple(
            (round(sample.at - zero, 2), round(use.memory_mb, 1))
            for sample, use in there
            if sample.with_memory
        )
        descriptors = tuple((round(sample.at - zero, 2), float(use.descriptors)) for sample, use in there)
        return [
            Series("CPU over time", part, "s", "% of a core", cpu),
            Series("Memory over time", part, "s", "MB", memory),
            Series("Descriptors over time", part, "s", "descriptors", descriptors),
        ]


def _all(pids: Iterable[int]) -> set[int]:
    children = _children()
    return {one for pid in pids for one in _family(pid, children)}
