"""Measures clips: how fast they are made, cold, warm and many at once, and where the time goes."""

import time
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass, replace

import httpx

from project.bench import config, writers
from project.bench import gpu as gpus
from project.bench import target as targets
from project.bench.avatars import avatar_of
from project.bench.clip_figures import Figures
from project.bench.clip_runs import Made, Maker
from project.bench.config import SubjectWishes
from project.bench.gpu import GpuWatch
from project.bench.resources import Sampler
from project.bench.results import Result
from project.bench.subjects import described
from project.bench.target import Target

IDLE_SECONDS = 3.0
ATTACHED = "the service was already running"
NO_GPU = "this machine has no GPU"
SCRIPT = (
    "Welcome to this short tour. Everything that you see and hear was made by a computer, and nobody "
    "stood in front of a camera. While the next sentence is being spoken, the pictures of the one before "
    "it are already drawn. You can watch the beginning while the end is still being made. Thank you."
)


@dataclass(frozen=True, slots=True)
class ClipWishes:
    """How often. `cold`: starts of the stack, where it is our own; `at_once`: clips posted together."""

    cold: int = 1
    warm: int = 5
    at_once: tuple[int, ...] = (4,)
    script: str = SCRIPT

    def __post_init__(self) -> None:
        if min(self.cold, self.warm, *self.at_once) < 0 or not self.script:
            raise ValueError("counts cannot be less than 0, and a script is needed")


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--warm", type=int, help="clips one after the other, instead of the file's number")


def run(options: Namespace) -> int:
    chosen = config.read(options.config)
    wishes = chosen.section("clip", ClipWishes)
    if options.warm is not None:
        wishes = replace(wishes, warm=options.warm)
    result = Result.begin(
        chosen.common.name, command="clip", config=chosen.told("clip", attached=options.attach is not None)
    )
    result.notes += chosen.common.notes
    # Before the stack is started: what the GPU has now is not ours.
    watch = gpus.watch() if options.attach is None else None
    with writers.kept(result, options.out), targets.opened(options, chosen) as target:
        for subject in chosen.common.subjects:
            Measurement(target, subject, wishes, Figures(result, subject.model), watch).run()
    return 0


@dataclass
class Measurement:
    """One model on one service."""

    target: Target
    subject: SubjectWishes
    wishes: ClipWishes
    figures: Figures
    watch: GpuWatch | None

    def run(self) -> None:
        with self.target.client as http:
            avatar = avatar_of(http, self.subject)
            asked = f"script of {len(self.wishes.script)} characters"
            subject = described(http, self.subject, avatar, asked=asked)
        self.figures.result.subjects.append(subject)
        self._cold(avatar, subject.fps)
        with self.target.client as http:
            self._warm(self._maker(http, avatar, subject.fps))

    def _maker(self, http: httpx.Client, avatar: str, fps: float) -> Maker:
        wishes = {"avatar": avatar, "model": self.subject.model, "voice": self.subject.voice}
        return Maker(http, {**wishes, "script": self.wishes.script}, fps)

    def _cold(self, avatar: str, fps: float) -> None:
        """Start the stack again, and have its first clip."""
        names = ("startup_ms", "warmup_ms")
        if self.target.stack is None:
            self.figures.lack(names, "cold", ATTACHED)
            return
        starts: list[float] = []
        clips: list[Made] = []
        for _ in range(self.wishes.cold):
            self._say("a cold start")
            self.target.stack.stop()
            began = time.monotonic()
            self.target.stack.start()
            starts.append(1000 * (time.monotonic() - began))
            self.target.base_url = self.target.stack.base_url
            with self.target.client as http:
                clips.append(self._maker(http, avatar, fps).one())
        self.figures.add("startup_ms", starts, "cold")
        self.figures.add("warmup_ms", [clip.timings["first_fragment_ms"] for clip in clips], "cold")
        self.figures.single(clips, "cold")

    def _warm(self, maker: Maker) -> None:
        maker.one()  # loads what the others find loaded
        with Sampler(self.target.pids, gpu=self.watch) as resting:
            time.sleep(IDLE_SECONDS)
        self._say(f"{self.wishes.warm} clips, one after the other")
        self.figures.single([maker.one() for _ in range(self.wishes.warm)], "warm")
        busy: list[float] = []
        for count in self.wishes.at_once:
            self._say(f"{count} clips at once")
            with Sampler(self.target.pids, gpu=self.watch) as sampler:
                clips, watched, seconds = maker.several(count)
            self.figures.together(clips, watched, seconds)
            self.figures.used(sampler, sum(clip.seconds for clip in clips), f"{count} at once")
            busy += sampler.gpu_mb()
        why = NO_GPU if self.target.stack else ATTACHED
        self.figures.gpu(self.watch, resting.gpu_mb(), busy, why)

    def _say(self, what: str) -> None:
        print(f"-- {self.subject.model}: {what}", flush=True)
