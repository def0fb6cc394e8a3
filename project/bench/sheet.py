"""result.csv: a row for each model and backend, in the columns that talking-head services publish."""

import csv
import io
from collections.abc import Sequence

from project.bench.results import Metric, Result, Subject
from project.bench.texts import shown

# Heading, metric, the states in which it is looked for, and what its value is divided by.
FIGURES: tuple[tuple[str, str, tuple[str, ...], float], ...] = (
    ("Cold start/s", "startup_ms", ("cold",), 1000),
    ("Warmup/s", "warmup_ms", ("cold", "warm"), 1000),
    ("TTFA/ms", "ttfa_ms", ("warm", "steady"), 1),
    ("TTFV/ms", "ttfv_ms", ("warm", "steady"), 1),
    ("First-turn total/ms", "first_turn_total_ms", ("warm", "cold"), 1),
    ("Steady FPS", "render_fps", ("steady", "warm"), 1),
    ("RTF", "rtf", ("steady", "warm"), 1),
    ("Idle VRAM/GB", "gpu_memory_idle_mb", ("steady", "warm", "cold"), 1024),
    ("Peak VRAM/GB", "gpu_memory_peak_mb", ("steady", "warm", "cold"), 1024),
)
DETAIL = (
    *("session_create_ms", "asr_partial_latency_ms", "llm_first_token_ms", "tts_first_pcm_ms"),
    *("avatar_first_frame_ms", "webrtc_first_frame_ms", "av_drift_ms", "queue_depth", "steady_chunk_ms"),
)
# Where several receivers tell a figure, the one that others publish: what a browser shows.
PREFERRED = {"webrtc_first_frame_ms": "chromium"}
COLUMNS = (
    *("Date", "Model", "Technique", "Backend", "Hardware", "OS", "Driver", "commit", "Input", "Resolution"),
    *("FPS", "Chunk size", *(heading for heading, *_ in FIGURES), *DETAIL, "Owner"),
)


def rows(result: Result) -> list[dict[str, str]]:
    return [_row(result, subject) for subject in result.subjects]


def _row(result: Result, subject: Subject) -> dict[str, str]:
    facts = {
        "Date": result.created[:10],
        "Model": subject.model,
        "Technique": subject.technique,
        "Backend": subject.backend,
        "Hardware": result.hardware.name,
        "OS": result.os,
        "Driver": result.hardware.driver,
        "commit": result.commit,
        "Input": subject.input,
        "Resolution": subject.resolution,
        "FPS": shown(subject.fps),
        "Chunk size": f"{shown(subject.chunk_ms)}ms" if subject.chunk_ms else "",
        "Owner": subject.label,
    }
    for heading, name, states, divisor in FIGURES:
        facts[heading] = _figure(_first(result, name, states, subject.model), divisor)
    for name in DETAIL:
        facts[name] = _figure(_first(result, name, ("warm", "steady", "cold"), subject.model), 1)
    return facts


def _first(result: Result, name: str, states: Sequence[str], model: str) -> Metric | None:
    """The figure in the first of these states in which it was measured."""
    cases = (PREFERRED[name], None) if name in PREFERRED else (None,)
    found = (result.find(name, state=state, model=model, case=case) for case in cases for state in states)
    return next((metric for metric in found if metric is not None and metric.values), None)


def _figure(metric: Metric | None, divisor: float) -> str:
    return "" if metric is None else str(round(metric.median / divisor, 3))


def text(result: Result) -> str:
    """The whole file."""
    written = io.StringIO()
    writer = csv.DictWriter(written, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows(result))
    return written.getvalue()
