"""Workers of `manage.py render_worker` that are stopped and killed while they draw clips."""

import json
import os
import signal

import pytest

from project.bench.stack import EmbeddedStack
from tests.faults.batch import Batch

pytestmark = pytest.mark.faults

CLIPS = 8
SETTINGS = {
    "RENDER_MODELS": "viseme",
    "RENDER_DEVICE": "cpu,cpu",  # two workers
    "BUILTIN_AVATARS": "lena",
    "OMP_NUM_THREADS": "1",
}


@pytest.fixture(scope="module")
def farm(tmp_path_factory):
    """A stack whose clips are drawn by render workers alone."""
    home = tmp_path_factory.mktemp("farm") / "home"
    with EmbeddedStack(home, render_workers=0, env=SETTINGS) as stack:
        yield stack


def running(batch: Batch) -> set[tuple[str, int]]:
    rows = batch.rows(
        "SELECT clip_id, \"index\" FROM generation_clipfragment WHERE clip_id IN :ids AND status = 'running'"
    )
    return {(clip, index) for clip, index in rows}


def held_by(batch: Batch, part: str) -> tuple[str, int]:
    """Freeze a worker while it draws, and return what it draws: what nobody goes on with."""
    pid = batch.stack.pid(part)
    for _ in range(CLIPS):
        batch.stack.wait_until(lambda: running(batch), "a fragment is drawn", 60)
        os.kill(pid, signal.SIGSTOP)
        begun, done = running(batch), len(batch.fragments_done())
        # The other worker draws on: once it has ended one, what it held before is done as well.
        batch.wait_fragments(done + 1)
        if left := begun & running(batch):
            assert len(left) == 1, left
            return left.pop()
        os.kill(pid, signal.SIGCONT)
    raise AssertionError(f"{part} never drew\n{batch.stack.logs()}")


def test_a_worker_that_is_told_to_stop_ends_its_fragment_first(farm):
    batch = Batch(farm)
    batch.post(CLIPS)
    for count in (2, CLIPS):
        batch.wait_fragments(count)
        pid = farm.kill("models1", signal.SIGTERM)
        farm.wait_restarted("models1", pid)
    batch.wait_ended()
    batch.check_whole()
    batch.check_nothing_left()
    assert {starts for _, _, starts in batch.fragments_done().values()} == {1}
    assert "Warm shutdown" in farm.log("models1")


def test_what_a_killed_worker_drew_is_drawn_again(farm):
    batch = Batch(farm)
    batch.post(CLIPS)
    batch.wait_fragments(2)
    key = held_by(batch, "models1")
    pid = farm.kill("models1", signal.SIGKILL)
    farm.wait_restarted("models1", pid)
    batch.wait_ended()
    batch.check_whole()
    batch.check_nothing_left()
    made = batch.fragments_done()
    assert made[key][2] == 2
    assert {starts for name, (_, _, starts) in made.items() if name != key} == {1}


def test_workers_say_what_they_are_and_how_fast_they_draw(farm):
    told = json.loads(
        farm.manage(
            *("shell", "-v", "0", "-c"),
            "import json; from dataclasses import asdict; from workers import presence;"
            "print(json.dumps([asdict(worker) for worker in presence.present()]))",
        )
    )
    workers = {worker["name"].partition("@")[0]: worker for worker in told}
    for name in ("models1", "models2"):
        assert workers[name]["device"] == "cpu"
        assert 0 < workers[name]["free_mb"] <= workers[name]["memory_mb"]
        assert workers[name]["slots"]["batch.viseme"] >= 1
        assert workers[name]["models"]["viseme"]["problem"] == ""
    assert max(workers[name]["models"]["viseme"]["fps"] or 0 for name in ("models1", "models2")) > 0
