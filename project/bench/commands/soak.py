"""Lets sessions talk for long beside clips, and says what grew: memory, descriptors, tasks, keys, drift.

Everything is read every ten seconds; a verdict for each figure rests on its slope behind the beginning.
"""

import asyncio
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from project.bench import config as configs
from project.bench import target as targets
from project.bench import writers
from project.bench.avatars import avatar_of, make_avatar, quiet_persona
from project.bench.clips_beside import ClipsBeside
from project.bench.config import Common, SubjectWishes
from project.bench.customers import Service
from project.bench.fleet import Fleet, Seen
from project.bench.inside import Inside
from project.bench.live_figures import Figures, stub_words
from project.bench.live_runs import Talk, joins
from project.bench.provider_stub import REPLY
from project.bench.resources import Sampler
from project.bench.results import Better, Result, Series, Source
from project.bench.slopes import growth
from project.bench.subjects import described
from project.bench.talking import Habits
from project.bench.target import Target
from project.bench.watch import Watch
from project.embedded.stack import ROOT

FOREIGN = ("storage", "valkey")  # programs of others, with caches that fill: told, not judged
JUDGED_SECONDS = 600.0  # over less, what grows cannot be told from what is loaded
CARD = "mock"  # the model whose pictures a machine can read


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may grow by how much in an hour, and what may happen at all; None is not judged."""

    memory_mb_per_hour: float | None = 30.0
    descriptors_per_hour: float | None = 20.0
    asyncio_tasks_per_hour: float | None = 20.0
    broker_mb_per_hour: float | None = 20.0
    broker_keys_per_hour: float | None = 200.0
    drift_ms: float | None = 40.0
    freezes_a_minute: float | None = 0.5
    failures: int | None = 0
    clip_failures: int | None = 0


@dataclass(frozen=True, slots=True)
class SoakWishes:
    """How long, and how many. Rows of the database grow with what is kept: they are told, not judged."""

    minutes: float = 30.0
    sessions: int = 8
    speaking: float = 0.4
    clips: int = 1
    every_seconds: float = 10.0
    seed: int = 1
    question: str = "When is your shop open?"
    reply: str = REPLY
    bounds: Bounds = field(default_factory=Bounds)

    def __post_init__(self) -> None:
        if self.minutes <= 0 or self.sessions < 1 or self.every_seconds <= 0:
            raise ValueError("minutes, sessions and every_seconds are more than 0")


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, help="how long, in place of what the file says")


def run(options: Namespace) -> int:
    chosen = configs.read(options.config)
    wishes = chosen.section("soak", SoakWishes)
    if options.minutes:
        wishes = replace(wishes, minutes=options.minutes)
    result = Result.begin(
        chosen.common.name, command="soak", config=chosen.told("soak", attached=options.attach is not None)
    )
    result.notes += chosen.common.notes
    if chosen.common.stub is not None and options.attach is None:
        result.notes.append(stub_words(chosen.common.stub))
    with writers.kept(result, options.out), targets.opened(options, chosen) as target:
        Soak(target, chosen.common.subjects[0], chosen.common, wishes, result).run()
    return 0 if result.passed else 1


@dataclass
class Soak:
    """One model on one service, for long."""

    target: Target
    subject: SubjectWishes
    common: Common
    wishes: SoakWishes
    result: Result
    looks: list[tuple[float, Seen, Seen]] = field(default_factory=list, init=False)

    def run(self) -> None:
        """Let everybody talk until the time is up; then judge."""
        if self.target.stub is not None:
            self.target.stub.control(reply=self.wishes.reply)
        with self.target.client as http, quiet_persona(http) as persona:
            avatar = avatar_of(http, self.subject)
            card = make_avatar(http, ROOT / self.subject.picture, model=CARD, name="Test card")
            self.result.subjects.append(described(http, self.subject, avatar, asked="text"))
            about = {"persona": persona, "voice": self.subject.voice}
            service = Service(
                self.target.base_url, self.target.api_key, avatar, {**about, "model": self.subject.model}
            )
            asyncio.run(joins(Talk(service, self.wishes.question), Figures(), 1, "warm"))
            self._soak(service, replace(service, avatar=card, wishes={**about, "model": CARD}))

    def _soak(self, service: Service, card: Service) -> None:
        wishes = self.wishes
        habits = Habits(wishes.question, wishes.speaking, wishes.seed)
        body = {"avatar": service.avatar, "script": REPLY, "voice": self.subject.voice}
        with (
            Inside(self.target) as inside,
            Fleet(service, habits) as fleet,
            Fleet(card, replace(habits, share=1.0), read_cards=True, first=90_000) as reader,
            ClipsBeside(self.target, body, wishes.clips) as clips,
        ):
            fleet.grow(wishes.sessions)
            reader.grow(1)
            began = time.monotonic()
            watch = Watch(inside.readings(), wishes.every_seconds)
            sampler = Sampler(self.target.pids, every=wishes.every_seconds)
            try:
                with watch, sampler:
                    self._look_on(fleet, reader, began)
            except Exception:
                # Hours of it are worth telling, above all what grew until then.
                if self.looks:
                    self.wishes = replace(wishes, minutes=(self.looks[-1][0] - began) / 60)
                    self._tell(sampler, watch, clips, began)
                raise
            self._tell(sampler, watch, clips, began)

    def _tell(self, sampler: Sampler, watch: Watch, clips: ClipsBeside, began: float) -> None:
        made, failed = clips.counts()
        self._tell_use(sampler, began)
        self._tell_inside(watch, began)
        self._tell_seen(began)
        self._tell_clips(made, failed)

    def _look_on(self, fleet: Fleet, reader: Fleet, began: float) -> None:
        """Ask the customers again and again what they saw since the last time."""
        since, number = began, 0
        while (until := began + 60 * self.wishes.minutes) > time.monotonic():
            number += 1
            pause = min(began + number * self.wishes.every_seconds, until) - time.monotonic()
            time.sleep(max(0.0, pause))
            now = time.monotonic()
            self.looks.append((now, fleet.report(since, now), reader.report(since, now)))
            # Answers that began before this look are still needed; older ones would only fill memory.
            for each in (fleet, reader):
                each.forget(since)
            since = now
            if number % 6 == 0:
                print(f"-- {self.subject.model}: {(now - began) / 60:.0f} minutes", flush=True)

    # --- What became of it ------------------------------------------------------------------------

    def _tell_use(self, sampler: Sampler, began: float) -> None:
        """What the parts use: each kind of part by itself, since one that grows is lost in the sum."""
        self.result.series += sampler.lines(began)
        for part in sorted({part for sample in sampler.samples for part in sample.parts}):
            there = [(sample.at - began, sample) for sample in sampler.samples if part in sample.parts]
            memory = [(at, sample.parts[part].memory_mb) for at, sample in there if sample.with_memory]
            judged = part not in FOREIGN
            self._judge("memory_mb", "MB", f"proportional memory of {part}", memory, case=part, judged=judged)
        descriptors = [(sample.at - began, float(sample.whole.descriptors)) for sample in sampler.samples]
        self._judge("descriptors", "descriptors", "open files and sockets of the whole stack", descriptors)

    def _tell_inside(self, watch: Watch, began: float) -> None:
        units = {
            "asyncio_tasks": ("tasks", "tasks of all event loops"),
            "broker_mb": ("MB", "what the broker keeps in memory"),
            "broker_keys": ("keys", "keys of the broker"),
            "database_rows": ("rows", "rows of all tables"),
        }
        for name, (unit, what) in units.items():
            points = watch.since(name, began, began)
            if points:
                self.result.series.append(
                    Series(f"{what[0].upper()}{what[1:]} over time", name, "s", unit, tuple(points))
                )
            self._judge(name, unit, what, points, watch.failed.get(name, ""))
        depth = watch.since("queue_depth", began, began)
        if depth:
            self.result.series.append(
                Series("Queue depth over time", "tasks that wait", "s", "tasks", tuple(depth))
            )

    def _tell_seen(self, began: float) -> None:
        """Lips and voice, fluency, response and failures, as the customers saw them."""
        drift = [(at - began, card.offsets_ms[0]) for at, _, card in self.looks if card.offsets_ms]
        freezes = [(at - began, float(sum(seen.freezes))) for at, seen, _ in self.looks]
        heard = [(turn.at - began, turn.ttfa_ms) for _, seen, _ in self.looks for turn in seen.turns]
        for plot, name, unit, points in (
            ("Lips and voice over time", "voice behind lips", "ms", drift),
            ("Freezes over time", "all sessions", "freezes", freezes),
            ("First sound over time", "each turn", "ms", sorted(heard)),
        ):
            if points:
                rounded = tuple((round(at, 1), round(value, 1)) for at, value in points)
                self.result.series.append(Series(plot, name, "s", unit, rounded))
        self._add(
            "av_drift_ms", "ms", (v for _, v in drift), "voice behind the lips of a test card", better=""
        )
        self._add(
            "ttfa_ms", "ms", (v for _, v in heard), "from a written question to its first audible packet"
        )
        minutes = self.wishes.minutes * self.wishes.sessions
        rate = sum(value for _, value in freezes) / minutes
        self._add("freezes_a_minute", "1", [rate], "pauses of more than 190 ms that one customer saw")
        failures = [f for _, seen, card in self.looks for f in (*seen.failures, *card.failures)]
        # Whoever is served again at the end was not served meanwhile.
        away = self.wishes.sessions - min((seen.watching for _, seen, _ in self.looks), default=0)
        self._add(
            "failures", "1", [len(failures) + away], "joins and turns that failed, calls that were lost"
        )
        bounds = self.wishes.bounds
        worst = max((abs(value) for _, value in drift), default=None)
        told = "it could not be read" if worst is None else f"at most {worst:.0f} ms"
        if worst is not None and not self._read_throughout():
            # Lips that are apart by more than can be found look like a card that cannot be read.
            worst, told = (
                None,
                f"{told}, but it could be read at {len(drift)} of {len(self.looks)} looks only",
            )
        self._check("lips and voice stay together", bounds.drift_ms, worst, told)
        self._check("pictures keep coming", bounds.freezes_a_minute, rate, f"{rate:.3g} freezes a minute")
        first = f", first: {failures[0].what}" if failures else ""
        told = f"{len(failures)} failures, {away} calls lost{first}"
        self._check("nobody had to complain", bounds.failures, len(failures) + away, told)

    def _read_throughout(self) -> bool:
        """Whether the test card could be read at a third of the looks or more, in both halves of the time."""
        read = [bool(card.offsets_ms) for _, _, card in self.looks]
        middle = (len(read) + 1) // 2
        return all(3 * sum(half) >= len(half) for half in (read[:middle], read[middle:]))

    def _tell_clips(self, made: int, failed: int) -> None:
        if self.wishes.clips:
            self._add("clips_made", "1", [made], "clips that were made beside the sessions", better="more")
            told = f"{made} made, {failed} failed"
            self._check("clips beside succeed", self.wishes.bounds.clip_failures, failed, told)

    def _judge(
        self,
        name: str,
        unit: str,
        what: str,
        points: list[tuple[float, float]],
        why: str = "",
        *,
        case: str = "",
        judged: bool = True,
    ) -> None:
        """Tell a figure over time, and whether it grows by more than it may."""
        values = (value for _, value in points)
        boundary = f"{what}, every few seconds"
        # Rows are what was done; a slope has its bound, and around 0 nothing is so many times worse.
        better: Better = "" if name == "database_rows" else "less"
        self._add(name, unit, values, boundary, source="machine", case=case, missing=why, better=better)
        found = growth(points)
        bound = getattr(self.wishes.bounds, f"{name}_per_hour", None) if judged else None
        if found is None or 60 * self.wishes.minutes < JUDGED_SECONDS:
            if points and bound is not None:
                self.result.notes.append(f"{what}: too short a time to tell whether it grows")
            elif bound is not None and self.target.stack is not None:  # of our own stack all can be read
                self.result.check(f"{what}: no growth", False, why or "it could not be read")
            return
        grew = f"by how much {what} grew in an hour"
        rate = [found.per_hour]
        self._add(f"{name}_per_hour", f"{unit}/h", rate, grew, source="machine", case=case, better="")
        if bound is not None:
            told = f"{found.per_hour:+.3g} {unit} an hour (noise {found.noise:.3g}); the bound is {bound:g}"
            self.result.check(f"{what}: no growth", found.within(bound), told)

    def _check(self, name: str, bound: float | None, got: float | None, told: str) -> None:
        if bound is not None:
            self.result.check(name, got is not None and got <= bound, f"{told}; the bound is {bound:g}")

    def _add(
        self,
        name: str,
        unit: str,
        values: Iterable[float],
        what: str,
        *,
        source: Source = "receiver",
        better: Better = "less",
        case: str = "",
        missing: str = "",
    ) -> None:
        self.result.add(
            name,
            unit,
            values,
            state="steady",
            boundary=what,
            source=source,
            model=self.subject.model,
            better=better,
            case=case,
            missing=missing or "it could not be read",
        )
