"""What a number of sessions cost and what their customers saw, and whether that is good enough."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from project.bench.fleet import Seen
from project.bench.results import Better, Result, Series, Source, Table

LATE_MS = 100.0
FULL = 0.85  # of the cores: from here on clips beside give way to sessions


@dataclass(frozen=True, slots=True)
class Targets:
    """What has to hold for a number of sessions; None is not asked for.

    `response_above_stub_ms` is a 95th percentile, `freezes_a_minute` of one customer in the mean, `fps` the
    least of all customers, `failures` the number of joins, turns and calls that failed.
    """

    response_above_stub_ms: float | None = 400.0
    freezes_a_minute: float | None = 0.5
    fps: float | None = 24.0
    failures: int | None = 0
    clip_failures: int | None = 0


@dataclass(frozen=True)
class Step:
    """One number of sessions over some seconds. CPU in percent of one core; `rest_percent` without any.

    The last of them were let in from `grown_at` on, in monotonic seconds.
    """

    sessions: int
    seconds: float
    seen: Seen
    cpu_percent: Mapping[str, float]
    rest_percent: Mapping[str, float]
    memory_mb: Mapping[str, float]
    rest_mb: Mapping[str, float]
    client_percent: float
    queue_depth: Sequence[tuple[float, float]]
    floor_ms: float | None
    grown_at: float = 0.0
    clips: int = 0
    clip_failures: int = 0

    @property
    def case(self) -> str:
        return f"{self.sessions} sessions" if self.sessions != 1 else "1 session"

    def cpu_each(self, part: str = "") -> float:
        """Percent of a core for each session above rest, of one kind of part or of all."""
        parts = [part] if part else list(self.cpu_percent)
        more = sum(self.cpu_percent.get(p, 0.0) - self.rest_percent.get(p, 0.0) for p in parts)
        return more / self.sessions

    def memory_each(self) -> float:
        more = sum(self.memory_mb.values()) - sum(self.rest_mb.values())
        return more / self.sessions

    def above_stub(self) -> list[float]:
        """First sounds, in ms less what the stub itself takes; as they were where there is none."""
        return [turn.ttfa_ms - (self.floor_ms or 0.0) for turn in self.seen.turns]

    def _waited(self) -> list[float]:
        """The same, with those who wait at the end for longer than anybody who got an answer.

        Without them a service that answers nobody any more would be judged by those it answered before.
        """
        above = self.above_stub()
        still = (waited - (self.floor_ms or 0.0) for waited in self.seen.unheard_ms)
        return sorted([*above, *(waited for waited in still if waited > max(above, default=0.0))])

    def achieved(self) -> dict[str, float | None]:
        """What there was, by the names of `Targets`; None where nothing could be measured."""
        above, seen = self._waited(), self.seen
        return {
            "response_above_stub_ms": above[math.ceil(0.95 * len(above)) - 1] if above else None,
            "freezes_a_minute": (
                sum(seen.freezes) / len(seen.freezes) * 60 / self.seconds if seen.freezes else None
            ),
            "fps": min(seen.fps, default=None) if seen.watching == self.sessions else 0.0,
            "failures": float(len(seen.failures) + self.sessions - seen.watching),
            "clip_failures": float(self.clip_failures),
        }

    def missed(self, targets: Targets) -> list[str]:
        """In words, every target that was not reached; what could not be measured was not."""
        words, achieved = [], self.achieved()
        for field in fields(targets):
            wanted, got = getattr(targets, field.name), achieved[field.name]
            if wanted is None or (field.name == "freezes_a_minute" and sum(self.seen.freezes) == 1):
                continue  # a single pause is no rate: in a step of one session and minute it would be 1
            if got is None:
                words.append(f"{field.name}: nothing was measured")
            elif got < wanted if field.name == "fps" else got > wanted:
                words.append(f"{field.name} {got:.4g} (target {wanted:g})")
        return words


def tell(result: Result, steps: Sequence[Step], targets: Targets, model: str) -> int:
    """Write all steps into a result; returns the most sessions that reached every target in turn."""
    for step in steps:
        _tell_one(result, step, model)
    reached = 0
    if told := _crowded_out(steps, result.hardware.cores):
        result.notes.append(f"{model}: {told}")
    rows: list[tuple[str, ...]] = []
    whole = True
    for step in steps:
        missed = step.missed(targets)
        whole = whole and not missed
        reached = step.sessions if whole else reached
        rows.append((str(step.sessions), "; ".join(missed) or "all reached"))
    result.tables.append(
        Table(f"Targets by number of sessions: {model}", ("Sessions", "Missed"), tuple(rows))
    )
    result.add(
        "sessions_within_targets",
        "1",
        [reached],
        state="steady",
        boundary="the most sessions of the ramp up to which every target was reached",
        source="receiver",
        model=model,
        better="more",
    )
    result.series += _curves(steps, model)
    return reached


def _crowded_out(steps: Sequence[Step], cores: int) -> str:
    """Where sessions look cheaper than they are, since the clips beside got less of full cores."""
    if not any(step.clips for step in steps):
        return ""
    for step in steps:
        used = sum(step.cpu_percent.values())
        if used and used + step.client_percent > 100 * FULL * cores:
            return (
                f"from {step.case} on the cores were full, and the clips beside gave way: "
                "cpu_percent_session, the difference to the clips alone, is then less than what a session "
                "takes. A ramp with clips: 0 tells that, or bench scaling."
            )
    return ""


def _tell_one(result: Result, step: Step, model: str) -> None:
    seen = step.seen

    def add(
        name: str,
        unit: str,
        values: Sequence[float],
        boundary: str,
        *,
        source: Source = "receiver",
        better: Better = "less",
    ) -> None:
        result.add(
            name,
            unit,
            values,
            state="steady",
            boundary=boundary,
            source=source,
            better=better,
            model=model,
            case=step.case,
            missing=f"no customer could tell ({len(seen.failures)} failures)",
        )

    came = [one for one in seen.joined if one.at >= step.grown_at]
    add(
        "session_create_ms",
        "ms",
        [one.created_ms for one in came],
        "from sending POST sessions until its answer is read, while the others talk",
    )
    add(
        "webrtc_first_frame_ms",
        "ms",
        [one.first_frame_ms for one in came],
        "from sending the offer until the first picture is there, while the others talk",
    )
    add(
        "ttfa_ms",
        "ms",
        [turn.ttfa_ms for turn in seen.turns],
        "from sending a written question until the first audible packet is there",
    )
    if step.floor_ms is not None:
        add(
            "ttfa_above_stub_ms",
            "ms",
            step.above_stub(),
            f"ttfa_ms less the {step.floor_ms:.0f} ms of the stub for the first piece of the answer",
        )
    add("playback_fps", "fps", seen.fps, "pictures that one customer received, by the time", better="more")
    add("freezes", "1", seen.freezes, "pauses of more than 190 ms between pictures that one customer saw")
    for name, unit, boundary in (
        ("render_queue_ms", "ms", "from sending a render request until a worker begins it"),
        ("queue_depth", "1", "the most chunks of a session that were under way at once"),
        ("underruns", "1", "times that an answer had to wait for its pictures"),
    ):
        told = [turn.server[name] for turn in seen.turns if name in turn.server]
        if told:
            add(name, unit, told, boundary, source="server")
    add("failures", "1", [step.achieved()["failures"] or 0.0], "joins, turns and calls that failed")
    if seen.lag_ms > LATE_MS:
        result.notes.append(
            f"{step.case}: the customers' own process was up to {seen.lag_ms:.0f} ms late; pauses of up to "
            "that length may be its own. Give it a quiet core, or more processes (client_processes)."
        )
    if step.cpu_percent:
        each = (
            "of one core for each session, above what it uses with the clips alone (which get less where the "
            "cores are full: then it is too little)"
        )
        add("cpu_percent_session", "%", [step.cpu_each()], f"the whole stack, {each}", source="machine")
        add(
            "cpu_percent_session_web", "%", [step.cpu_each("web")], f"web processes, {each}", source="machine"
        )
        add(
            "memory_mb_session",
            "MB",
            [step.memory_each()],
            "proportional memory of the whole stack for each session, above what it has with the clips alone",
            source="machine",
        )
    add(
        "client_cpu_percent",
        "%",
        [step.client_percent],
        "of one core, all customers of the run together; not in the other figures",
        source="machine",
        better="",
    )
    add("client_lag_ms", "ms", [seen.lag_ms], "how late the customers' own process was at most", better="")


def _curves(steps: Sequence[Step], model: str) -> list[Series]:
    """CPU and response over sessions, and the queues over time: lines of one model."""
    parts = sorted({part for step in steps for part in step.cpu_percent})
    lines = [
        Series(
            "CPU over sessions",
            f"{model}, {part}",
            "sessions",
            "% of a core",
            tuple((float(step.sessions), round(step.cpu_percent.get(part, 0.0), 2)) for step in steps),
            x_name="sessions",
        )
        for part in parts
        if max(step.cpu_percent.get(part, 0.0) for step in steps) >= 1
    ]
    timed = [step for step in steps if step.seen.turns]
    if timed:
        points = tuple(
            (float(step.sessions), round(statistics.median(t.ttfa_ms for t in step.seen.turns), 1))
            for step in timed
        )
        lines.append(
            Series(
                "First sound over sessions", f"{model}, median", "sessions", "ms", points, x_name="sessions"
            )
        )
        worst = tuple(
            (float(step.sessions), round(max(t.ttfa_ms for t in step.seen.turns), 1)) for step in timed
        )
        lines.append(
            Series("First sound over sessions", f"{model}, most", "sessions", "ms", worst, x_name="sessions")
        )
    depth = tuple(point for step in steps for point in step.queue_depth)
    if depth:
        lines.append(Series("Queue depth over time", f"{model}, tasks that wait", "s", "tasks", depth))
    return lines
