"""Faults: runs a batch and live sessions while parts of a stack die by plan, then checks what must hold."""

import shutil
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from project.bench import calibration, config, target, writers
from project.bench.avatars import make_avatar
from project.bench.errors import BenchError
from project.bench.faults import report
from project.bench.faults.plan import Plan
from project.bench.faults.runner import Run
from project.bench.results import Result, Subject
from project.bench.target import Target
from project.embedded.stack import ROOT

SHORT = "faults-short"
READY_SECONDS = 240.0
# Callbacks go to this machine, which is refused unless a network is allowed.
ENVIRONMENT = {"EGRESS_ALLOWED_NETWORKS": "127.0.0.1/32"}


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, help="draw other clips and failures than the file's seed does")
    parser.add_argument("--clips", type=int, help="how many clips, instead of the file's number")
    parser.add_argument("--failures", type=int, help="how many failures, instead of the file's number")


def run(options: Namespace) -> int:
    if options.attach is not None:
        raise BenchError(
            "faults breaks what it looks at: it starts a stack of its own, and takes no --attach"
        )
    chosen = config.read(options.config)
    if not chosen.has("faults"):
        chosen = config.read(config.path(SHORT))
    plan = _changed(chosen.section("faults", Plan), options)
    result = Result.begin(chosen.common.name, command="faults", config=chosen.told("faults"))
    result.config["drawn"] = {
        "seed": plan.seed,
        "clips": plan.clips.count,
        "failures": plan.failures.count,
    }
    before = calibration.take()
    perform(result, plan, chosen, writers.folder_of(result, options.out))
    result.calibration = calibration.joined(before, calibration.take())
    writers.write(result, options.out)
    for check in result.checks:
        print(f"{'ok  ' if check.passed else 'FAIL'} {check.name}: {check.evidence}", flush=True)
    return 0 if result.passed else 1


def perform(result: Result, plan: Plan, chosen: config.Config, folder: Path | None = None) -> None:
    """Carry a plan out on a new stack, and put what was seen into `result`.

    The logs of a run that fails stay in `folder`; those of others are gone with their stack.
    """
    started = target.started(chosen.common, environment=environment(plan))
    with started as service, _evidence(result, service, folder):
        avatar = _avatar(service, chosen.common.subjects[0].avatar)
        result.subjects.append(_subject(avatar, plan))
        wanted = plan.sessions.cards or plan.clips.cards
        drawn = Run(plan, service, avatar["id"], _card(service, chosen) if wanted else "")
        seen = drawn.play()
        assert service.stack is not None
        service.stack.stop()
        seen.left_running = [str(pid) for pid in service.stack.everything()]
        report.fill(result, drawn, seen)


@contextmanager
def _evidence(result: Result, service: Target, folder: Path | None) -> Iterator[None]:
    """Keep what the parts logged where the run breaks off or a check fails."""
    passed = False
    try:
        yield
        passed = result.passed
    finally:
        if folder is not None:
            shutil.rmtree(folder / "logs", ignore_errors=True)  # another run's
        if folder is not None and service.home is not None and not passed:
            folder.mkdir(parents=True, exist_ok=True)
            with suppress(OSError):  # one that is written anew just now; the others are copied
                shutil.copytree(service.home / "logs", folder / "logs")
            with suppress(OSError):
                shutil.copy(service.home / "supervisor.out", folder / "logs")
            print(f"The logs of the stack are kept: {folder / 'logs'}", flush=True)


def environment(plan: Plan) -> Mapping[str, str]:
    """What the stack is told beside what every measurement tells it."""
    local = {"SPEECH_URL": "", "SPEECH_API_KEY": ""} if plan.speech == "sidecar" else {}
    return ENVIRONMENT | local


def _changed(plan: Plan, options: Namespace) -> Plan:
    if options.clips is not None:
        plan = replace(plan, clips=replace(plan.clips, count=options.clips))
    if options.failures is not None:
        plan = replace(plan, failures=replace(plan.failures, count=options.failures))
    return plan if options.seed is None else replace(plan, seed=options.seed)


def _avatar(service: Target, wanted: str) -> dict[str, str]:
    """The avatar of this name, once it is ready. Raises `BenchError`."""
    until = time.monotonic() + READY_SECONDS
    with service.client as http:
        while time.monotonic() < until:
            avatars = http.get("/api/v1/avatars").raise_for_status().json()["results"]
            for avatar in avatars:
                if avatar["slug"] == wanted and avatar["status"] == "ready":
                    return dict(avatar)
            time.sleep(0.5)
    raise BenchError(f"The avatar {wanted!r} did not become ready")


def _card(service: Target, chosen: config.Config) -> str:
    """An avatar that is a test card, so that pictures can be told from each other."""
    picture = ROOT / chosen.common.subjects[0].picture
    with service.client as http:
        return make_avatar(http, picture, name="Card", model="mock")


def _subject(avatar: Mapping[str, object], plan: Plan) -> Subject:
    return Subject(
        model="viseme",
        avatar=str(avatar["slug"]),
        voice=", ".join(plan.clips.voices),
        resolution=f"{avatar['width']}x{avatar['height']}",
        input="clips and conversations while parts die",
    )
