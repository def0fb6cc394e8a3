"""Writes docs/capacity.md. Every figure on it comes from the data; only the sentences stand here."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from project.bench.capacity.costs import ACTIVITIES, RESOURCES, Costs
from project.bench.capacity.model import HOSTS, Assumptions, Load, Need, breaking_point, variations
from project.embedded.stack import ROOT

FILE = ROOT / "docs" / "capacity.md"

HEAD = """\
# Capacity

How many machines so many conversations need, what gives way first, and what takes its place. Nobody has
run the service at these sizes: this is arithmetic on what one conversation and one clip cost, as
measured on {cores} cores ({cpu}, {database}) on {created}, commit `{commit}`{load}. `manage.py bench
capacity` measures the costs again, [capacity.yaml](capacity.yaml) holds everything that is assumed, and
`manage.py bench capacity --page` writes this page from both.
"""

HOW = """\
## How it is reckoned

For each resource, what is asked of it in a second is

    sessions x (1 - s) x idle
    + sessions x s x speaking                    s: share of the time in which the avatar speaks
    + sessions / (60 x m) x opened               m: minutes of a session
    + sessions x r x (recorded + joined / 60)    r: share of sessions that are recorded
    + sessions x c / 3600 x clip                 c: minutes of film an hour for each session
    + web processes x hosting + processes x process + deployment

with the row of that resource in the table of costs. Machines have {cores} cores, {memory:g} GB and
{gbit:g} Gbit/s, and {use:.0%} of that is used at the busiest moment. Conversations are {minutes:g}
minutes long, {speaking:.0%} of them spoken, {recorded:.0%} recorded; beside each, {clips:g} minute(s)
of film an hour are made from scripts.
"""

LIMITS = """\
## What this does not say

- The model is `viseme`, drawn on processors. One that needs a GPU moves the row *live drawing* to GPUs,
  as above; what encodes its pictures stays on processors.
- Costs are those of clients on a good network. Lost packets are sent again, once.
- Language models, voices and recognisers of others have limits of their own. *Speech* is the sidecar
  with its fastest voices ([its own measure](benchmarks/speech.md)); the slowest take fifty times as much.
- *Data* is Valkey and SeaweedFS. The machine of PostgreSQL comes on top; its processor was not measured.
- TURN: who cannot be reached directly is relayed by coturn, which costs the bandwidth once more. Several
  of them stand behind one name (DNS, or anycast); each relayed session takes a UDP port of an address, so
  addresses are added with sessions.
- The channel layer is no bottleneck, since nothing uses it: sockets are handed on through lists in Valkey
  that each process reads with one blocking call; they are within the costs of the broker.
- Sessions do not move between machines for balance; each stays where its socket was led first.
"""


def text(costs: Costs, assumed: Assumptions) -> str:
    """The whole page."""
    costs = costs.with_added(assumed.added)
    needs = [Need(sessions, costs, assumed) for sessions in assumed.sizes]
    lines = [
        _head(costs),
        "## In short\n",
        *_short(needs),
        "",
        "## Costs that were measured\n",
        *_costs(costs),
        *([f"- {assumed.added_why.strip()}"] if assumed.added else []),
        "",
        _how(assumed),
        "## Machines\n",
        *_machines(needs),
        "",
        "## One web machine\n",
        *_one_machine(needs[0]),
        "",
        "## What all share\n",
        *_engines(needs),
        "",
        "## If it is otherwise\n",
        *_sensitivity(needs[-1]),
        "",
        "## With a GPU\n",
        *_gpus(needs),
        "",
        LIMITS,
    ]
    return "\n".join(lines)


def write(costs: Costs, assumed: Assumptions, path: Path = FILE) -> None:
    path.write_text(text(costs, assumed), encoding="utf-8")


def _head(costs: Costs) -> str:
    source = costs.source
    load = "" if source.load_average is None else f", load average {source.load_average:g} before it"
    note = f"\n{source.note}\n" if source.note else ""
    told = HEAD.format(
        cores=source.cores, cpu=source.cpu, database=source.database, created=source.created,
        commit=source.commit[:12], load=load,
    )  # fmt: skip
    return told + note


def _short(needs: Sequence[Need]) -> Iterator[str]:
    for need in needs:
        fullest = need.loads()[:1]
        first = f"; first to give way: **{_share(fullest[0])}**" if fullest else ""
        yield f"- **{need.sessions:,} sessions at once**: {need.all_machines:,} machines{first}."
    broken = breaking_point(needs[-1])
    if broken:
        sessions, load = broken
        yield (
            f"- One deployment as it is carries about {_rounded(sessions):,} sessions, until the "
            f"{load.engine.name} is full; beyond that it is several of them side by side."
        )


def _share(load: Load) -> str:
    return f"{load.engine.name}, {load.share:.0%} of one"


def _rounded(count: int) -> int:
    """Two figures: more would be a promise."""
    digits = max(0, len(str(count)) - 2)
    return round(count, -digits)


def _costs(costs: Costs) -> Iterator[str]:
    activities = [name for name in ACTIVITIES if name in costs.costs]
    yield f"| Resource | {' | '.join(activities)} |"
    yield "|---|" + "---|" * len(activities)
    for resource, unit in RESOURCES.items():
        if costs.measured(resource):
            cells = [_figure(costs.costs[name].get(resource)) for name in activities]
            yield f"| {resource}{f', {unit}' if unit else ''} | {' | '.join(cells)} |"
    yield ""
    yield from (f"- *{name}*: {ACTIVITIES[name]}" for name in activities)
    if costs.connections:
        yield (
            f"- The {costs.processes} processes of that stack held {costs.connections:g} connections to the "
            "database."
        )


def _how(assumed: Assumptions) -> str:
    habits, machine = assumed.habits, assumed.machine
    return HOW.format(
        cores=machine.cores, memory=machine.memory_gb, gbit=machine.gbit, use=machine.use,
        minutes=habits.session_minutes, speaking=habits.speaking, recorded=habits.recorded,
        clips=habits.clip_minutes_an_hour,
    )  # fmt: skip


def _machines(needs: Sequence[Need]) -> Iterator[str]:
    yield from _heading("", needs)
    for host, resources in HOSTS.items():
        cells = [f"{need.machines(host):,} ({_figure(need.cores(resources))} cores busy)" for need in needs]
        yield f"| {host} | {' | '.join(cells)} |"
    yield _row("**all**", [f"**{need.all_machines:,}**" for need in needs])
    yield _row("web processes", [f"{need.web_processes:,}" for need in needs])
    yield _row("processes in all", [f"{need.processes:,}" for need in needs])
    yield _row("sent, Gbit/s", [_figure(need.demand("sent.bits") / 1e9) for need in needs])
    yield _row("films, minutes an hour", [f"{_films(need):,.0f}" for need in needs])


def _films(need: Need) -> float:
    return need.sessions * need.assumed.habits.clip_minutes_an_hour


def _heading(first: str, needs: Sequence[Need]) -> Iterator[str]:
    yield _row(first, [f"{need.sessions:,} sessions" for need in needs])
    yield "|---|" + "---|" * len(needs)


def _row(name: str, cells: Sequence[str]) -> str:
    return f"| {name} | {' | '.join(cells)} |"


def _one_machine(need: Need) -> Iterator[str]:
    limits = need.what_fills_a_web_machine()
    yield "Sessions that one machine can host, by each of its limits; the least counts:"
    yield ""
    yield "| Limit | Sessions |"
    yield "|---|---|"
    for name, sessions in sorted(limits.items(), key=lambda pair: pair[1]):
        yield f"| {name} | {_rounded(sessions):,} |"
    yield ""
    yield (
        "In containers the range of UDP ports is a setting: `docker-compose.yml` publishes a hundred "
        "(`RTC_PORTS`), which is a hundred sessions on that machine, long before any other limit. Widen "
        "it, or use the host's network."
    )


def _engines(needs: Sequence[Need]) -> Iterator[str]:
    yield "What is asked of each in a second, and in brackets how much of one that is; the fullest first."
    yield ""
    yield from _heading("Engine", needs)
    last = needs[-1].loads()
    for load in last:
        cells = [_load(need, load) for need in needs]
        yield _row(load.engine.name, cells)
    yield ""
    for load in last:
        engine = load.engine
        unit = f" {engine.unit}" if engine.unit else ""
        taken = f"taken as {engine.capacity:,.0f}{unit} ({engine.why})"
        yield f"- **{engine.name}**, {taken}. {engine.remedy.strip()}"
    missing = [
        engine.name for engine in needs[-1].assumed.engines if engine not in {one.engine for one in last}
    ]
    if missing:
        yield f"- Not measured by that run: {', '.join(missing)}."


def _load(need: Need, load: Load) -> str:
    here = Load(load.engine, need.demand(load.engine.resource))
    bold = "**" if here.share > 1 else ""
    unit = f" {load.engine.unit}" if load.engine.unit else ""
    return f"{_figure(here.demand)}{unit} ({bold}{here.share:.0%}{bold})"


def _sensitivity(need: Need) -> Iterator[str]:
    yield f"Each by itself, for {need.sessions:,} sessions:"
    yield ""
    yield "| | Machines | web | live drawing | clips | Fullest engine | Sessions until the first is full |"
    yield "|---|---|---|---|---|---|---|"
    for name, assumed, costs in variations(need.assumed, need.costs):
        other = Need(need.sessions, costs, assumed)
        hosts = [f"{other.machines(host):,}" for host in ("web", "live drawing", "clips")]
        broken = breaking_point(other)
        fullest = _share(broken[1]) if broken else ""
        until = f"{_rounded(broken[0]):,}" if broken else ""
        yield _row(name, [f"{other.all_machines:,}", *hosts, fullest, until])


def _gpus(needs: Sequence[Need]) -> Iterator[str]:
    assumed = needs[0].assumed
    yield (
        f"A model draws {assumed.fps:g} pictures for each second that is spoken. GPUs, where one of them "
        f"draws so many for all sessions together ({assumed.machine.use:.0%} used):"
    )
    yield ""
    yield from _heading("pictures a second of one GPU", needs)
    for fps in assumed.gpu_fps:
        yield _row(f"{fps}", [f"{need.gpus(fps):,}" for need in needs])


def _figure(value: float | None) -> str:
    """Three figures, without an exponent."""
    if value is None:
        return ""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    places = 2 - next((n for n in range(1, -7, -1) if abs(value) >= 10**n), -7)
    return f"{value:.{places}f}"
