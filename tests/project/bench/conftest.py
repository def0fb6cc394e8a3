"""A result as a run would leave it, with something of everything."""

import pytest

from project.bench.machine import Gpu, Hardware
from project.bench.results import Check, Moment, Result, Series, Stage, Subject, Table, Turn

BOUNDARY = "from the request until it was there"


@pytest.fixture
def result() -> Result:
    made = Result(
        name="tiny",
        command="live",
        created="2026-01-02T03:04:05+00:00",
        commit="0123456789ab",
        versions={"Python": "3.11.9"},
        hardware=Hardware("Processor", 2, 8000, (Gpu("RTX 3090", "570.1", 24_576.0),)),
        os="Linux x86_64 glibc2.31",
        config={"name": "tiny", "stub": {"first_token_ms": 150.0}},
        subjects=[
            Subject("viseme", technique="warp", resolution="512x640", chunk_ms=1000.0, input="text"),
            Subject("flashtalk", "omnirt", resolution="416x704", label="external"),
        ],
        load_average=0.5,
    )
    for model, first in (("viseme", 300.0), ("flashtalk", 900.0)):
        for state in ("warm", "cold"):
            values = [first + 10 * place for place in range(5)]
            made.add("ttfa_ms", "ms", values, state=state, boundary=BOUNDARY, source="receiver", model=model)
    made.add("startup_ms", "ms", [21_000], state="cold", boundary=BOUNDARY, source="receiver")
    made.add("av_drift_ms", "ms", [-12, 3], state="steady", boundary=BOUNDARY, source="receiver")
    made.add(
        "gpu_memory_peak_mb",
        "MB",
        [],
        state="steady",
        boundary=BOUNDARY,
        source="machine",
        missing="no GPU here",
    )
    made.add("render_fps", "fps", [40, 50], state="steady", boundary=BOUNDARY, source="worker", better="more")
    made.series.append(
        Series("Queue depth over time", "batch.viseme", "s", "tasks", ((0.0, 1.0), (1.0, 2.0)))
    )
    stages = (Stage("llm", 0.0, 150.0, "stub"), Stage("tts", 100.0, 180.0), Stage("tts", 200.0, 280.0))
    made.turns.append(Turn("turn 1", "warm", stages, "viseme"))
    made.checks.append(Check("freezes", passed=False, evidence="3 of 100 | seen"))
    made.timeline.append(Moment(1.5, "render1 killed"))
    made.tables.append(Table("Parts", ("part", "CPU s"), (("web1", "2.5"),)))
    made.calibration["cpu"] = [1.0, 1.1]
    return made
