"""A result keeps its figures with what they mean, and is the same after it was written and read."""

import json

import pytest

from project.bench.machine import Gpu, Hardware
from project.bench.results import Check, Moment, Result, Series, Stage, Subject, Table, Turn

BOUNDARY = "from the request to the answer"


def result() -> Result:
    return Result(
        name="tiny",
        command="live",
        created="2026-01-02T03:04:05+00:00",
        commit="0123456789ab",
        versions={"Python": "3.11.9"},
        hardware=Hardware("Processor", 2, 8000, (Gpu("RTX 3090", "570.1", 24_576.0),)),
        os="Linux x86_64 glibc2.31",
        subjects=[Subject("mock", resolution="512x640", chunk_ms=1000.0, input="text")],
    )


def test_a_metric_tells_its_middle_its_ends_and_its_95th_percentile():
    metric = result().add(
        "session_create_ms", "ms", range(1, 21), state="warm", boundary=BOUNDARY, source="receiver"
    )
    assert (metric.n, metric.median, metric.minimum, metric.maximum, metric.p95) == (20, 10.5, 1, 20, 19)


def test_the_95th_percentile_of_few_values_is_the_largest():
    metric = result().add("x_ms", "ms", [3, 1, 2], state="cold", boundary=BOUNDARY, source="server")
    assert metric.p95 == 3


def test_what_was_not_measured_says_why():
    made = result()
    metric = made.add(
        "gpu_memory_peak_mb",
        "MB",
        [None],
        state="steady",
        boundary=BOUNDARY,
        source="machine",
        missing="no GPU",
    )
    assert metric.values == ()
    assert metric.missing == "no GPU"
    assert "median" not in metric.summary()


def test_a_metric_needs_a_boundary_and_numbers():
    with pytest.raises(ValueError, match="from where to where"):
        result().add("x_ms", "ms", [1], state="warm", boundary="", source="server")
    with pytest.raises(ValueError, match="no number"):
        result().add("x_ms", "ms", [float("nan")], state="warm", boundary=BOUNDARY, source="server")


def test_the_same_figure_cannot_stand_there_twice():
    made = result()
    made.add("x_ms", "ms", [1], state="warm", boundary=BOUNDARY, source="server")
    made.add("x_ms", "ms", [1], state="cold", boundary=BOUNDARY, source="server")
    with pytest.raises(ValueError, match="twice"):
        made.add("x_ms", "ms", [2], state="warm", boundary=BOUNDARY, source="server")


def test_a_result_is_the_same_after_writing_and_reading(tmp_path):
    made = result()
    made.add("x_ms", "ms", [1, 2.5], state="warm", boundary=BOUNDARY, source="server", case="text")
    made.add("y", "1", [], state="warm", boundary=BOUNDARY, source="server", missing="nobody was there")
    made.series.append(Series("queue", "batch.mock", "s", "messages", ((0.0, 1.0), (1.0, 2.0))))
    made.turns.append(Turn("1", "warm", (Stage("llm", 0.0, 150.0, "stub"),)))
    made.checks.append(Check("freezes", passed=False, evidence="3 of 100"))
    made.timeline.append(Moment(1.5, "render1 killed"))
    made.tables.append(Table("Parts", ("part", "CPU s"), (("web1", "2.5"),)))
    made.calibration["cpu"] = [1.0, 1.1]
    file = tmp_path / "result.json"
    file.write_text(json.dumps(made.told()))
    assert Result.load(file) == made


def test_a_result_of_another_kind_or_with_unknown_fields_is_refused(tmp_path):
    file = tmp_path / "result.json"
    file.write_text(json.dumps(result().told() | {"schema": "other/9"}))
    with pytest.raises(ValueError, match="other/9"):
        Result.load(file)
    file.write_text(json.dumps(result().told() | {"surprise": 1}))
    with pytest.raises(ValueError, match="surprise: nobody knows"):
        Result.load(file)


def test_this_machine_is_described():
    made = Result.begin("tiny", command="clip")
    assert made.hardware.cores >= 1
    assert made.hardware.memory_mb > 100
    assert made.versions["Python"].startswith("3.")
    assert made.commit
