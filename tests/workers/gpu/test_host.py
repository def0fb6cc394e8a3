"""The networks of a process: loaded once, when they are run, within a budget."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workers.adapters.avatar.runtime import Host
from workers.adapters.errors import AdapterError
from workers.gpu.devices import Cpu
from workers.gpu.host import RenderHost


class Loads:
    """Loads networks that add a number, and writes down which."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def of(self, name: str, number: int = 1) -> Any:
        def load() -> Any:
            self.names.append(name)
            return lambda *batch: batch[0] + number

        return load


class Device:
    name, title, total_mb, free_mb = "cuda:0", "A device", 1000, 1000

    def __init__(self) -> None:
        self.tidied = 0

    def tidy(self) -> None:
        self.tidied += 1


@pytest.fixture
def loads() -> Loads:
    return Loads()


@pytest.fixture
def host() -> Iterator[RenderHost]:
    made = RenderHost(Device(), weights=Path("w"), memory_mb=100, room_seconds=0.05)
    yield made
    made.close()


ONE = np.ones((1, 1), np.float32)


def test_a_network_is_loaded_when_it_is_run_and_once_for_all_threads(host: RenderHost, loads: Loads) -> None:
    networks = [host.network("a", loads.of("a"), memory_mb=10, max_batch=4) for _ in range(8)]
    assert loads.names == []
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(lambda network: network.run(ONE), networks))
    assert loads.names == ["a"]
    assert all(np.array_equal(result, ONE + 1) for result in results)
    assert len({id(network) for network in networks}) == 1


def test_the_least_used_one_makes_room_and_is_loaded_again_when_needed(
    host: RenderHost, loads: Loads
) -> None:
    networks = {name: host.network(name, loads.of(name), memory_mb=40) for name in "abc"}
    for name in "abac":
        networks[name].run(ONE)
    assert host.loaded == ("a", "c")
    networks["b"].run(ONE)
    assert host.loaded == ("c", "b")
    assert loads.names == ["a", "b", "c", "b"]
    assert (host.used_mb, host.free_mb) == (80, 20)


def test_one_that_is_in_use_never_makes_room(loads: Loads) -> None:
    device = Device()
    host = RenderHost(device, weights=Path("w"), memory_mb=100, room_seconds=20)
    inside, leave = threading.Event(), threading.Event()

    def busy(*batch: Any) -> Any:
        inside.set()
        leave.wait(20)
        return batch[0]

    used = host.network("used", lambda: busy, memory_mb=80)
    other = host.network("other", loads.of("other"), memory_mb=80)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(used.run, ONE)
        assert inside.wait(10)
        second = threads.submit(other.run, ONE)
        while not host._loading.locked():
            time.sleep(0.001)
        assert host.loaded == ("used",)
        leave.set()
        first.result(10)
        np.testing.assert_array_equal(second.result(10), ONE + 1)
    assert host.loaded == ("other",)
    host.close()


def test_whoever_finds_no_room_in_time_may_try_elsewhere(host: RenderHost, loads: Loads) -> None:
    inside, leave = threading.Event(), threading.Event()

    def busy(*batch: Any) -> Any:
        inside.set()
        leave.wait(20)
        return batch[0]

    used = host.network("used", lambda: busy, memory_mb=80)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(used.run, ONE)
        assert inside.wait(10)
        with pytest.raises(AdapterError) as caught:
            host.network("other", loads.of("other"), memory_mb=80).run(ONE)
        leave.set()
        first.result(10)
    assert (caught.value.code, caught.value.retryable) == ("out_of_memory", True)
    assert host.network("other", loads.of("other"), memory_mb=80).run(ONE) is not None


def test_one_that_is_larger_than_the_budget_is_refused_at_once(host: RenderHost, loads: Loads) -> None:
    with pytest.raises(AdapterError, match="101 MB of 100"):
        host.network("large", loads.of("large"), memory_mb=101).run(ONE)
    assert loads.names == []


def test_a_load_that_does_not_fit_evicts_the_others_and_is_tried_once_more(loads: Loads) -> None:
    host = RenderHost(Device(), weights=Path("w"), memory_mb=100)
    host.network("old", loads.of("old"), memory_mb=10).run(ONE)

    def load() -> Any:
        if host.loaded:
            raise RuntimeError("CUDA out of memory.")
        return lambda *batch: batch[0]

    host.network("new", load, memory_mb=10).run(ONE)
    assert host.loaded == ("new",)
    host.close()


def test_a_load_that_fails_is_told_and_tried_again_by_the_next(host: RenderHost, loads: Loads) -> None:
    faults = [AdapterError("no file", provider="x", retryable=False, code="weights_missing")]

    def load() -> Any:
        if faults:
            raise faults.pop()
        return lambda *batch: batch[0]

    network = host.network("a", load, memory_mb=10)
    with pytest.raises(AdapterError, match="no file"):
        network.run(ONE)
    np.testing.assert_array_equal(network.run(ONE), ONE)
    assert [one.users for one in host._networks.values()] == [0]


def test_too_little_memory_while_running_evicts_those_not_in_use(loads: Loads) -> None:
    device = Device()
    host = RenderHost(device, weights=Path("w"), memory_mb=100)
    host.network("idle", loads.of("idle"), memory_mb=10).run(ONE)

    def hungry(*batch: Any) -> Any:
        if "idle" in host.loaded:
            raise RuntimeError("CUDA out of memory.")
        return batch[0]

    np.testing.assert_array_equal(host.network("hungry", lambda: hungry, memory_mb=10).run(ONE), ONE)
    assert host.loaded == ("hungry",)
    assert device.tidied
    host.close()


def test_a_lost_device_is_remembered(host: RenderHost) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("CUDA error: device-side assert triggered\nCompile with ...")

    with pytest.raises(AdapterError):
        host.network("a", lambda: broken, memory_mb=10).run(ONE)
    assert host.failure == "RuntimeError: CUDA error: device-side assert triggered"


def test_a_lease_is_asked_for_where_leases_are_kept() -> None:
    asked: list[Any] = []

    @contextmanager
    def leases(resource: str, *, live: bool, wait_seconds: float) -> Iterator[Any]:
        asked.append((resource, live, wait_seconds))
        yield "held"

    host: Host = RenderHost(Device(), weights=Path("w"), memory_mb=1, leases=leases)
    with host.lease("http://server", live=True, wait_seconds=2) as held:
        assert held == "held"  # type: ignore[comparison-overlap]
    assert asked == [("http://server", True, 2)]


def test_the_budget_of_a_cpu_is_most_of_what_its_container_has_left(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  8192000 kB\nMemAvailable:  4096000 kB\n")
    free = Cpu(meminfo, tmp_path)
    assert (free.total_mb, free.free_mb) == (8000, 4000)
    (tmp_path / "memory.max").write_text(f"{2000 << 20}\n")
    (tmp_path / "memory.current").write_text(f"{500 << 20}\n")
    assert (free.total_mb, free.free_mb) == (2000, 1500)
    assert RenderHost(free, weights=tmp_path).memory_mb == 1200
    (tmp_path / "memory.max").write_text("max\n")
    assert free.free_mb == 4000
