"""What a run leaves behind: files that say the same, pictures, and one archive of all of it."""

import csv
import io
import tarfile
from dataclasses import replace

import cv2
import numpy as np
import pytest

from project.bench import calibration, page, plots, sheet
from project.bench.results import Result, Stage, Subject, Turn
from project.bench.writers import kept, write


def test_everything_is_written_and_is_in_the_archive(result, tmp_path):
    folder = write(result, tmp_path / "out")
    assert Result.load(folder / "result.json") == result
    with tarfile.open(folder / "tiny.tar.gz") as tar:
        names = tar.getnames()
        owners = {(entry.uid, entry.gid, entry.uname, entry.gname) for entry in tar}
    assert set(names) == {
        *(f"tiny/{name}" for name in ("result.json", "result.csv", "report.md", "config.yaml")),
        *(f"tiny/plots/{name}.png" for name in ("latencies", "waterfall", "queue-depth-over-time")),
    }
    assert owners == {(0, 0, "", "")}


def test_writing_again_leaves_no_picture_of_before(result, tmp_path):
    write(result, tmp_path)
    result.series.clear()
    write(result, tmp_path)
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == ["latencies.png", "waterfall.png"]


def test_figures_of_an_earlier_run_are_put_aside_before_another_begins(result, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(calibration, "take", lambda: {"calibration_cpu_ms": [1.0]})
    write(result, tmp_path)
    write(result, tmp_path)
    assert [path.name for path in tmp_path.glob("*.json")] == ["result.json"]
    older, newer = replace(result), replace(result, created="2031-01-02T03:04:05+00:00")
    with pytest.raises(TimeoutError), kept(Result.begin("tiny", command="live"), tmp_path):
        raise TimeoutError
    (aside,) = tmp_path.glob("*.json")
    assert f"bench compare {aside} {tmp_path}" in capsys.readouterr().out
    assert Result.load(aside) == older
    write(newer, tmp_path)
    write(older, tmp_path)
    assert {path.name for path in tmp_path.glob("*.json")} == {
        *("result.json", aside.name, "result-2031-01-02t030405.json")
    }


def test_pictures_can_be_opened_and_are_not_blank(result, tmp_path):
    for name, _ in plots.draw(result, tmp_path):
        picture = cv2.imread(str(tmp_path / name))
        assert picture.shape[1] > 800
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20


def test_a_result_without_figures_has_no_pictures_and_still_a_page(tmp_path):
    folder = write(Result.begin("empty", command="clip"), tmp_path)
    assert list((folder / "plots").iterdir()) == []
    assert "# clip: empty" in (folder / "report.md").read_text()


@pytest.mark.parametrize(
    "error", [TimeoutError("no answer of http://10.0.0.1/"), KeyboardInterrupt(), SystemExit(143)]
)
def test_what_a_run_that_failed_had_measured_is_kept_and_says_so(result, tmp_path, monkeypatch, error):
    monkeypatch.setattr(calibration, "take", lambda: {"calibration_cpu_ms": [1.0]})
    result.checks.clear()
    with pytest.raises(type(error)), kept(result, tmp_path / "one"):
        raise error
    told = Result.load(tmp_path / "one" / "result.json")
    assert [(check.name, check.passed) for check in told.checks] == [("the run came to its end", False)]
    assert "10.0.0.1" not in (tmp_path / "one" / "report.md").read_text()
    assert told.find("ttfa_ms", model="viseme") is not None
    with pytest.raises(TimeoutError), kept(Result.begin("tiny", command="live"), tmp_path / "two"):
        raise TimeoutError
    assert not (tmp_path / "two").exists()


def test_a_row_for_each_model_in_the_columns_of_the_table(result):
    rows = list(csv.DictReader(io.StringIO(sheet.text(result))))
    assert [row["Model"] for row in rows] == ["viseme", "flashtalk"]
    first, second = rows
    assert first["Hardware"] == "RTX 3090"
    assert first["Driver"] == "driver 570.1"
    assert first["Cold start/s"] == "21.0"
    assert (first["TTFA/ms"], second["TTFA/ms"]) == ("320.0", "920.0")
    assert first["Steady FPS"] == "45.0"
    assert first["Peak VRAM/GB"] == ""
    assert (first["Owner"], second["Owner"]) == ("own", "external")
    assert list(first)[:12] == [
        *("Date", "Model", "Technique", "Backend", "Hardware", "OS", "Driver", "commit", "Input"),
        *("Resolution", "FPS", "Chunk size"),
    ]


def test_the_first_picture_of_the_table_is_that_of_a_browser_where_there_was_one(result):
    for case, first in (("light client", 60.0), ("aiortc", 80.0)):
        result.add(
            "webrtc_first_frame_ms",
            "ms",
            [first],
            state="warm",
            boundary="x",
            source="receiver",
            model="viseme",
            case=case,
        )
    assert sheet.rows(result)[0]["webrtc_first_frame_ms"] == "60.0"
    result.add(
        "webrtc_first_frame_ms",
        "ms",
        [140.0],
        state="warm",
        boundary="x",
        source="receiver",
        model="viseme",
        case="chromium",
    )
    assert sheet.rows(result)[0]["webrtc_first_frame_ms"] == "140.0"


def test_the_page_says_what_was_missed_what_is_external_and_what_was_not_measured(result):
    text = page.text(result, [("latencies.png", "Latencies")])
    assert "1 of 1 were not met" in text
    assert "3 of 100 \\| seen" in text
    assert "**flashtalk is drawn by a service that is not ours**" in text
    assert "not measured: no GPU here" in text
    assert "![Latencies](plots/latencies.png)" in text
    assert "`first_token_ms` 150" in text
    assert "test card" not in text


def test_the_page_says_whether_it_is_fast_enough(result):
    text = page.text(result, [])
    assert "one worker draws 1.8 times the 25 frames a second that are shown, it keeps up" in text
    result.metrics = [metric for metric in result.metrics if metric.name != "render_fps"]
    result.add("render_fps", "fps", [12.5], state="warm", boundary="x", source="worker", better="more")
    result.add("rtf", "1", [1.17], state="warm", boundary="x", source="receiver")
    text = page.text(result, [])
    assert "draws 0.5 times the 25 frames a second that are shown, it cannot keep up" in text
    assert "after 1.17 times its length, not sooner than it is watched" in text


def test_the_rows_of_the_page_stand_below_their_headings(result):
    table = page.text(result, []).split("(result.csv):")[1].strip().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    first = dict(zip(cells[0], cells[2], strict=True))
    assert (first["Model"], first["Owner"], first["TTFA/ms"]) == ("viseme", "own", "320.0")


def test_a_mock_run_says_that_it_proves_orchestration_only(result):
    result.subjects.append(Subject("mock"))
    assert "prove that orchestration works" in page.text(result, [])


def test_every_line_of_a_table_has_as_many_cells_as_its_head(result):
    tables = [block for block in page.text(result, []).split("\n\n") if block.startswith("|")]
    assert len(tables) >= 6
    for block in tables:
        assert len({line.replace("\\|", "").count("|") for line in block.splitlines()}) == 1, block


def test_pieces_share_a_row_without_the_bar_that_covers_them(result):
    stages = (
        Stage("llm", 0, 600),
        Stage("llm 1", 0, 150),
        Stage("llm 2", 150, 600),
        Stage("tts 1", 150, 250),
    )
    rows = plots._rows(Turn("one", "warm", (*stages, Stage("retrieval", 0, 5))))
    assert {name: [one.name for one in pieces] for name, pieces in rows.items()} == {
        "llm": ["llm 1", "llm 2"],
        "tts": ["tts 1"],
        "retrieval": ["retrieval"],
    }


def test_an_answer_that_goes_on_for_long_is_cut_off_and_says_until_when():
    stages = (Stage("llm 1", 0.0, 200.0), Stage("playout 1", 300.0, 9000.0))
    (axes,) = plots.waterfalls([Turn("one", "warm", stages)]).axes
    assert axes.get_xlim()[1] < 2000
    assert "\u2192 9000" in [text.get_text() for text in axes.texts]
    (axes,) = plots.waterfalls([Turn("one", "warm", stages[:1])]).axes
    assert [text.get_text() for text in axes.texts] == ["1", "200"]


@pytest.mark.parametrize(("state", "expected"), [("cold", "first"), ("warm", "middle")])
def test_the_waterfall_shows_the_first_cold_turn_and_the_middle_warm_one(state, expected):
    turns = [
        Turn(name, state, (Stage("llm", 0.0, ms),))
        for name, ms in (("first", 900.0), ("shortest", 100.0), ("middle", 200.0))
    ]
    assert [turn.label for turn in plots.typical(turns)] == [expected]
