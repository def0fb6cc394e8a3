"""Several results become one report; what does not mean the same is not mixed."""

from argparse import Namespace
from dataclasses import replace

import pytest

from project.bench import merging
from project.bench.commands import report
from project.bench.errors import BenchError
from project.bench.results import Result, Subject
from project.bench.writers import write
from tests.project.bench.conftest import BOUNDARY


@pytest.fixture
def clips(result):
    """Of the same machine and commit."""
    made = replace(
        result,
        command="clip",
        metrics=[],
        series=[],
        turns=[],
        checks=[],
        tables=[],
        config={"clip": {"warm": 2}},
        subjects=[Subject("viseme", input="script")],
        calibration={"cpu": [1.2]},
    )
    made.add("startup_ms", "ms", [22_000, 23_000], state="cold", boundary=BOUNDARY, source="receiver")
    made.add(
        "render_fps", "fps", [60], state="steady", boundary="frames of clips", source="worker", better="more"
    )
    made.add("rtf", "1", [0.2], state="warm", boundary=BOUNDARY, source="receiver")
    return made


def test_figures_that_mean_the_same_are_joined_and_others_say_what_they_are_of(result, clips):
    joined = merging.merged([result, clips])
    assert joined.command == "live + clip"
    assert joined.find("startup_ms").values == (21_000, 22_000, 23_000)
    assert joined.find("render_fps", case="").values == (40, 50)
    assert joined.find("render_fps", case="clip").values == (60,)
    assert joined.find("rtf").values == (0.2,)
    assert joined.config["clip"] == {"warm": 2}
    assert joined.config["stub"]
    assert joined.calibration["cpu"] == [1.0, 1.1, 1.2]
    assert [(one.model, one.input) for one in joined.subjects] == [
        ("viseme", "text + script"),
        ("flashtalk", ""),
    ]


def test_what_was_missing_in_one_is_there_in_the_other(result, clips):
    clips.add("gpu_memory_peak_mb", "MB", [700], state="steady", boundary=BOUNDARY, source="machine")
    metric = merging.merged([result, clips]).find("gpu_memory_peak_mb")
    assert metric.values == (700,)
    assert metric.missing == ""


def test_results_of_another_machine_or_commit_are_not_joined(result, clips):
    with pytest.raises(ValueError, match="differ in commit"):
        merging.merged([result, replace(clips, commit="fedcba987654")])
    with pytest.raises(ValueError, match="differ in os"):
        merging.merged([result, replace(clips, os="WSL2 x86_64")])
    changed = replace(clips, commit=result.commit + "+")
    assert merging.merged([result, changed]).commit == result.commit + "+"
    with pytest.raises(ValueError, match="nothing to join"):
        merging.merged([])


def test_the_command_reads_folders_and_tells_what_was_missed(result, clips, tmp_path):
    write(result, tmp_path / "live")
    write(clips, tmp_path / "clip")
    out = tmp_path / "both"
    options = Namespace(results=[tmp_path / "live", tmp_path / "clip" / "result.json"], out=out, name="both")
    assert report.run(options) == 1  # the check of `result` failed
    assert Result.load(out / "result.json").name == "both"
    assert (out / "both.tar.gz").is_file()
    assert report.run(Namespace(results=[tmp_path / "clip"], out=out, name="")) == 0
    with pytest.raises(BenchError, match="--out"):
        report.run(Namespace(results=[tmp_path / "clip"], out=None, name=""))
