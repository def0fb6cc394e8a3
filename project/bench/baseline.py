"""What a run is remembered by: each figure's median and how sure it is; the baseline is a list of these.

`configs/benchmark/baseline.json` is written by `bench compare --write-baseline RESULT...`; several
results of one measurement become one entry, so that what differs from run to run counts as noise.
"""

import json
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from project.bench import strict
from project.bench.machine import Hardware
from project.bench.results import Better, Metric, Result, State

FILE = Path(__file__).parents[2] / "configs" / "benchmark" / "baseline.json"
SCHEMA = "parley.bench.baseline/1"
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Middle:
    """The median of `n` values; the true one lies from `low` to `high` with a confidence of 95%.

    With fewer than six values that interval is all of them, and less sure; a single one has no width.
    """

    median: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Middle":
        """Needs no distribution: of n values so many lie below the median as tails of n tossed coins."""
        known, n = sorted(values), len(values)
        skipped, tail = 0, 2 * 0.5**n
        while skipped + 1 <= n // 2 and tail <= 1 - CONFIDENCE:
            skipped += 1
            tail += 2 * math.comb(n, skipped) * 0.5**n
        place = max(0, skipped - 1)
        return cls(statistics.median(known), known[place], known[n - 1 - place], n)


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a run; `key` is what makes it the same in another one.

    `most` is its largest value and `total` the sum of all, for what no median shows.
    """

    name: str
    unit: str
    state: State
    better: Better
    middle: Middle
    most: float
    total: float
    model: str = ""
    case: str = ""

    @property
    def key(self) -> tuple[str, str, str, str]:
        return self.name, self.state, self.model, self.case

    def __str__(self) -> str:
        words = [self.name, *(word for word in (self.state, self.model, self.case) if word)]
        return " / ".join(words)


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement (`command` by a configuration called `name`), by one or more results."""

    command: str
    name: str
    created: str
    commit: str
    hardware: Hardware
    os: str
    figures: tuple[Figure, ...]
    calibration: dict[str, Middle] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    results: int = 1

    @property
    def key(self) -> tuple[str, str]:
        return self.command, self.name

    @classmethod
    def of(cls, results: Sequence[Result]) -> "Run":
        """What these results of one measurement say together; the newest one's description is kept."""
        newest = max(results, key=lambda result: result.created)
        values: dict[tuple[str, str, str, str], list[float]] = {}
        metrics: dict[tuple[str, str, str, str], Metric] = {}
        for result in results:
            for metric in result.metrics:
                if metric.values:
                    metrics[metric.key] = metric
                    values.setdefault(metric.key, []).extend(metric.values)
        yardsticks = {name: None for result in results for name in result.calibration}
        return cls(
            command=newest.command,
            name=newest.name,
            created=newest.created,
            commit=newest.commit,
            hardware=newest.hardware,
            os=newest.os,
            figures=tuple(_figure(metric, values[key]) for key, metric in metrics.items()),
            calibration={
                name: Middle.of([one for result in results for one in result.calibration.get(name, ())])
                for name in yardsticks
            },
            config=newest.config,
            results=len(results),
        )


def _figure(metric: Metric, values: Sequence[float]) -> Figure:
    middle, most, total = Middle.of(values), max(values), math.fsum(values)
    return Figure(
        metric.name, metric.unit, metric.state, metric.better, middle, most, total, metric.model, metric.case
    )


@dataclass(frozen=True, slots=True)
class Baseline:
    runs: tuple[Run, ...]
    schema: str = SCHEMA

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise ValueError(f"it is {self.schema!r}, and not {SCHEMA!r}")

    def with_runs(self, runs: Iterable[Run]) -> "Baseline":
        """The same with these runs, each in the place of an older one of its kind."""
        kept = {run.key: run for run in self.runs} | {run.key: run for run in runs}
        return Baseline(tuple(kept[key] for key in sorted(kept)))


def gathered(results: Iterable[Result]) -> tuple[Run, ...]:
    """One run of all results of one measurement, each."""
    by_key: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        by_key.setdefault((result.command, result.name), []).append(result)
    return tuple(Run.of(alike) for alike in by_key.values())


def read(path: Path = FILE) -> Baseline:
    """Raises `ValueError` that names the file and the field which is wrong."""
    try:
        return strict.read(Baseline, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


def write(baseline: Baseline, path: Path = FILE) -> None:
    told = asdict(baseline)
    text = json.dumps({"schema": told.pop("schema"), **told}, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
