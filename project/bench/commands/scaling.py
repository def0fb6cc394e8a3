"""Measures what more processes bring, and what one more session costs.

Stacks are started one after the other. Clips: the same batch with each number of render workers. Sessions:
idle ones, and ones that talk for a share of their time, with each number of web processes; what one costs
must not grow with their number. The run fails where it does.
"""

import asyncio
import statistics
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from project.bench import config as configs
from project.bench import target as targets
from project.bench import writers
from project.bench.avatars import avatar_of, quiet_persona
from project.bench.config import Config, StackWishes
from project.bench.counters import Counters, Reading
from project.bench.crowds import Span, at_rest, gathered
from project.bench.customers import Service
from project.bench.errors import BenchError
from project.bench.provider_stub import REPLY
from project.bench.results import Result, Series, Subject
from project.bench.target import Target

FLAT = 0.15
SCRIPT = (
    "Every sentence of this text is spoken and drawn by itself. The next one does not wait for it. "
    "So several workers can draw one film, and a film is ready sooner than it takes to watch it. "
    "What was drawn once is never drawn again."
)
CLIP_SECONDS = 900.0
THROUGHPUT = "seconds of film of clips posted at once, by seconds from the first POST to the last success"
PER_SESSION = "CPU time of the web processes over the span, less that at rest, by sessions and seconds"


@dataclass(frozen=True, slots=True)
class ScalingWishes:
    """Counts are of sessions at once. `share` is the part of its time in which a talking one is spoken to."""

    render_workers: tuple[int, ...] = (1, 2)
    clips: int = 8
    web_processes: tuple[int, ...] = (1, 2)
    idle: tuple[int, ...] = (10, 20, 30, 45, 60)
    talking: tuple[int, ...] = (4, 8, 12)
    share: float = 0.4
    seconds: float = 20.0
    reply: str = field(default=REPLY)

    def __post_init__(self) -> None:
        if any(list(counts) != sorted(set(counts)) for counts in (self.idle, self.talking)):
            raise ValueError("idle and talking must grow")
        if not 0 < self.share <= 1 or self.seconds <= 0 or self.clips < 1:
            raise ValueError("share lies between 0 and 1; seconds and clips are more than 0")


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--part", choices=["clips", "sessions"], help="only this")


def run(options: Namespace) -> int:
    """Exit status 1 where the cost of a session or of a film grows with their number."""
    if options.attach is not None:
        raise BenchError("Scaling starts stacks of its own, with other numbers of processes each")
    chosen = configs.read(options.config)
    wishes = chosen.section("scaling", ScalingWishes)
    subject = chosen.common.subjects[0]
    result = Result.begin(
        chosen.common.name,
        command="scaling",
        subjects=[Subject(subject.model, voice=subject.voice)],
        config=chosen.told("scaling"),
    )
    with writers.kept(result, options.out):
        if options.part != "sessions":
            _clips(result, chosen, wishes)
        if options.part != "clips":
            _sessions(result, chosen, wishes)
    return 0 if result.passed else 1


@contextmanager
def _service(
    chosen: Config, stack: StackWishes, wishes: ScalingWishes
) -> Iterator[tuple[Target, Counters, Service]]:
    """A stack of these parts, its counters, and somebody to talk to."""
    common = replace(chosen.common, stack=stack)
    with targets.started(common) as target, Counters(target) as counters, target.client as http:
        if target.stub is not None:
            target.stub.control(reply=wishes.reply)
        avatar = avatar_of(http, common.subjects[0])
        with quiet_persona(http) as persona:
            service = Service(target.base_url, target.api_key, avatar, {"persona": persona})
            yield target, counters, service


# --- Clips ----------------------------------------------------------------------------------------


def _clips(result: Result, chosen: Config, wishes: ScalingWishes) -> None:
    rates: dict[int, float] = {}
    costs: dict[int, float] = {}
    for workers in wishes.render_workers:
        print(f"-- clips, render workers: {workers}", flush=True)
        stack = replace(chosen.common.stack, render_workers=workers)
        with _service(chosen, stack, wishes) as (target, counters, service), target.client as http:
            made(http, post(http, service, 1))  # everything is loaded once
            before = counters.read()
            seconds = made(http, post(http, service, wishes.clips))
            spent = before.until(counters.read())
        rates[workers] = seconds / spent.seconds
        costs[workers] = 60 * _all_cpu(spent) / seconds
        case = _counted(workers, "render worker")
        result.add(
            "clip_throughput", "s/s", [rates[workers]], state="steady", case=case, better="more",
            source="receiver", boundary=THROUGHPUT,
        )  # fmt: skip
        result.add(
            "clip_cpu_minute", "s", [costs[workers]], state="steady", case=case, source="machine",
            boundary="CPU time of all parts of the stack for a minute of film",
        )  # fmt: skip
    result.series.append(
        Series("throughput of clips", "film", "", "s/s", _points(rates), x_name="render workers")
    )
    fewest, most = min(rates), max(rates)
    if fewest != most:
        grown = costs[most] / costs[fewest] - 1
        result.check(
            "the CPU time of a film does not grow with the render workers",
            grown <= FLAT,
            f"{costs[fewest]:.2f} s a minute with {fewest}, {costs[most]:.2f} with {most}: {grown:+.0%}; "
            f"{rates[most] / rates[fewest]:.2f} times the throughput",
        )


def post(http: httpx.Client, service: Service, count: int) -> list[str]:
    """Post so many clips; returns their ids."""
    body = {"avatar": service.avatar, "script": SCRIPT}
    answers = [http.post("/api/v1/clips", json=body) for _ in range(count)]
    return [str(answer.raise_for_status().json()["id"]) for answer in answers]


def made(http: httpx.Client, clips: Sequence[str], every: float = 0.2) -> float:
    """Wait for all of them, asking so often (s); returns seconds of film.

    Raises `BenchError` when one does not succeed.
    """
    until = time.monotonic() + CLIP_SECONDS
    seconds, waiting = 0.0, list(clips)
    while waiting:
        clip: dict[str, Any] = http.get(f"/api/v1/clips/{waiting[0]}").raise_for_status().json()
        if clip["status"] == "succeeded":
            seconds += clip["result"]["duration_ms"] / 1000
            waiting.pop(0)
        elif clip["status"] not in ("queued", "running") or time.monotonic() > until:
            raise BenchError(f"A clip {clip['status']}: {clip['failure']}")
        else:
            time.sleep(every)
    return seconds


def _all_cpu(spent: Reading) -> float:
    return sum(value for name, value in spent.values.items() if name.startswith("cpu."))


# --- Sessions -------------------------------------------------------------------------------------


def _sessions(result: Result, chosen: Config, wishes: ScalingWishes) -> None:
    for processes in wishes.web_processes:
        print(f"-- sessions, web processes: {processes}", flush=True)
        stack = replace(chosen.common.stack, web_processes=processes)
        with _service(chosen, stack, wishes) as (target, counters, service):
            idle, talking, rest = asyncio.run(_crowds(target, counters, service, wishes))
        case = _counted(processes, "web process", "web processes")
        sessions_told(result, f"idle, {case}", idle, rest)
        sessions_told(result, f"talking {wishes.share:.0%}, {case}", talking, rest)


async def _crowds(
    target: Target, counters: Counters, service: Service, wishes: ScalingWishes
) -> tuple[list[Span], list[Span], Reading]:
    async with gathered(service, target, counters) as warming:
        await warming.grow(1)
        await warming.watched(1.0, talking=1.0)
    await asyncio.sleep(3)
    rest = await at_rest(counters, wishes.seconds / 2)
    idle, talking = [], []
    async with gathered(service, target, counters) as crowd:
        for count in wishes.idle:
            await crowd.grow(count)
            idle.append(await crowd.watched(wishes.seconds))
    await asyncio.sleep(3)
    async with gathered(service, target, counters) as crowd:
        for count in wishes.talking:
            await crowd.grow(count)
            talking.append(await crowd.watched(wishes.seconds, talking=wishes.share))
    return idle, talking, rest


def sessions_told(result: Result, case: str, spans: Sequence[Span], rest: Reading) -> None:
    costs = {span.sessions: cost(span, rest) for span in spans}
    for span in spans:
        of = f"{_counted(span.sessions, 'session')} {case}"
        result.add(
            "cpu_percent_session", "%", [costs[span.sessions]], state="steady", case=of,
            boundary=PER_SESSION, source="machine",
        )  # fmt: skip
        result.add(
            "playback_fps", "1/s", span.fps, state="steady", case=of, better="more", source="receiver",
            boundary="pictures that came whole, by seconds of the span, for each session",
        )  # fmt: skip
        result.add(
            "spoken_share", "1", [span.spoken], state="steady", case=of, better="", source="receiver",
            boundary="packets of speech, its pauses included, by all packets of sound in the span",
        )  # fmt: skip
        result.add(
            "freezes", "", [span.freezes], state="steady", case=of, source="receiver",
            boundary="pauses between pictures, 150 ms longer than usual, of all sessions in the span",
        )  # fmt: skip
    result.series.append(Series("CPU of a session", case, "", "%", _points(costs), x_name="sessions"))
    if len(costs) > 1:
        first = min(costs)
        dearest = max(costs, key=lambda count: costs[count])
        grown = costs[dearest] / max(costs[first], 1e-6) - 1
        result.check(
            f"a session costs no more when there are up to {max(costs)} ({case})",
            grown <= FLAT,
            f"{costs[first]:.2f}% of a core at {first}, {costs[dearest]:.2f}% at {dearest}: {grown:+.0%}; "
            f"each one more costs {slope(costs):.2f}%",
        )


def cost(span: Span, rest: Reading) -> float:
    """Percent of a core of the web processes for each session."""
    return 100 * (span.spent.rate("cpu.web") - rest.rate("cpu.web")) / span.sessions


def slope(costs: dict[int, float]) -> float:
    """What one more session costs: the line through all totals."""
    counts = list(costs)
    return statistics.linear_regression(counts, [costs[count] * count for count in counts]).slope


def _points(told: dict[int, float]) -> tuple[tuple[float, float], ...]:
    return tuple((float(x), round(y, 4)) for x, y in told.items())


def _counted(count: int, one: str, several: str = "") -> str:
    return f"{count} {one if count == 1 else several or one + 's'}"
