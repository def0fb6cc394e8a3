"""Memory of the GPU is told by process where the driver knows it, else as a difference that says so."""

import pytest

from project.bench.gpu import GpuWatch, watch
from project.bench.machine import gpus
from tests.support.nvidia_smi import FakeGpu


@pytest.fixture
def gpu(tmp_path):
    return FakeGpu(tmp_path)


def test_processes_of_others_do_not_count(gpu):
    gpu.tell(whole=1000, processes=[(9, "1000")])
    seen = GpuWatch(gpu.program)
    gpu.tell(whole=1700, processes=[(9, "1000"), (41, "300"), (42, "400"), (42, "10")])
    assert seen.used_mb({41, 42}) == 710
    assert seen.kind == "process"
    assert "own processes" in seen.boundary


@pytest.mark.parametrize(
    "processes",
    [
        pytest.param([], id="no processes at all"),
        pytest.param([(41, "[N/A]"), (42, "[N/A]")], id="processes without figures"),
        pytest.param([(41, "[Insufficient Permissions]")], id="figures that we may not see"),
        pytest.param([("[N/A]", "[N/A]")], id="not even process ids"),
        pytest.param([(77, "600")], id="ids of another namespace"),
    ],
)
def test_without_figures_of_processes_the_difference_to_before_counts(gpu, processes):
    gpu.tell(whole=1000)
    seen = GpuWatch(gpu.program)
    gpu.tell(whole=1600, processes=processes)
    assert seen.used_mb({41, 42}) == 600
    assert seen.kind == "whole"
    assert "WSL2" in seen.boundary
    gpu.tell(whole=1500, processes=processes)
    assert seen.used_mb({41, 42}) == 500


def test_a_stack_that_does_not_use_the_gpu_uses_nothing_of_it(gpu):
    gpu.tell(whole=1000)
    seen = GpuWatch(gpu.program)
    gpu.tell(whole=1030)
    assert seen.used_mb({41}) == 0
    assert seen.kind == "process"


def test_freed_memory_of_others_is_no_negative_figure(gpu):
    gpu.tell(whole=1000)
    seen = GpuWatch(gpu.program)
    gpu.tell(whole=200)
    assert seen.used_mb({41}) == 0


def test_without_a_gpu_there_is_no_watch(gpu, tmp_path):
    assert watch(str(tmp_path / "missing")) is None
    gpu.tell(broken=True)
    assert watch(gpu.program) is None
    gpu.tell(whole=1)
    assert watch(gpu.program) is not None


def test_the_gpu_is_described(gpu):
    (found,) = gpus(gpu.program)
    assert (found.name, found.driver, found.memory_mb) == (
        "NVIDIA GeForce RTX 3050 Laptop GPU",
        "581.57",
        4096.0,
    )
    gpu.tell(broken=True)
    assert gpus(gpu.program) == []
