"""What was measured: what each activity costs of each resource. Kept in docs/capacity.json."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from project.bench import strict
from project.bench.results import Result
from project.embedded.stack import ROOT

FILE = ROOT / "docs" / "capacity.json"
PREFIX = "cost_"

# What something is done to or with, and in what it is counted, for each of an activity's units.
RESOURCES = {
    "cpu.web": "s",
    "cpu.live": "s",
    "cpu.render": "s",
    "cpu.general": "s",
    "cpu.speech": "s",
    "cpu.valkey": "s",
    "cpu.storage": "s",
    "valkey.commands": "",
    "valkey.bytes": "B",
    "database.transactions": "",
    "database.rows_written": "",
    "database.log_bytes": "B",
    "storage.operations": "",
    "storage.bytes": "B",
    "sent.bits": "bit",
    "memory.web": "MB",
}
# What people do, and by what it is counted.
ACTIVITIES = {
    "idle": "a second of a session in which nobody is spoken to",
    "speaking": "a second of a session in which the avatar speaks",
    "recorded": "a second of a session that is recorded, above one that is not",
    "opened": "a session that is opened, joined and ended",
    "joined": "a minute of a session's recording that is made into a film",
    "clip": "a minute of film from a script",
    "hosting": "a second of a web process that hosts sessions, above one that waits",
    "process": "a second of any process that waits for work",
    "deployment": "a second of what is there once, such as the periodic tasks",
}


@dataclass(frozen=True, slots=True)
class Source:
    """The run that the costs are from."""

    created: str
    commit: str
    cpu: str
    cores: int
    database: str
    load_average: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Costs:
    """`costs[activity][resource]`: what one unit of an activity takes; what was not measured is 0.

    `connections` to the database and `processes` are those of the stack that was measured.
    """

    source: Source
    costs: dict[str, dict[str, float]]
    connections: float
    processes: int

    def __post_init__(self) -> None:
        for activity, spent in self.costs.items():
            if activity not in ACTIVITIES:
                raise ValueError(f"costs.{activity}: nobody does that")
            if unknown := sorted(set(spent) - set(RESOURCES)):
                raise ValueError(f"costs.{activity}.{unknown[0]}: no such resource")
        if self.processes < 1:
            raise ValueError("processes: at least one is needed")

    def of(self, activity: str, resource: str) -> float:
        return self.costs.get(activity, {}).get(resource, 0.0)

    def measured(self, resource: str) -> bool:
        return any(resource in spent for spent in self.costs.values())

    def with_added(self, added: Mapping[str, Mapping[str, float]]) -> "Costs":
        """The same with costs that were measured elsewhere, where this run has none."""
        names = [name for name in ACTIVITIES if name in self.costs or name in added]
        costs = {name: {**added.get(name, {}), **self.costs.get(name, {})} for name in names}
        return Costs(self.source, costs, self.connections, self.processes)

    def dearer(self, times: float) -> "Costs":
        """The same, each so many times as much."""
        costs = {
            activity: {name: value * times for name, value in spent.items()}
            for activity, spent in self.costs.items()
        }
        return Costs(self.source, costs, self.connections, self.processes)


def taken(result: Result) -> Costs:
    """What a run of `bench capacity` measured. Raises `ValueError` when it is another one."""
    if result.command != "capacity":
        raise ValueError(f"bench capacity measures costs, and this is a result of {result.command}")
    found: dict[str, dict[str, float]] = {}
    for metric in result.metrics:
        if metric.name.startswith(PREFIX) and metric.values:
            resource = metric.name.removeprefix(PREFIX).replace("_", ".", 1)
            found.setdefault(metric.case, {})[resource] = round(metric.median, 6)

    def one(name: str) -> float:
        metric = result.find(name)
        if metric is None or not metric.values:
            raise ValueError(f"{name} is missing")
        return metric.median

    hardware = result.hardware
    database = "PostgreSQL" if any("database.transactions" in spent for spent in found.values()) else "SQLite"
    return Costs(
        Source(
            result.created[:10],
            result.commit,
            hardware.cpu,
            hardware.cores,
            database,
            result.load_average,
            " ".join(result.notes),
        ),
        {name: found[name] for name in ACTIVITIES if name in found},
        one("database_connections"),
        round(one("processes")),
    )


def read(path: Path = FILE) -> Costs:
    """Raises `ValueError` that names the file and the field which is wrong."""
    try:
        return strict.read(Costs, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


def write(costs: Costs, path: Path = FILE) -> None:
    path.write_text(json.dumps(asdict(costs), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
