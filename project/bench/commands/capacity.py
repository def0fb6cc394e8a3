"""Measures what one session and one clip cost of everything that is shared, and writes docs/capacity.md.

    manage.py bench capacity --config capacity               measure; a result like any other
    manage.py bench capacity --take outputs/.../result.json  make its costs those of docs/capacity.md
    manage.py bench capacity --page                          only write the page again

With `DATABASE_URL` of a PostgreSQL in the environment the stack uses it, and its transactions are counted;
with SQLite they are left out.
"""

import asyncio
import os
import time
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from project.bench import config as configs
from project.bench import target as targets
from project.bench import writers
from project.bench.avatars import avatar_of, quiet_persona
from project.bench.capacity import costs, model, page
from project.bench.capacity.costs import PREFIX, RESOURCES
from project.bench.commands.scaling import made, post
from project.bench.config import Config
from project.bench.counters import Counters, Reading
from project.bench.crowds import Span, at_rest, gathered
from project.bench.customers import Service
from project.bench.errors import BenchError
from project.bench.provider_stub import REPLY
from project.bench.results import Result, Subject, Table
from project.bench.target import Target

JOINED_SECONDS = 300.0
SETTLE_SECONDS = 10.0
MORE = 2  # workers of each kind, of the stack that has more
TOP = 15
BOUNDARY = "what the stack used over the span, less what it uses at rest, by units of the activity"


@dataclass(frozen=True, slots=True)
class CapacityWishes:
    """How many sessions are idle and speak, for how long; how many are opened and ended; how many clips.

    What one session takes is the difference between `few` and `sessions` of them.
    """

    few: int = 2
    sessions: int = 10
    seconds: float = 60.0
    opened: int = 10
    clips: int = 4

    def __post_init__(self) -> None:
        if min(self.few, self.seconds, self.opened, self.clips) <= 0 or self.sessions <= self.few:
            raise ValueError("all of them must be more than 0, and sessions more than few")


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--take", type=Path, metavar="RESULT", help="keep the costs of this result.json")
    parser.add_argument("--page", action="store_true", help="write docs/capacity.md from what is kept")


def run(options: Namespace) -> int:
    if options.take:
        costs.write(costs.taken(Result.load(options.take)))
    if options.take or options.page:
        page.write(costs.read(), model.read())
        print(f"Written: {page.FILE}")
        return 0
    if options.attach is not None:
        raise BenchError("Costs are counted in a stack of this command's own, which nobody else uses")
    return _measured(options)


def _measured(options: Namespace) -> int:
    chosen = configs.read(options.config)
    wishes = chosen.section("capacity", CapacityWishes)
    subject = chosen.common.subjects[0]
    result = Result.begin(
        chosen.common.name,
        command="capacity",
        subjects=[Subject(subject.model, voice=subject.voice)],
        config=chosen.told("capacity"),
    )
    result.notes += chosen.common.notes
    with writers.kept(result, options.out):
        activities, processes = _of_people(result, chosen, wishes)
        rest, more = _larger(chosen, wishes)
        alone = of_processes(activities.rest, processes, rest, more)
        activities.keep("process", alone, 1)
        waiting = rest_rates(activities.rest)
        once = {name: rate - processes * alone.get(name, 0.0) for name, rate in waiting.items()}
        activities.keep("deployment", once, 1)
    return 0


def _of_people(result: Result, chosen: Config, wishes: CapacityWishes) -> tuple["Activities", int]:
    """Everything that sessions and clips cost, and the processes of that stack."""
    database = os.environ.get("DATABASE_URL", "")
    environment = {"DATABASE_URL": database} if database.startswith("postgres") else {}
    with (
        targets.started(chosen.common, environment=environment) as target,
        Counters(target) as counters,
        target.client as http,
        quiet_persona(http) as persona,
    ):
        avatar = avatar_of(http, chosen.common.subjects[0])
        service = Service(target.base_url, target.api_key, avatar, {"persona": persona})
        activities = Activities(result, counters)
        asyncio.run(Measuring(result, activities, target, counters, service, wishes).all())
        _clips(activities, http, service, wishes)
        return activities, len(target.pids())


def _larger(chosen: Config, wishes: CapacityWishes) -> tuple[Reading, int]:
    """What a stack with more workers does at rest, and its processes. It has a database of its own."""
    stack = chosen.common.stack
    wider = replace(stack, live_workers=stack.live_workers + MORE, render_workers=stack.render_workers + MORE)
    with targets.started(replace(chosen.common, stack=wider)) as target, Counters(target) as counters:
        time.sleep(SETTLE_SECONDS)
        return asyncio.run(at_rest(counters, wishes.seconds)), len(target.pids())


def of_processes(rest: Reading, processes: int, wider: Reading, more: int) -> dict[str, float]:
    """What one more process asks of the broker in a second while it waits for work."""
    few, many = rest_rates(rest), rest_rates(wider)
    names = [name for name in few if name.startswith(("valkey.", "cpu.valkey"))]
    return {name: max(0.0, many.get(name, 0.0) - few[name]) / (more - processes) for name in names}


class Activities:
    """Keeps what an activity costs, less what the stack does by itself in the same time."""

    def __init__(self, result: Result, counters: Counters) -> None:
        self._result, self.counters = result, counters
        self.rest = Reading(0.0, {}, 1.0)

    def keep(self, activity: str, spent: dict[str, float], units: float) -> None:
        """`spent` by resource, for so many units of the activity. Less than nothing is noise."""
        for resource in RESOURCES:
            if resource in spent:
                self._result.add(
                    PREFIX + resource.replace(".", "_", 1),
                    RESOURCES[resource],
                    [max(0.0, spent[resource]) / units],
                    state="steady",
                    case=activity,
                    source="machine",
                    boundary=BOUNDARY,
                )

    def above_rest(self, spent: Reading) -> dict[str, float]:
        return {name: value - self.rest.rate(name) * spent.seconds for name, value in known(spent).items()}


def known(spent: Reading) -> dict[str, float]:
    """The counters by the names of the model."""
    found = {name: value for name, value in spent.values.items() if name in RESOURCES}
    if "valkey.commands" in found:
        found["valkey.bytes"] = spent["valkey.bytes_in"] + spent["valkey.bytes_out"]
    return found


@dataclass
class Measuring:
    """The parts of a run, one after the other on one stack."""

    result: Result
    activities: Activities
    target: Target
    counters: Counters
    service: Service
    wishes: CapacityWishes

    async def all(self) -> None:
        """Measure everything of sessions."""
        if self.target.stub is not None:
            self.target.stub.control(reply=" ".join([REPLY] * 3))
        async with gathered(self.service, self.target, self.counters) as warming:
            await warming.grow(1)
            await warming.watched(2.0, talking=1.0)
        await asyncio.sleep(5)
        self.activities.rest = await at_rest(self.counters, self.wishes.seconds)
        await self._opened()
        async with gathered(self.service, self.target, self.counters) as crowd:
            await crowd.grow(self.wishes.few)
            few = await crowd.watched(self.wishes.seconds)
            await crowd.grow(self.wishes.sessions)
            many = await crowd.watched(self.wishes.seconds)
            speaking = await crowd.watched(self.wishes.seconds, talking=1.0)
        self._sessions(few, many, speaking)
        await self._recorded(speaking)

    def _told(self, name: str, count: float) -> None:
        self.result.add(
            name, "", [count], state="steady", source="machine", better="",
            boundary="of the stack that was measured, while it was",
        )  # fmt: skip

    async def _opened(self) -> None:
        before = self.counters.read()
        async with gathered(self.service, self.target, self.counters) as crowd:
            await crowd.grow(self.wishes.opened)
        await asyncio.sleep(5 + self.counters.late)
        spent = self.activities.above_rest(before.until(self.counters.read()))
        self.activities.keep("opened", spent, self.wishes.opened)

    def _sessions(self, few: Span, many: Span, speaking: Span) -> None:
        """A second of each, and what a process takes that hosts: what is left when no session counts.

        Nobody speaks all the time: what lies between is taken off as idle.
        """
        idle, base = line(few, many)
        share = speaking.spoken
        if share <= 0:
            raise BenchError("Nothing was spoken in the sessions that were to speak")
        mixed = {name: (rate - base[name]) / speaking.sessions for name, rate in rates(speaking).items()}
        spoken = {name: (rate - (1 - share) * idle[name]) / share for name, rate in mixed.items()}
        parts = self.target.pids()
        webs = sum(part.startswith("web") for part in parts)
        waiting = rest_rates(self.activities.rest) | {"sent.bits": base["sent.bits"], "memory.web": 0.0}
        self.activities.keep(
            "hosting", {name: rate - waiting.get(name, 0.0) for name, rate in base.items()}, webs
        )
        self.activities.keep("idle", idle, 1)
        self.activities.keep("speaking", spoken | {"memory.web": mixed["memory.web"]}, 1)
        self._told("database_connections", speaking.connections)
        self._told("spoken_share", share)
        self._told("processes", len(parts))
        self.result.tables.append(commands(self.activities.rest, few, many, speaking))

    async def _recorded(self, speaking: Span) -> None:
        """As many sessions that are spoken to and recorded, and then the films of them."""
        service = replace(self.service, wishes={**self.service.wishes, "record": True})
        async with gathered(service, self.target, self.counters) as crowd:
            await crowd.grow(speaking.sessions)
            recorded = rates(await crowd.watched(self.wishes.seconds, talking=1.0))
            without = rates(speaking)
            above = {name: (recorded[name] - without[name]) / speaking.sessions for name in recorded}
            self.activities.keep("recorded", above, 1)
            before = self.counters.read()
        minutes = await self._films()
        await asyncio.sleep(self.counters.late)
        spent = self.activities.above_rest(before.until(self.counters.read()))
        self.activities.keep("joined", spent, minutes)

    async def _films(self) -> float:
        """Wait until every recording is a film; returns the minutes of all."""
        await asyncio.sleep(3)
        until = time.monotonic() + JOINED_SECONDS
        while True:
            found = await asyncio.to_thread(self._recordings)
            if all(one["status"] not in ("recording", "assembling") for one in found):
                return float(sum(one["duration_ms"] or 0 for one in found) / 60_000)
            if time.monotonic() > until:
                raise BenchError("The recordings did not become films")
            await asyncio.sleep(0.5)

    def _recordings(self) -> list[dict[str, Any]]:
        with self.target.client as http:
            told = http.get("/api/v1/recordings", params={"limit": 100}).raise_for_status().json()
        return list(told["results"])


def rest_rates(rest: Reading) -> dict[str, float]:
    return {name: value / rest.seconds for name, value in known(rest).items()}


def rates(span: Span) -> dict[str, float]:
    """What all sessions of a span took in a second; of memory, what was held."""
    return rest_rates(span.spent) | {"sent.bits": span.sent_bits, "memory.web": span.web_mb}


def line(few: Span, many: Span) -> tuple[dict[str, float], dict[str, float]]:
    """What one more session takes in a second, and what is taken without any: the line through two spans."""
    fewer, more = rates(few), rates(many)
    each = {name: (more[name] - fewer[name]) / (many.sessions - few.sessions) for name in more}
    return each, {name: fewer[name] - few.sessions * each[name] for name in more}


def commands(rest: Reading, few: Span, many: Span, speaking: Span) -> Table:
    """Which commands Valkey runs, the most frequent first."""
    names = {name for name in speaking.spent.values if name.startswith("valkey.")}
    names -= {"valkey.commands", "valkey.bytes_in", "valkey.bytes_out", "valkey.info"}
    rows = []
    for name in sorted(names, key=lambda name: -speaking.spent.rate(name))[:TOP]:
        one_more = (many.spent.rate(name) - few.spent.rate(name)) / (many.sessions - few.sessions)
        figures = (rest.rate(name), one_more, speaking.spent.rate(name) / speaking.sessions)
        rows.append((name.removeprefix("valkey."), *(f"{figure:.2f}" for figure in figures)))
    columns = ("command", "at rest, all", "one more idle session", "a session that is spoken to")
    return Table("Commands of Valkey, a second", columns, tuple(rows))


def _clips(activities: Activities, http: httpx.Client, service: Service, wishes: CapacityWishes) -> None:
    made(http, post(http, service, 1))
    time.sleep(activities.counters.late)
    before = activities.counters.read()
    # Who asks every second costs as much as one who waits for the webhook, nearly.
    seconds = made(http, post(http, service, wishes.clips), every=1.0)
    time.sleep(activities.counters.late)
    spent = before.until(activities.counters.read())
    activities.keep("clip", activities.above_rest(spent), seconds / 60)
