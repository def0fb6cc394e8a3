"""Adds sessions that talk, step by step, with clips beside them, until a target is missed.

Customers run in processes of their own: what they use is told apart.
"""

import asyncio
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from project.bench import config as configs
from project.bench import target as targets
from project.bench import writers
from project.bench.avatars import avatar_of, quiet_persona
from project.bench.clips_beside import ClipsBeside
from project.bench.config import Common, SubjectWishes
from project.bench.customers import Service
from project.bench.fleet import Fleet
from project.bench.inside import Inside, Reading
from project.bench.live_figures import Figures, stub_words
from project.bench.live_runs import Talk, floor_ms, joins
from project.bench.load_figures import Step, Targets, tell
from project.bench.provider_stub import REPLY
from project.bench.resources import Sampler
from project.bench.results import Result
from project.bench.subjects import described, model_of
from project.bench.talking import Habits
from project.bench.target import Target
from project.bench.watch import Watch

CLIP_SCRIPT = REPLY
REST_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class LoadWishes:
    """`steps` are numbers of sessions, growing; `speaking` the share of the time that the avatar speaks.

    `least_sessions` fails the run when fewer reach every target.
    """

    steps: tuple[int, ...] = (1, 4, 8, 12, 16)
    seconds: float = 60.0
    settle_seconds: float = 8.0
    speaking: float = 0.4
    clips: int = 1
    client_processes: int = 1
    seed: int = 1
    go_on_after_miss: bool = False
    least_sessions: int = 0
    question: str = "When is your shop open?"
    reply: str = REPLY
    targets: Targets = field(default_factory=Targets)

    def __post_init__(self) -> None:
        if not self.steps or list(self.steps) != sorted(set(self.steps)) or self.steps[0] < 1:
            raise ValueError("steps: numbers of sessions that grow are needed")
        if self.least_sessions > self.steps[-1]:
            raise ValueError("least_sessions: no step has so many")
        if self.seconds < 5 or self.client_processes < 1 or self.clips < 0:
            raise ValueError("a step takes 5 seconds or more, customers need a process")


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--sessions", type=int, help="this number of sessions, in place of the steps")
    parser.add_argument("--seconds", type=float, help="how long each step takes")


def run(options: Namespace) -> int:
    chosen = configs.read(options.config)
    wishes = chosen.section("load", LoadWishes)
    if options.sessions:
        least = min(wishes.least_sessions, options.sessions)
        wishes = replace(wishes, steps=(options.sessions,), least_sessions=least)
    if options.seconds:
        wishes = replace(wishes, seconds=options.seconds)
    result = Result.begin(
        chosen.common.name, command="load", config=chosen.told("load", attached=options.attach is not None)
    )
    result.notes += chosen.common.notes
    if chosen.common.stub is not None and options.attach is None:
        result.notes.append(stub_words(chosen.common.stub))
    with writers.kept(result, options.out), targets.opened(options, chosen) as target:
        for subject in chosen.common.subjects:
            Ramp(target, subject, chosen.common, wishes).run(result)
    return 0 if result.passed else 1


@dataclass
class Ramp:
    """One model on one service, with more and more sessions."""

    target: Target
    subject: SubjectWishes
    common: Common
    wishes: LoadWishes

    def run(self, result: Result) -> None:
        """Climb until a target is missed, and write down every step."""
        with self.target.client as http, quiet_persona(http) as persona:
            avatar = avatar_of(http, self.subject)
            result.subjects.append(described(http, self.subject, avatar, asked="text"))
            about = {"persona": persona, "voice": self.subject.voice, "model": self.subject.model}
            service = Service(self.target.base_url, self.target.api_key, avatar, about)
            places = int(model_of(http, self.subject.model).get("slots", {}).get("total", 0))
            steps: list[Step] = []
            try:
                self._climb(service, steps)
            except Exception:
                if steps:
                    tell(result, steps, self.wishes.targets, self.subject.model)
                raise
        if told := crowded([step.sessions for step in steps], self.wishes.speaking, places):
            result.notes.append(f"{self.subject.model}: {told}")
        reached = tell(result, steps, self.wishes.targets, self.subject.model)
        if self.wishes.least_sessions:
            result.check(
                f"{self.subject.model}: at least {self.wishes.least_sessions} sessions reach every target",
                reached >= self.wishes.least_sessions,
                f"{reached} did",
            )

    def _climb(self, service: Service, steps: list[Step]) -> None:
        """Measure one number of sessions after the other, and add what was seen to `steps`."""
        if self.target.stub is not None:
            self.target.stub.control(reply=self.wishes.reply)
        floor = self._floor(service)
        habits = Habits(self.wishes.question, self.wishes.speaking, self.wishes.seed)
        body = {"avatar": service.avatar, "script": CLIP_SCRIPT, "voice": self.subject.voice}
        with (
            Inside(self.target) as inside,
            Watch(only(inside.readings(), "queue_depth"), every=1.0) as watch,
            ClipsBeside(self.target, body, self.wishes.clips) as clips,
            Fleet(service, habits, self.wishes.client_processes) as fleet,
        ):
            scene = Scene(fleet, clips, watch, self._at_rest(), floor, time.monotonic())
            for sessions in self.wishes.steps:
                growing = time.monotonic()
                fleet.grow(sessions)
                grown = time.monotonic()
                time.sleep(self.wishes.settle_seconds)
                steps.append(scene.step(self.target, self.wishes.seconds, growing, grown))
                missed = steps[-1].missed(self.wishes.targets)
                self._say(f"{steps[-1].case}: {'; '.join(missed) or 'all targets reached'}")
                fleet.forget(growing)  # the next step asks for what comes; the rest would only fill memory
                if missed and not self.wishes.go_on_after_miss:
                    break

    def _floor(self, service: Service) -> float | None:
        """Have one conversation, which loads what others find loaded; what the stub takes in it, in ms."""
        stub, delays = self.target.stub, self.common.stub
        if stub is not None:
            stub.forget()
        talk = Talk(service, self.wishes.question)
        asyncio.run(joins(talk, Figures(), 1, "warm"))
        if stub is None or delays is None:
            return None
        return floor_ms(delays, stub.spoken()[0])

    def _at_rest(self) -> "Rest":
        """What is used without sessions: for nothing, or for the clips beside."""
        time.sleep(self.wishes.settle_seconds)
        with Sampler(self.target.pids, every=1.0) as sampler:
            time.sleep(min(self.wishes.seconds, REST_SECONDS))
        return Rest(sampler.cpu_percent(), _last(sampler.memory_mb()))

    def _say(self, what: str) -> None:
        print(f"-- {self.subject.model}: {what}", flush=True)


@dataclass(frozen=True)
class Rest:
    """What the parts use without any session: percent of one core, and MB."""

    cpu_percent: Mapping[str, float]
    memory_mb: Mapping[str, float]


@dataclass(frozen=True)
class Scene:
    """Everything that goes on during a ramp. `began` is its zero, in monotonic seconds."""

    fleet: Fleet
    clips: ClipsBeside
    watch: Watch
    rest: Rest
    floor_ms: float | None
    began: float

    def step(self, target: Target, seconds: float, growing: float, grown: float) -> Step:
        """Let the sessions that are there talk for so long, and say what it took.

        The last of them came from `growing` to `grown`; what was asked before is of another number.
        """
        clips, failed = self.clips.counts()
        since = time.monotonic()
        before = self.fleet.report(since, since)
        with Sampler(target.pids, every=2.0) as sampler:
            time.sleep(seconds)
        until = time.monotonic()
        seen = self.fleet.report(since, until)
        seen = replace(seen, turns=tuple(turn for turn in seen.turns if turn.at >= grown))
        more_clips, more_failed = self.clips.counts()
        return Step(
            sessions=len(self.fleet),
            seconds=until - since,
            seen=seen,
            cpu_percent=sampler.cpu_percent(),
            rest_percent=self.rest.cpu_percent,
            memory_mb=_last(sampler.memory_mb()),
            rest_mb=self.rest.memory_mb,
            client_percent=100 * (seen.cpu_seconds - before.cpu_seconds) / (time.monotonic() - since),
            queue_depth=self.watch.since("queue_depth", since, self.began),
            floor_ms=self.floor_ms,
            grown_at=growing,
            clips=more_clips - clips,
            clip_failures=more_failed - failed,
        )


def crowded(sessions: Sequence[int], speaking: float, places: int) -> str:
    """Whether so many sessions are at times more than the live workers draw for; "" where they are not.

    Of `n` that speak for a share of the time, so many more than the mean speak in one moment of forty.
    """
    for n in sessions:
        at_once = n * speaking + 2 * (n * speaking * (1 - speaking)) ** 0.5
        if 0 < places < min(n, at_once):
            return (
                f"of {n} sessions more speak at times than the {places} that the live workers draw for at "
                "once. What is found from there on is the number of places, not what the machine can: give "
                "the stack more live_workers."
            )
    return ""


def only(readings: Mapping[str, Reading], *names: str) -> dict[str, Reading]:
    return {name: readings[name] for name in names if name in readings}


def _last(memory: Mapping[str, list[float]]) -> dict[str, float]:
    return {part: values[-1] for part, values in memory.items() if values}
