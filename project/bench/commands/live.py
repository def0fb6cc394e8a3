"""Measures live sessions where they arrive: written, spoken and uploaded turns; cold, warm and steady.

Three receivers that share nothing: a light client that reads RTP, an aiortc peer, and Chromium on the
service's own call page.
"""

import asyncio
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from project.bench import config as configs
from project.bench import gpu as gpus
from project.bench import live_runs as runs
from project.bench import target as targets
from project.bench import writers
from project.bench.avatars import avatar_of, make_avatar, quiet_persona, upload
from project.bench.clip_figures import Figures as MachineFigures
from project.bench.config import Common, SubjectWishes
from project.bench.customers import Service
from project.bench.errors import BenchError
from project.bench.gpu import GpuWatch
from project.bench.live_figures import Figures, stub_words
from project.bench.provider_stub import REPLY
from project.bench.recorded import Recorded
from project.bench.resources import Sampler
from project.bench.results import Result, Subject
from project.bench.subjects import described
from project.bench.target import Target
from project.bench.turns import Input
from project.embedded.stack import ROOT

SHORT_REPLY = ". ".join(REPLY.split(". ")[:2]) + "."
IDLE_SECONDS = 3.0
ATTACHED = "the service was already running"
NO_GPU = "this machine has no GPU"
CARD = "mock"  # the model whose pictures a machine can read


@dataclass(frozen=True, slots=True)
class LiveWishes:
    """How often, and what is said. `cold`: starts of the stack, where it is our own."""

    cold: int = 1
    joins: int = 5
    turns: int = 5
    inputs: tuple[Input, ...] = ("text", "voice", "audio")
    interrupts: int = 5
    barge_ins: int = 3
    aiortc_joins: int = 3
    chromium_joins: int = 3
    drift_seconds: float = 15.0
    question: str = "When is your shop open?"
    recording: str = "tests/data/speech/question.ogg"
    reply: str = SHORT_REPLY

    def __post_init__(self) -> None:
        if min(self.cold, self.joins, self.turns, self.interrupts) < 0 or not self.question:
            raise ValueError("counts cannot be less than 0, and a question is needed")


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--no-chromium", action="store_true", help="measure without a browser")


def run(options: Namespace) -> int:
    chosen = configs.read(options.config)
    wishes = chosen.section("live", LiveWishes)
    if options.no_chromium:
        wishes = replace(wishes, chromium_joins=0)
    result = Result.begin(
        chosen.common.name, command="live", config=chosen.told("live", attached=options.attach is not None)
    )
    result.notes += chosen.common.notes
    if chosen.common.stub is not None and options.attach is None:
        result.notes.append(stub_words(chosen.common.stub))
    # Before the stack is started: what the GPU has now is not ours.
    watch = gpus.watch() if options.attach is None else None
    with writers.kept(result, options.out), targets.opened(options, chosen) as target:
        for subject in chosen.common.subjects:
            Measurement(target, subject, chosen.common, wishes, watch).run(result)
    return 0 if result.passed else 1


@dataclass
class Measurement:
    """One model on one service."""

    target: Target
    subject: SubjectWishes
    common: Common
    wishes: LiveWishes
    watch: GpuWatch | None = None
    figures: Figures = field(init=False)
    avatar: str = field(init=False)

    def __post_init__(self) -> None:
        self.figures = Figures(self.subject.model)
        with self.target.client as http:
            self.avatar = avatar_of(http, self.subject)

    def run(self, result: Result) -> None:
        """Measure everything that is wished for, and write it down."""
        try:
            if self.target.stack is None:
                self.figures.lack("startup_ms", "cold", ATTACHED)
            else:
                for _ in range(self.wishes.cold):
                    self._cold()
            with self._talk() as talk:
                resting, busy = self._warm(talk)
                self._others(talk)
        finally:
            self.figures.into(result)
        why = NO_GPU if self.target.stack else ATTACHED
        MachineFigures(result, self.subject.model).gpu(self.watch, resting, busy, why)
        judge(result, self.subject.model)
        result.subjects.append(self._about())

    def _cold(self) -> None:
        """Start the stack again, and have its first conversation."""
        self._say("a cold start")
        assert self.target.stack is not None
        self.target.stack.stop()
        began = time.monotonic()
        self.target.stack.start()
        self.figures.add("startup_ms", "cold", 1000 * (time.monotonic() - began))
        self.target.base_url = self.target.stack.base_url
        with self._talk() as talk:
            asyncio.run(runs.joins(talk, self.figures, 1, "cold"))

    def _warm(self, talk: runs.Talk) -> tuple[list[float], list[float]]:
        """Warm sessions and a steady one; returns the GPU's memory at rest and while somebody speaks."""
        wishes, figures = self.wishes, self.figures
        asyncio.run(runs.joins(talk, Figures(), 1, "warm"))  # loads what the others find loaded
        self._say(f"{wishes.joins} warm sessions")
        asyncio.run(runs.joins(talk, figures, wishes.joins, "warm"))
        with Sampler(self.target.pids, gpu=self.watch) as resting:
            time.sleep(IDLE_SECONDS)
        self._say(f"{wishes.turns} turns each of {', '.join(wishes.inputs)}")
        with Sampler(self.target.pids, gpu=self.watch) as busy:
            asyncio.run(runs.steady(talk, figures, wishes.inputs, wishes.turns))
        self._say(f"{wishes.interrupts} interruptions, {wishes.barge_ins} by voice")
        self._reply(" ".join([REPLY] * 2))
        asyncio.run(runs.interruptions(talk, figures, wishes.interrupts))
        asyncio.run(runs.barge_ins(talk, figures, wishes.barge_ins))
        self._reply(wishes.reply)
        return resting.gpu_mb(), busy.gpu_mb()

    def _others(self, talk: runs.Talk) -> None:
        """Receivers of others, and lips that a machine can read."""
        wishes, figures = self.wishes, self.figures
        self._say("other receivers")
        asyncio.run(runs.aiortc_joins(talk, figures, wishes.aiortc_joins))
        asyncio.run(runs.chromium_joins(talk, figures, wishes.chromium_joins))
        if not wishes.drift_seconds:
            return
        self._say("lips and voice of a test card")
        try:
            with self.target.client as http:
                card = make_avatar(http, ROOT / self.subject.picture, model=CARD, name="Test card")
        except (BenchError, OSError) as error:
            figures.lack("av_drift_ms", "steady", f"no test card: {error}")
            return
        self._reply(REPLY)
        service = replace(talk.service, avatar=card, wishes={**talk.service.wishes, "model": CARD})
        asyncio.run(runs.drift(service, figures, wishes.question, wishes.drift_seconds))
        self._reply(wishes.reply)

    @contextmanager
    def _talk(self) -> Iterator[runs.Talk]:
        self._reply(self.wishes.reply)
        recording = _recording(self.wishes)
        with self.target.client as http, quiet_persona(http) as persona:
            wishes = {"persona": persona, "voice": self.subject.voice, "model": self.subject.model}
            yield runs.Talk(
                Service(self.target.base_url, self.target.api_key, self.avatar, wishes),
                self.wishes.question,
                recording,
                upload(http, recording.wav) if "audio" in self.wishes.inputs else "",
                self.target.stub,
                self.common.stub,
            )

    def _reply(self, text: str) -> None:
        if self.target.stub is not None:
            self.target.stub.control(reply=text)

    def _about(self) -> Subject:
        with self.target.client as http:
            return described(http, self.subject, self.avatar, asked="+".join(self.wishes.inputs))

    def _say(self, what: str) -> None:
        print(f"-- {self.subject.model}: {what}", flush=True)


def judge(result: Result, model: str) -> None:
    """What must be so whatever the machine: an answer that was stopped is not heard again."""
    late = result.find("late_packets", model=model)
    if late is not None and late.values:
        broken = sum(value > 0 for value in late.values)
        told = f"{broken} of {late.n} answers were, by up to {late.maximum:.0f} packets"
        result.check(f"{model}: no stopped answer is heard behind its silence", not broken, told)


def _recording(wishes: LiveWishes) -> Recorded:
    path = ROOT / wishes.recording
    return Recorded.read(path) if path.is_file() else Recorded.babbled(wishes.question)
