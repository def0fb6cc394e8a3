"""report.md: what was measured, on what, how it went, and how to read it."""

from collections.abc import Sequence

import yaml

from project.bench import sheet
from project.bench.results import Metric, Result, Subject
from project.bench.texts import shown, table

TEMPLATE = (
    *("session_create_ms", "asr_partial_latency_ms", "llm_first_token_ms", "tts_first_pcm_ms"),
    *("avatar_first_frame_ms", "webrtc_first_frame_ms", "render_fps", "steady_chunk_ms", "av_drift_ms"),
    *("queue_depth", "ttfa_ms", "ttfv_ms", "first_turn_total_ms", "rtf", "startup_ms", "warmup_ms"),
)
STATES = """\
- **cold**: a stack was started for it; its processes begin with nothing. The avatar was prepared
  before, and the operating system may still have files in memory.
- **warm**: everything is loaded, and it is the first of its kind after that.
- **steady**: it goes on without a break; only what repeats is counted."""
SOURCES = """\
- **receiver**: by the client's clock, at the end of the network, as a customer has it.
- **server**: told by the service, of its own clock; what the network adds is not in it.
- **worker**: told by the process that draws.
- **machine**: counted by the operating system or the GPU's driver."""
MOCK = (
    "**The model `mock` draws a test card.** Its figures prove that orchestration works and what it costs; "
    "they say nothing about a talking head."
)
EXTERNAL = (
    "**{} drawn by a service that is not ours** and are labelled external: they measure that service and the "
    "way to it, and are no property of Parley."
)
FEW = 20


def text(result: Result, pictures: Sequence[tuple[str, str]]) -> str:
    """The whole page; `pictures` are files in plots/ and what they show."""
    parts = [
        _head(result),
        _verdict(result),
        *(_subject(result, subject) for subject in result.subjects),
        _metrics(result),
        _pictures(pictures),
        _turns(result),
        _tables(result),
        _timeline(result),
        _reading(result),
        _conditions(result),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(result: Result) -> str:
    models = ", ".join(dict.fromkeys(f"{one.model} / {one.backend}" for one in result.subjects))
    load = (
        f"load average {shown(result.load_average)} before it began"
        if result.load_average is not None
        else ""
    )
    lines = [
        f"# {result.command}: {models or result.name}",
        f"{result.created[:16].replace('T', ' ')} UTC, {result.hardware.name}, {result.os}, "
        f"commit {result.commit}. " + (f"{load[0].upper()}{load[1:]}." if load else ""),
    ]
    if result.notes:
        lines.append("\n".join(f"- {note}" for note in result.notes))
    return "\n\n".join(line.rstrip() for line in lines)


def _verdict(result: Result) -> str:
    if not result.checks:
        return ""
    missed = sum(not check.passed for check in result.checks)
    told = f"{missed} of {len(result.checks)} were not met." if missed else "All were met."
    rows = [("yes" if check.passed else "**no**", check.name, check.evidence) for check in result.checks]
    return f"## What had to be so\n\n{told}\n\n" + table(("met", "what", "by what one sees it"), list(rows))


def _subject(result: Result, subject: Subject) -> str:
    """The template in which such results are exchanged, filled in."""
    hardware = result.hardware
    facts = {
        "Parley commit": result.commit,
        "backend": f"{subject.backend} ({subject.label})",
        "hardware": "; ".join(
            part
            for part in (
                ", ".join(gpu.name for gpu in hardware.gpus),
                f"{hardware.cpu}, {hardware.cores} cores, {hardware.memory_mb} MB",
            )
            if part
        ),
        "driver": hardware.driver,
        "model and weights": f"{subject.model} {subject.weights}".strip(),
        "technique": subject.technique,
        "avatar": f"{subject.avatar} {subject.resolution}, {shown(subject.fps)} fps".strip(),
        "chunk": f"{shown(subject.chunk_ms)} ms" if subject.chunk_ms else "",
        "voice": subject.voice,
        "input": subject.input,
    }
    lines = [f"- {name}: {told}" for name, told in facts.items() if told]
    for name in TEMPLATE:
        found = [one for one in result.metrics if one.name == name and one.model in ("", subject.model)]
        if found:
            lines.append(f"- `{name}`: " + "; ".join(_brief(metric) for metric in found))
    title = f"## {subject.model} / {subject.backend} / {hardware.name} / {result.created[:10]}"
    return title + "\n\n" + "\n".join(lines) + _says(result, subject)


def _brief(metric: Metric) -> str:
    where = ", ".join(part for part in (metric.state, metric.case) if part)
    if not metric.values:
        return f"not measured ({where}): {metric.missing}"
    return f"{shown(metric.median)}{_unit(metric)} ({where}, n = {metric.n})"


def _unit(metric: Metric) -> str:
    return "" if metric.unit == "1" else f" {metric.unit}"


def _says(result: Result, subject: Subject) -> str:
    """What the figures mean for whoever wants to use this model here."""
    said = []
    for state in ("steady", "warm"):
        fps = result.find("render_fps", state=state, model=subject.model)
        if fps is not None and fps.values:
            times = fps.median / subject.fps
            enough = (
                "it keeps up with a conversation" if times >= 1 else "it cannot keep up with a conversation"
            )
            said.append(
                f"{state}: one worker draws {shown(times)} times the {shown(subject.fps)} frames a second "
                f"that are shown, {enough}"
            )
            break
    rtf = result.find("rtf", state="warm", model=subject.model)
    if rtf is not None and rtf.values:
        told = "sooner than it is watched" if rtf.median < 1 else "not sooner than it is watched"
        said.append(f"warm: a film is there after {shown(rtf.median)} times its length, {told}")
    return "".join(f"\n- {one}" for one in said)


def _metrics(result: Result) -> str:
    if not result.metrics:
        return ""
    rows = [_metric(metric) for metric in result.metrics]
    columns = (
        "metric",
        "state",
        "of",
        "n",
        "median",
        "min",
        "max",
        "p95",
        "unit",
        "measured at",
        "from where to where",
    )
    return "## Figures\n\n" + table(columns, rows)


def _metric(metric: Metric) -> tuple[object, ...]:
    of = ", ".join(part for part in (metric.model, metric.case) if part)
    figures: tuple[object, ...] = (0, "", "", "", "")
    boundary = metric.boundary
    if metric.values:
        numbers = (metric.median, metric.minimum, metric.maximum, metric.p95)
        figures = (metric.n, *map(shown, numbers))
    else:
        boundary = f"not measured: {metric.missing}. {boundary}"
    return (f"`{metric.name}`", metric.state, of, *figures, metric.unit, metric.source, boundary)


def _pictures(pictures: Sequence[tuple[str, str]]) -> str:
    return "\n\n".join(f"## {told}\n\n![{told}](plots/{name})" for name, told in pictures)


def _turns(result: Result) -> str:
    """The waterfalls once more, in words: for those who cannot see them, and to copy from."""
    rows = [
        (turn.label, turn.state, stage.name, shown(stage.from_ms), shown(stage.to_ms), stage.provider)
        for turn in result.turns[:8]
        for stage in turn.stages
    ]
    if not rows:
        return ""
    told = "" if len(result.turns) <= 8 else f" The first 8 of {len(result.turns)}; result.json has all."
    columns = ("turn", "state", "stage", "from ms", "to ms", "provider")
    return f"## Turns, stage by stage\n\nMilliseconds since the turn began.{told}\n\n" + table(
        columns, list(rows)
    )


def _tables(result: Result) -> str:
    return "\n\n".join(f"## {one.title}\n\n" + table(one.columns, list(one.rows)) for one in result.tables)


def _timeline(result: Result) -> str:
    if not result.timeline:
        return ""
    rows = [(f"{moment.at_s:.1f}", moment.what) for moment in result.timeline]
    return "## What happened when\n\n" + table(("s", "what"), list(rows))


def _reading(result: Result) -> str:
    said = []
    if any(subject.model == "mock" for subject in result.subjects):
        said.append(MOCK)
    if external := [subject.model for subject in result.subjects if subject.label == "external"]:
        said.append(EXTERNAL.format(f"{', '.join(external)} {'is' if len(external) == 1 else 'are'}"))
    if stub := result.config.get("stub"):
        told = ", ".join(f"`{name}` {shown(value)}" for name, value in stub.items())
        said.append(
            f"Language model, voice and hearing were a stub of known delays ({told}): figures that contain "
            "them have these as their floor. Nothing was subtracted, unless a figure's boundary says so."
        )
    if any(0 < metric.n < FEW for metric in result.metrics):
        said.append(f"The 95th percentile of fewer than {FEW} values is the largest of them.")
    said += [
        (
            "For the experience look at first response and at the offset of sound and picture before frames "
            "per second; for throughput at steady chunks and queue depth before single cold runs."
        ),
        f"States:\n\n{STATES}",
        f"Measured at:\n\n{SOURCES}",
    ]
    return "## How to read it\n\n" + "\n\n".join(said)


def _conditions(result: Result) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    settings = yaml.safe_dump(result.config, sort_keys=False, allow_unicode=True).strip()
    row = sheet.rows(result)
    lines = ["## Conditions", f"Versions: {versions}."]
    if result.config:
        lines.append(f"Configuration:\n\n```yaml\n{settings}\n```")
    if row:
        lines.append("As rows of the table in which services are compared (result.csv):")
        lines.append(table(sheet.COLUMNS, [tuple(one[name] for name in sheet.COLUMNS) for one in row]))
    return "\n\n".join(lines)
