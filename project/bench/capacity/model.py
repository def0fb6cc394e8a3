"""From what one customer costs to how many machines many of them need, and what gives way first.

Nothing is measured here. Every line is a sum or a product, so that a reader can redo it by hand:
demand is what all activities take of a resource in a second; an engine is what a shared part can give.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import yaml

from project.bench import strict
from project.bench.capacity.costs import RESOURCES, Costs
from project.embedded.stack import ROOT

FILE = ROOT / "docs" / "capacity.yaml"
# The processors of processes of which there are as many as it takes.
COUNTED = ("cpu.web", "cpu.live", "cpu.render", "cpu.general")
# Where the processors stand that a resource names: with the web, drawing for sessions, or drawing clips.
HOSTS = {
    "web": ("cpu.web",),
    "speech": ("cpu.speech",),
    "live drawing": ("cpu.live",),
    "clips": ("cpu.render", "cpu.general"),
    "data": ("cpu.valkey", "cpu.storage"),
}


@dataclass(frozen=True, slots=True)
class Habits:
    """What customers do. Shares are of 1."""

    speaking: float
    session_minutes: float
    recorded: float
    clip_minutes_an_hour: float  # of film, for each session that goes on at that time
    reconnects: float  # UDP ports for each session, since an older peer stays until the newer one is there

    def __post_init__(self) -> None:
        if not (0 <= self.speaking <= 1 and 0 <= self.recorded <= 1 and self.session_minutes > 0):
            raise ValueError("habits: shares lie between 0 and 1, and a session takes some time")


@dataclass(frozen=True, slots=True)
class Machine:
    """One of those that are bought. `use` is how much of it may be used at the busiest moment."""

    cores: int
    use: float
    memory_gb: float
    gbit: float
    udp_ports: int

    def __post_init__(self) -> None:
        if not 0 < self.use <= 1 or self.cores < 1:
            raise ValueError("machine: use lies between 0 and 1, and it has a core")


@dataclass(frozen=True, slots=True)
class Engine:
    """A part that all machines share. `capacity` is what one of it gives in a second, of `resource`.

    `why` says where that figure is from, `remedy` which existing engine takes its place, and how.
    """

    name: str
    resource: str
    capacity: float
    unit: str
    why: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Assumptions:
    """docs/capacity.yaml: everything that was not measured."""

    sizes: tuple[int, ...]
    habits: Habits
    machine: Machine
    engines: tuple[Engine, ...]
    gpu_fps: tuple[int, ...]
    fps: float = 25.0
    added: dict[str, dict[str, float]] = field(default_factory=dict)  # costs measured elsewhere
    added_why: str = ""

    def __post_init__(self) -> None:
        known = {*RESOURCES, "database.connections"}
        named = [engine.resource for engine in self.engines] + [
            name for one in self.added.values() for name in one
        ]
        if unknown := [name for name in named if name not in known]:
            raise ValueError(f"{unknown[0]} is no resource")


@dataclass(frozen=True, slots=True)
class Load:
    """An engine at a size: what is asked of it in a second, and how much of one that is (1: all of it)."""

    engine: Engine
    demand: float

    @property
    def share(self) -> float:
        return self.demand / self.engine.capacity


@dataclass(frozen=True)
class Need:
    """What so many sessions at once need."""

    sessions: int
    costs: Costs
    assumed: Assumptions

    def demand(self, resource: str) -> float:
        """Of all customers together, in a second (of memory: in all)."""
        habits, cost = self.assumed.habits, self.costs
        if resource == "database.connections":
            return self.processes * cost.connections / cost.processes
        if resource == "memory.web":
            each = max(cost.of("idle", resource), cost.of("speaking", resource))
            return self.sessions * each + self.web_processes * cost.of("hosting", resource)
        opened = self.sessions / (habits.session_minutes * 60)
        recorded = self.sessions * habits.recorded
        clip_minutes = self.sessions * habits.clip_minutes_an_hour / 3600
        people = (
            self.sessions * (1 - habits.speaking) * cost.of("idle", resource)
            + self.sessions * habits.speaking * cost.of("speaking", resource)
            + opened * cost.of("opened", resource)
            + recorded * (cost.of("recorded", resource) + cost.of("joined", resource) / 60)
            + clip_minutes * cost.of("clip", resource)
        )
        return people + self._by_themselves(resource)

    def _by_themselves(self, resource: str) -> float:
        """What processes do without customers; nothing of the processors by which they are counted."""
        if resource in COUNTED:
            return 0.0
        cost = self.costs
        return (
            self.web_processes * cost.of("hosting", resource)
            + self.processes * cost.of("process", resource)
            + cost.of("deployment", resource)
        )

    def cores(self, resources: tuple[str, ...]) -> float:
        """Busy on average."""
        return sum(self.demand(resource) for resource in resources)

    @cached_property
    def web_processes(self) -> int:
        return self._processes("cpu.web")

    @cached_property
    def processes(self) -> int:
        """Of all kinds that wait for work: web, and workers of sessions, of clips and of the rest."""
        return sum(self._processes(resource) for resource in COUNTED)

    def _processes(self, resource: str) -> int:
        """Each uses one core at most, and not more of it than `use`."""
        return max(1, math.ceil(self.demand(resource) / self.assumed.machine.use))

    def machines(self, host: str) -> int:
        machine = self.assumed.machine
        wanted = [self.cores(HOSTS[host]) / (machine.cores * machine.use)]
        if host == "web":
            wanted += [
                self.demand("memory.web") / 1024 / (machine.memory_gb * machine.use),
                self.demand("sent.bits") / (machine.gbit * 1e9 * machine.use),
                self.sessions * self.assumed.habits.reconnects / machine.udp_ports,
            ]
        return max(1, math.ceil(max(wanted)))

    @property
    def all_machines(self) -> int:
        return sum(self.machines(host) for host in HOSTS)

    def what_fills_a_web_machine(self) -> dict[str, int]:
        """How many sessions one machine carries by each of its limits."""
        machine, each = self.assumed.machine, replace_sessions(self, 1000)
        limits = {
            "processor": 1000 * machine.cores * machine.use / each.cores(HOSTS["web"]),
            "network": 1000 * machine.gbit * 1e9 * machine.use / (each.demand("sent.bits") or math.nan),
            "memory": 1000 * machine.memory_gb * 1024 * machine.use / (each.demand("memory.web") or math.nan),
            "UDP ports of one address": machine.udp_ports / self.assumed.habits.reconnects,
        }
        return {name: int(count) for name, count in limits.items() if not math.isnan(count)}

    def loads(self) -> list[Load]:
        """Every engine whose resource was measured, the fullest first."""
        known = [engine for engine in self.assumed.engines if self._known(engine.resource)]
        loads = [Load(engine, self.demand(engine.resource)) for engine in known]
        return sorted(loads, key=lambda load: -load.share)

    def _known(self, resource: str) -> bool:
        if resource == "database.connections":
            return self.costs.connections > 0
        return self.costs.measured(resource)

    def gpus(self, fps: float) -> int:
        """For a model of which one GPU draws so many pictures a second, for all sessions together."""
        pictures = self.sessions * self.assumed.habits.speaking * self.assumed.fps
        return math.ceil(pictures / (fps * self.assumed.machine.use))


def replace_sessions(need: Need, sessions: int) -> Need:
    return Need(sessions, need.costs, need.assumed)


def breaking_point(need: Need) -> tuple[int, Load] | None:
    """With how many sessions the first engine is full, and which one; None where nothing was measured."""
    full = [(need.sessions / load.share, load) for load in need.loads() if load.share > 0]
    if not full:
        return None
    sessions, load = min(full, key=lambda pair: pair[0])
    return int(sessions), load


def variations(assumed: Assumptions, costs: Costs) -> Iterator[tuple[str, Assumptions, Costs]]:
    """What if: each assumption by itself, and all costs by the tolerance of the gates."""
    habits = assumed.habits
    yield "as assumed", assumed, costs
    for share in (0.2, 0.6):
        yield (
            f"{share:.0%} of the time spoken",
            replace(assumed, habits=replace(habits, speaking=share)),
            costs,
        )
    for minutes in (2.0, 30.0):
        name = f"sessions of {minutes:.0f} minutes"
        yield name, replace(assumed, habits=replace(habits, session_minutes=minutes)), costs
    for recorded in (0.0, 1.0):
        name = "no session recorded" if not recorded else "every session recorded"
        yield name, replace(assumed, habits=replace(habits, recorded=recorded)), costs
    double = replace(habits, clip_minutes_an_hour=2 * habits.clip_minutes_an_hour)
    yield "twice the clips", replace(assumed, habits=double), costs
    yield "every measured cost 15% higher", assumed, costs.dearer(1.15)


def read(path: Path = FILE) -> Assumptions:
    """Raises `ValueError` that names the file and the field which is wrong."""
    try:
        return strict.read(Assumptions, yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: {error}") from error
