"""What a measurement found: figures with their boundaries, and all that is needed to judge them.

    result = Result.begin("short", command="live", subjects=[subject], config=config.told())
    result.add("session_create_ms", "ms", [41.0, 44.2], state="warm", boundary="...", source="receiver")
    writers.write(result, folder)

`result.json` is this, field by field, and `Result.load` reads it again.
"""

import json
import math
import os
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

from project.bench import strict
from project.bench.machine import Hardware, commit, hardware, operating_system, versions

SCHEMA = "parley.bench/1"
State = Literal["cold", "warm", "steady"]
Source = Literal["receiver", "server", "worker", "machine"]
Better = Literal["less", "more", ""]


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure, measured several times.

    `boundary` says in a sentence from where to where; `source` says whose clock or counter it is.
    `case` tells figures of one name apart ("text", "voice", "30 sessions"), `model` figures of several
    models; "" is the only one there is. `better` is "" where neither more nor less is better.
    Without values `missing` says why there are none.
    """

    name: str
    unit: str
    values: tuple[float, ...]
    state: State
    boundary: str
    source: Source
    model: str = ""
    case: str = ""
    better: Better = "less"
    missing: str = ""

    def __post_init__(self) -> None:
        if not all(math.isfinite(one) for one in self.values):
            raise ValueError(f"{self.name}: a value that is no number")
        if not self.values and not self.missing:
            raise ValueError(f"{self.name}: no values, and no reason why")
        if not self.boundary:
            raise ValueError(f"{self.name}: from where to where was it measured?")

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What makes it the same figure in another result."""
        return self.name, self.state, self.model, self.case

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def minimum(self) -> float:
        return min(self.values)

    @property
    def maximum(self) -> float:
        return max(self.values)

    @property
    def p95(self) -> float:
        """The smallest value that 95% of all do not exceed: one that was measured, never one between."""
        return sorted(self.values)[math.ceil(0.95 * self.n) - 1]

    def summary(self) -> dict[str, Any]:
        """Its fields, with what follows from the values."""
        figures = ("n", "median", "minimum", "maximum", "p95") if self.values else ()
        return asdict(self) | {name: getattr(self, name) for name in figures}


@dataclass(frozen=True, slots=True)
class Subject:
    """One model on one backend, as it was measured: a row of the table.

    `label` is "external" where somebody else's service drew the pictures.
    """

    model: str
    backend: str = "local"
    technique: str = ""
    avatar: str = ""
    voice: str = ""
    resolution: str = ""
    fps: float = 25.0
    chunk_ms: float = 0.0
    input: str = ""
    label: Literal["own", "external"] = "own"
    weights: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """Points of one line: of a plot (all of one `plot` share it), x in `x_unit`, y in `unit`."""

    plot: str
    name: str
    x_unit: str
    unit: str
    points: tuple[tuple[float, float], ...]
    x_name: str = "time"


@dataclass(frozen=True, slots=True)
class Stage:
    """A bar of a waterfall, in ms since the turn began."""

    name: str
    from_ms: float
    to_ms: float
    provider: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation, or the way of one clip."""

    label: str
    state: State
    stages: tuple[Stage, ...]
    model: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """Something that had to be so, whether it was, and by what one sees it."""

    name: str
    passed: bool
    evidence: str


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened, in seconds since the beginning."""

    at_s: float
    what: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the report, of which no metric tells."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass
class Result:
    """Everything of one run. Lists grow while it is measured."""

    name: str
    command: str
    created: str
    commit: str
    versions: dict[str, str]
    hardware: Hardware
    os: str
    config: dict[str, Any] = field(default_factory=dict)
    subjects: list[Subject] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    metrics: list[Metric] = field(default_factory=list)
    calibration: dict[str, list[float]] = field(default_factory=dict)
    series: list[Series] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    timeline: list[Moment] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    load_average: float | None = None  # of the machine, before it began
    schema: str = SCHEMA

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise ValueError(f"it is {self.schema!r}, and not {SCHEMA!r}")

    @classmethod
    def begin(
        cls,
        name: str,
        *,
        command: str,
        subjects: Sequence[Subject] = (),
        config: dict[str, Any] | None = None,
    ) -> Self:
        """A result without figures yet, of this machine, this commit and this moment.

        `config` holds no secrets: it is published with the result.
        """
        return cls(
            name=name,
            command=command,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            commit=commit(),
            versions=versions(),
            hardware=hardware(),
            os=operating_system(),
            config=dict(config or {}),
            subjects=list(subjects),
            load_average=round(os.getloadavg()[0], 2),
        )

    def add(
        self,
        name: str,
        unit: str,
        values: Iterable[float | None],
        *,
        state: State,
        boundary: str,
        source: Source,
        model: str = "",
        case: str = "",
        better: Better = "less",
        missing: str = "nothing was measured",
    ) -> Metric:
        """Keep a figure; values that are None were not measured."""
        known = tuple(round(float(one), 4) for one in values if one is not None)
        reason = "" if known else missing
        metric = Metric(name, unit, known, state, boundary, source, model, case, better, reason)
        if metric.key in {one.key for one in self.metrics}:
            raise ValueError(f"{metric.key} is there twice")
        self.metrics.append(metric)
        return metric

    def check(self, name: str, passed: bool, evidence: str) -> bool:
        self.checks.append(Check(name, passed, evidence))
        return passed

    def find(self, name: str, *, state: str = "", model: str = "", case: str | None = None) -> Metric | None:
        """The first figure of this name, of any state or case where none is asked for."""
        for metric in self.metrics:
            same = metric.name == name and (not state or metric.state == state)
            if same and metric.model in ("", model) and (case is None or metric.case == case):
                return metric
        return None

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    def told(self) -> dict[str, Any]:
        """As it stands in result.json."""
        fields = asdict(self)
        fields["metrics"] = [metric.summary() for metric in self.metrics]
        return {"schema": fields.pop("schema"), **fields}

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a result.json. Raises `ValueError` that names the field which is wrong."""
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from error
        for metric in told.get("metrics", []) if isinstance(told, dict) else []:
            for name in ("n", "median", "minimum", "maximum", "p95"):  # they follow from the values
                metric.pop(name, None)
        return strict.read(cls, told)
