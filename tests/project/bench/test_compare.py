"""`manage.py bench compare`: files in, names and an exit status out."""

import json
from argparse import ArgumentParser
from pathlib import Path

import pytest

from project.bench import baseline, comparing, config, gates
from project.bench.commands import compare
from project.bench.commands.clip import ClipWishes
from project.bench.commands.live import LiveWishes
from project.bench.machine import Hardware
from project.bench.results import Result

CALIBRATION = {
    "calibration_cpu_ms": [10.0, 10.1, 9.9, 10.0, 10.2, 10.0, 10.1],
    "calibration_x264_ms": [20.0, 20.1, 19.9, 20.0, 20.2, 20.0, 20.1],
    "calibration_round_trip_ms": [0.02] * 7,
    "calibration_commit_ms": [0.2] * 7,
    "calibration_copy_ms": [4.0] * 7,
}


def result(folder: Path, created: float = 22.0, *, name: str = "short", command: str = "live") -> Path:
    """A result.json with sessions made in so many ms."""
    made = Result(name, command, "2026-11-21T00:00:00+00:00", "abcdef", {}, Hardware("cpu", 2, 4096), "Linux")
    values = [created * share for share in (0.97, 1.0, 1.02, 0.99, 1.01, 1.0, 0.98)]
    made.add("session_create_ms", "ms", values, state="warm", boundary="request to answer", source="receiver")
    made.calibration = CALIBRATION
    path = folder / f"{command}-{name}-{created}.json"
    path.write_text(json.dumps(made.told()), encoding="utf-8")
    return path


def run(*arguments: object) -> int:
    parser = ArgumentParser()
    parser.add_argument("--out", type=Path)
    compare.add_arguments(parser)
    return compare.run(parser.parse_args([str(one) for one in arguments]))


def test_a_worse_run_fails_and_names_the_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run(result(tmp_path), result(tmp_path, 30.0), "--out", tmp_path / "told") == 1
    said = capsys.readouterr().out
    assert "### Worse" in said
    assert "| session_create_ms / warm | ms | 22 " in said
    assert (tmp_path / "told" / "compare.md").read_text().strip() == said.strip()


def test_the_same_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run(result(tmp_path), result(tmp_path, 23.0)) == 0
    assert "0 worse, 0 unclear, 1 same" in capsys.readouterr().out


def test_results_become_a_baseline_that_others_are_compared_with(tmp_path: Path):
    file = tmp_path / "baseline.json"
    assert run("--write-baseline", "--baseline-file", file, result(tmp_path), result(tmp_path, 23.0)) == 0
    (kept,) = baseline.read(file).runs
    assert (kept.key, kept.results, kept.figures[0].middle.n) == (("live", "short"), 2, 14)
    assert run("--baseline-file", file, result(tmp_path, 22.5)) == 0
    assert run("--baseline-file", file, result(tmp_path, 31.0)) == 1
    assert run("--baseline-file", file, "--baseline", result(tmp_path, 22.5), result(tmp_path, 22.6)) == 0


def test_writing_a_baseline_keeps_other_measurements(tmp_path: Path):
    file = tmp_path / "baseline.json"
    run("--write-baseline", "--baseline-file", file, result(tmp_path, command="clip"))
    run("--write-baseline", "--baseline-file", file, result(tmp_path))
    run("--write-baseline", "--baseline-file", file, result(tmp_path, 30.0))
    clip, live = baseline.read(file).runs
    assert (clip.command, live.command, live.figures[0].middle.median) == ("clip", "live", 30.0)


def test_a_measurement_that_the_baseline_lacks_is_said(tmp_path: Path):
    file = tmp_path / "baseline.json"
    baseline.write(baseline.Baseline(()), file)
    with pytest.raises(ValueError, match="no run of live short; it has: none"):
        run("--baseline-file", file, result(tmp_path))


def test_a_figure_that_is_gone_fails_unless_that_is_allowed(tmp_path: Path):
    gone = result(tmp_path, 23.0)
    told = json.loads(gone.read_text())
    told["metrics"] = []
    gone.write_text(json.dumps(told))
    assert run(result(tmp_path), gone) == 1
    assert run(result(tmp_path), gone, "--allow-missing") == 0


def test_what_nobody_can_say_fails_only_where_that_is_asked_for(tmp_path: Path):
    unsure = result(tmp_path, 26.5)
    told = json.loads(unsure.read_text())
    told["metrics"][0]["values"] = [20.0, 22.0, 26.0, 27.0, 28.0, 30.0, 33.0]
    unsure.write_text(json.dumps(told))
    assert run(result(tmp_path), unsure) == 0
    assert run(result(tmp_path), unsure, "--strict") == 1


def test_a_folder_stands_for_its_result(tmp_path: Path):
    folder = tmp_path / "outputs"
    folder.mkdir()
    result(tmp_path).rename(folder / "result.json")
    assert run(folder, result(tmp_path, 23.0)) == 0


def test_a_broken_file_is_named(tmp_path: Path):
    broken = tmp_path / "result.json"
    broken.write_text("{")
    with pytest.raises(ValueError, match=r"result\.json"):
        run(broken, result(tmp_path))


def test_the_committed_baseline_can_be_read_and_agrees_with_itself():
    kept = baseline.read()
    for one in kept.runs:
        assert not comparing.compare(one, one, gates.read()).of("worse", "unclear", "missing", "better")


@pytest.mark.parametrize("name", ["short", "full"])
def test_what_is_judged_most_is_repeated_often_enough_to_be_judged(name: str):
    chosen = config.read(config.path(name))
    live, clip = chosen.section("live", LiveWishes), chosen.section("clip", ClipWishes)
    assert min(live.joins, live.turns, live.interrupts, clip.warm) >= 6
