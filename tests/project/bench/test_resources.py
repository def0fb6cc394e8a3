"""What processes use is counted for each kind of part, with what they started."""

import os
import subprocess
import sys
import time

import pytest

from project.bench.errors import BenchError
from project.bench.resources import Sample, Sampler, Use, kind, snapshot

CHILD = """
import subprocess, sys
held = "import sys; x = bytearray(40 << 20); print(1, flush=True); sys.stdin.read()"
child = subprocess.Popen([sys.executable, "-c", held], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
print("ready", flush=True)
sys.stdin.read()
child.stdin.close()
child.wait()
"""


@pytest.fixture
def parent():
    """A process with a child that holds 40 MB."""
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    yield process
    process.stdin.close()
    process.wait(20)
    process.stdout.close()


def test_a_part_counts_with_what_it_started(parent):
    used = snapshot({"web1": parent.pid})["web"]
    assert used.processes == 2
    assert used.memory_mb > 40
    assert used.descriptors >= 6
    assert used.threads == 2
    assert used.cpu_s > 0


def test_parts_of_one_kind_are_counted_together(parent):
    used = snapshot({"web1": parent.pid, "web2": os.getpid(), "valkey": parent.pid}, memory=False)
    assert set(used) == {"web", "valkey"}
    assert used["web"].processes > used["valkey"].processes
    assert used["web"].memory_mb == 0


def test_a_process_that_is_gone_counts_nothing():
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert snapshot({"render1": ended.pid}) == {"render": Use()}


@pytest.mark.parametrize(("part", "name"), [("web2", "web"), ("general", "general"), ("render10", "render")])
def test_the_kind_of_a_part_is_its_name_without_its_number(part, name):
    assert kind(part) == name


def looked(*cpu_seconds):
    sampler = Sampler(dict)
    sampler.samples = [
        Sample(float(at), {"web": Use(cpu_s=used, memory_mb=100.0 + at, descriptors=9)}, at % 2 == 0)
        for at, used in enumerate(cpu_seconds)
    ]
    return sampler


def test_cpu_is_what_was_used_between_the_looks():
    sampler = looked(10.0, 10.5, 11.0, 11.0)
    assert sampler.cpu_seconds() == {"web": 1.0}
    assert sampler.cpu_percent() == {"web": pytest.approx(100 / 3)}
    assert sampler.memory_mb() == {"web": [100.0, 102.0]}


def test_a_part_that_was_started_again_takes_nothing_away():
    assert looked(10.0, 11.0, 0.2, 0.7).cpu_seconds() == {"web": 1.5}


def test_lines_to_draw_have_a_point_for_each_look():
    cpu, memory, descriptors = looked(1.0, 1.5, 2.5).lines(began=-1.0)
    assert cpu.points == ((2.0, 50.0), (3.0, 100.0))
    assert memory.points == ((1.0, 100.0), (3.0, 102.0))
    assert len(descriptors.points) == 3


def test_a_sampler_looks_at_the_beginning_and_at_the_end():
    with Sampler(lambda: {"me": os.getpid()}, every=60.0) as sampler:
        sum(range(100_000))
    assert len(sampler.samples) == 2
    assert sampler.memory_mb()["me"][0] > 1
    assert sampler.gpu_mb() == []


class Processes:
    """Ours, which cannot be told while `broken`."""

    def __init__(self):
        self.broken, self.failed = False, 0

    def __call__(self):
        if self.broken:
            self.failed += 1
            raise ValueError("half a file")
        return {"me": os.getpid()}


def until(condition):
    ends = time.monotonic() + 20
    while not condition() and time.monotonic() < ends:
        time.sleep(0.01)


def test_a_sampler_goes_on_after_a_look_that_failed():
    pids = Processes()
    with Sampler(pids, every=0.01) as sampler:
        pids.broken = True
        until(lambda: pids.failed)
        pids.broken = False
        until(lambda: len(sampler.samples) > 2 * pids.failed)
    assert len(sampler.samples) > 2


def test_a_sampler_that_saw_hardly_anything_says_so():
    pids = Processes()

    def watched():
        with Sampler(pids, every=0.01) as sampler:
            pids.broken = True
            until(lambda: pids.failed > len(sampler.samples) + 2)
            pids.broken = False

    with pytest.raises(BenchError, match="looks at the parts failed: ValueError: half a file"):
        watched()
