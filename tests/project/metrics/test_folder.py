"""Processes that keep their figures together: real ones, ended in every way."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from project.metrics import pages
from project.metrics.folder import Folder

COUNTS = """
import sys
from pathlib import Path
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from project.metrics.values import use_folder

folder = use_folder(sys.argv[1])
registry = CollectorRegistry()
counter = Counter("done", "Things done", ["kind"], registry=registry)
gauge = Gauge("now", "Things going on", registry=registry, multiprocess_mode="livesum")
histogram = Histogram("took_seconds", "Time", registry=registry, buckets=(1, 2))
counter.labels("a").inc(2)
gauge.set(5)
histogram.observe(0.5)
histogram.observe(1.5)
print("counted", flush=True)
sys.stdin.readline()
"""


@contextmanager
def counting(folder: Path, code: str = COUNTS) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "counted\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def figures(folder: Folder) -> dict[str, float]:
    found = {}
    for metric in folder.collect():
        for sample in metric.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "figures")
    made.enter()
    return made


def test_what_several_processes_count_is_added(folder: Folder) -> None:
    with counting(folder.path), counting(folder.path):
        found = figures(folder)
    assert found["done_total{kind=a}"] == 4
    assert found["now"] == 10
    assert found["took_seconds_bucket{le=1.0}"] == 2
    assert found["took_seconds_bucket{le=+Inf}"] == found["took_seconds_count"] == 4
    assert found["took_seconds_sum"] == 4.0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_the_dead_counted_stays_and_what_they_held_goes(folder: Folder, number: int) -> None:
    for times in range(1, 4):
        with counting(folder.path) as process:
            process.send_signal(number)
            process.wait()
        for _ in range(2):  # also when asked again
            found = figures(folder)
            assert found["done_total{kind=a}"] == 2 * times
            assert found["took_seconds_bucket{le=1.0}"] == times
            assert found["took_seconds_count"] == 2 * times
            assert "now" not in found


def test_the_folder_does_not_grow_with_the_processes_that_were(folder: Folder) -> None:
    sizes = []
    for _ in range(4):
        with counting(folder.path) as process:
            process.kill()
            process.wait()
        figures(folder)
        sizes.append(len(list(folder.path.iterdir())))
    assert sizes[0] == sizes[-1] <= 5


def test_nobody_needs_to_look_for_the_folder_to_stay_small(folder: Folder) -> None:
    for _ in range(4):
        with counting(folder.path) as process:
            process.kill()
            process.wait()
    Folder(folder.path).enter()  # another process begins
    assert len(list(folder.path.glob("*.db"))) <= 3


def test_it_is_added_once_though_whoever_added_it_was_cut_off(folder: Folder) -> None:
    with counting(folder.path) as process:
        owner = next(folder.path.glob("counter_*")).stem.partition("_")[2]
        left = {path.name: path.read_bytes() for path in folder.path.glob(f"*{owner}*")}
        process.kill()
        process.wait()
    assert figures(folder)["done_total{kind=a}"] == 2
    assert json.loads((folder.path / "past.json").read_text())["spent"] == [owner]
    # As if it had ended between writing the journal and removing what was added.
    for name, content in left.items():
        (folder.path / name).write_bytes(content)
    assert figures(folder)["done_total{kind=a}"] == 2
    # And as if before the journal.
    (folder.path / "counter_past-9.db").write_bytes((folder.path / "counter_past-1.db").read_bytes())
    assert figures(folder)["done_total{kind=a}"] == 2


def test_the_child_of_a_fork_counts_for_itself(folder: Folder) -> None:
    forks = COUNTS.replace(
        'print("counted"',
        "import os\nif os.fork() == 0:\n    counter.labels('a').inc()\n    gauge.set(1)\n    os._exit(0)\n"
        'os.wait()\nprint("counted"',
    )
    with counting(folder.path, forks):
        found = figures(folder)
        assert found["done_total{kind=a}"] == 3
        assert found["now"] == 5  # the child is gone


def test_a_child_that_finds_the_folder_held_keeps_off_its_parents_figures(folder: Folder) -> None:
    forks = COUNTS.replace(
        "print(",
        """
import fcntl, os
from project.metrics import folder as folders
folders.PATIENCE_SECONDS = 0.1
held = os.open(folder.path / "lock", os.O_RDWR)
fcntl.flock(held, fcntl.LOCK_EX)
if os.fork() == 0:
    counter.labels("a").inc()
    gauge.set(1)
    os._exit(0)
os.wait()
os.close(held)
counter.labels("a").inc()
print(""",
    )
    with counting(folder.path, forks):
        found = figures(folder)
    assert found["done_total{kind=a}"] == 4
    assert found["now"] == 5


def test_figures_that_outgrow_their_file_are_all_told(folder: Folder) -> None:
    many = COUNTS.replace(
        'print("counted"',
        'for number in range(2000): counter.labels(f"{number:0>60}").inc()\nprint("counted"',
    )
    with counting(folder.path, many) as process:
        assert sum(1 for name in figures(folder) if name.startswith("done_total")) == 2001
        process.kill()
        process.wait()
        assert sum(figures(folder).values()) > 2000
    assert figures(folder)["done_total{kind=a}"] == 2


def test_without_room_on_the_disk_work_goes_on_and_only_the_others_do_not_see_it(folder: Folder) -> None:
    full = COUNTS.replace(
        "import sys\n",
        "import sys, errno, os\n"
        "def full(*_): raise OSError(errno.ENOSPC, 'full')\n"
        "os.posix_fallocate = full\n",
        1,
    ).replace('print("counted"', "assert counter.labels('a')._value.get() == 2\nprint(\"counted\"")
    with counting(folder.path, full), counting(folder.path):
        assert figures(folder)["done_total{kind=a}"] == 2


@pytest.mark.parametrize("room", [0, 128 * 1024])
def test_without_room_on_the_disk_what_the_dead_counted_stays_where_it_is(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    def allocated(descriptor: int, size: int) -> None:
        if size > room:
            raise OSError(errno.ENOSPC, "full")
        os.posix_fallocate(descriptor, 0, size)

    many = COUNTS.replace(
        'print("counted"',
        'for number in range(2000): counter.labels(f"{number:0>60}").inc()\nprint("counted"',
    )
    for code, labels in ((COUNTS, 1), (many, 2001)):
        with counting(folder.path, code) as process:
            process.kill()
            process.wait()
            with monkeypatch.context() as full:
                full.setattr(pages, "_allocate", allocated)
                for _ in range(2):
                    found = figures(folder)
                    assert sum(1 for name in found if name.startswith("done_total")) == labels
                    assert found["done_total{kind=a}"] == (2 if labels == 1 else 4)
                    assert found["took_seconds_count"] == (2 if labels == 1 else 4)
                    assert "now" not in found
            assert figures(folder) == found


def test_a_folder_that_cannot_be_used_leaves_the_process_its_own_figures(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    alone = COUNTS.replace('print("counted"', 'assert folder is None\nprint("counted"')
    with counting(tmp_path / "file" / "figures", alone):
        pass


STOPS = """
import os, signal, sys
from pathlib import Path
from project.metrics.folder import Folder

folder = Folder(Path(sys.argv[1]))
folder.enter()
with folder._locked():
    print("counted", flush=True)
    sys.stdin.readline()
"""


def test_whoever_was_stopped_in_the_middle_holds_up_neither_work_nor_start(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("project.metrics.folder.PATIENCE_SECONDS", 0.2)
    with counting(folder.path, STOPS):
        pages = folder.pages("counter")  # a first figure of its kind, in the middle of work
        with pytest.raises(TimeoutError):
            folder.collect()
        with pytest.raises(TimeoutError):  # and such a process keeps its figures to itself
            Folder(folder.path).enter()
        pages.close()
    assert figures(folder) == {}


def test_what_was_not_finished_is_removed(folder: Folder) -> None:
    (folder.path / "counter_123-0.new").touch()
    mine = folder.path / f"counter_{folder.identity}.new"
    mine.touch()
    figures(folder)
    assert sorted(folder.path.glob("*.new")) == [mine]


def test_only_its_owner_may_look_into_the_folder(folder: Folder) -> None:
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert re.fullmatch(rf"{os.getpid()}-[0-9a-f]{{8}}", folder.identity)
