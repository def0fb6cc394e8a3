"""What threads ask of a network at once goes through it together, and comes back to who asked."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from workers.adapters.errors import AdapterError
from workers.gpu import batcher as module
from workers.gpu.batcher import Batcher


class Network:
    """Doubles its rows; stands still while the gate is shut, and writes down every run."""

    def __init__(self, fits: int = 1000) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.runs: list[list[int]] = []
        self.fits = fits

    def __call__(self, *batch: Any) -> Any:
        self.entered.release()
        self.gate.wait(20)
        rows = batch[0]
        if len(rows) > self.fits:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        self.runs.append([int(row) for row in rows.reshape(len(rows), -1)[:, 0]])
        if -1 in rows:
            raise ValueError("poison")
        return rows * 2


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def made() -> Iterator[Callable[..., Batcher]]:
    kept: list[Batcher] = []

    def make(network: Any, **options: Any) -> Batcher:
        kept.append(Batcher("net", network, **{"max_batch": 8} | options))
        return kept[-1]

    yield make
    for one in kept:
        one.close()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def rows(*values: int) -> Any:
    return np.array(values, np.float32).reshape(-1, 1)


def behind(
    network: Network, batcher: Batcher, threads: ThreadPoolExecutor, *asked: tuple[Any, bool]
) -> list["Future[Any]"]:
    """Ask for all of these while the network is busy with something else."""
    network.gate.clear()
    first = threads.submit(batcher.run, rows(0))
    assert network.entered.acquire(timeout=10)
    waiting = []
    for batch, live in asked:
        waiting.append(threads.submit(batcher.run, batch, live=live))
        known = len(waiting)
        while len(batcher._live) + len(batcher._others) < known:
            time.sleep(0.001)
    network.gate.set()
    first.result(10)
    return waiting


def test_what_several_ask_goes_through_together_and_back_to_each(
    network: Network, made: Callable[..., Batcher], threads: ThreadPoolExecutor
) -> None:
    batcher = made(network)
    asked = [rows(1, 2), rows(3), rows(4, 5, 6)]
    results = behind(network, batcher, threads, *((batch, False) for batch in asked))
    for batch, result in zip(asked, results, strict=True):
        np.testing.assert_array_equal(result.result(10), batch * 2)
    assert network.runs == [[0], [1, 2, 3, 4, 5, 6]]


def test_live_rows_go_first_and_alone(
    network: Network, made: Callable[..., Batcher], threads: ThreadPoolExecutor
) -> None:
    batcher = made(network)
    asked = [(rows(1, 2), False), (rows(10), True), (rows(3), False), (rows(11, 12), True)]
    for result in behind(network, batcher, threads, *asked):
        result.result(10)
    assert network.runs == [[0], [10, 11, 12], [1, 2, 3]]


def test_a_live_request_waits_for_one_run_of_a_large_batch(
    network: Network, made: Callable[..., Batcher], threads: ThreadPoolExecutor
) -> None:
    batcher = made(network, max_batch=2)
    large, live = behind(network, batcher, threads, (rows(1, 2, 3, 4, 5), False), (rows(10), True))
    np.testing.assert_array_equal(large.result(10), rows(1, 2, 3, 4, 5) * 2)
    np.testing.assert_array_equal(live.result(10), rows(20))
    assert network.runs == [[0], [10], [1, 2], [3, 4], [5]]


def test_no_run_is_larger_than_the_network_allows(network: Network, made: Callable[..., Batcher]) -> None:
    result = made(network, max_batch=3).run(rows(*range(1, 8)))
    np.testing.assert_array_equal(result, rows(*range(1, 8)) * 2)
    assert [len(run) for run in network.runs] == [3, 3, 1]


def test_only_arrays_of_one_kind_share_a_run(
    network: Network, made: Callable[..., Batcher], threads: ThreadPoolExecutor
) -> None:
    batcher = made(network)
    wide, whole = np.ones((2, 3), np.float32) * 7, np.array([[9]], np.int16)
    asked = [(rows(1), False), (wide, False), (whole, False), (rows(2), False)]
    results = behind(network, batcher, threads, *asked)
    for (batch, _), result in zip(asked, results, strict=True):
        assert result.result(10).dtype == batch.dtype
        np.testing.assert_array_equal(result.result(10), batch * 2)
    assert network.runs == [[0], [1, 2], [7, 7], [9]]


def test_a_batch_that_does_not_fit_is_halved_and_stays_small(made: Callable[..., Batcher]) -> None:
    network, rescued = Network(fits=2), []
    batcher = made(network, rescue=lambda: rescued.append(1))
    np.testing.assert_array_equal(batcher.run(rows(*range(8))), rows(*range(8)) * 2)
    assert [len(run) for run in network.runs] == [2, 2, 2, 2]
    batcher.run(rows(*range(8)))
    assert [len(run) for run in network.runs[4:]] == [2, 2, 2, 2]
    assert not rescued


def test_the_batch_grows_again_after_many_good_runs(
    made: Callable[..., Batcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GOOD_RUNS", 3)
    network = Network(fits=4)
    batcher = made(network)
    batcher.run(rows(*range(8)))
    network.fits = 8
    batcher.run(rows(1))
    batcher.run(rows(*range(8)))
    assert len(network.runs[-1]) == 8


def test_room_is_made_before_a_single_row_is_given_up(made: Callable[..., Batcher]) -> None:
    network = Network(fits=0)

    def rescue() -> None:
        network.fits = 1

    np.testing.assert_array_equal(made(network, rescue=rescue).run(rows(1, 2)), rows(2, 4))


def test_a_row_that_never_fits_is_out_of_memory_and_may_be_tried_elsewhere(
    made: Callable[..., Batcher],
) -> None:
    network = Network(fits=0)
    batcher = made(network)
    with pytest.raises(AdapterError) as caught:
        batcher.run(rows(1, 2))
    assert (caught.value.code, caught.value.retryable) == ("out_of_memory", True)
    network.fits = 8
    np.testing.assert_array_equal(batcher.run(rows(1, 2)), rows(2, 4))


def test_what_breaks_one_request_breaks_no_other(
    network: Network, made: Callable[..., Batcher], threads: ThreadPoolExecutor
) -> None:
    good, bad, other = behind(
        network, made(network), threads, (rows(1), False), (rows(-1), False), (rows(3, 4), False)
    )
    np.testing.assert_array_equal(good.result(10), rows(2))
    np.testing.assert_array_equal(other.result(10), rows(6, 8))
    with pytest.raises(AdapterError) as caught:
        bad.result(10)
    assert caught.value.code == "model_error"


def test_a_network_that_makes_too_little_is_not_believed(made: Callable[..., Batcher]) -> None:
    with pytest.raises(AdapterError, match="made 1 of 2"):
        made(lambda batch: batch[:1]).run(rows(1, 2))


def test_a_lost_device_is_told_once_and_not_tried_again(made: Callable[..., Batcher]) -> None:
    runs: list[int] = []
    lost: list[Exception] = []

    def broken(batch: Any) -> Any:
        runs.append(len(batch))
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with pytest.raises(AdapterError) as caught:
        made(broken, lost=lost.append).run(rows(1, 2))
    assert (caught.value.code, caught.value.retryable) == ("model_error", True)
    assert (runs, len(lost)) == ([2], 1)


@pytest.mark.parametrize("batch", [(), (rows(),), (rows(1, 2), rows(1))])
def test_arrays_that_do_not_belong_together_are_refused(
    network: Network, made: Callable[..., Batcher], batch: tuple[Any, ...]
) -> None:
    with pytest.raises(ValueError, match="net"):
        made(network).run(*batch)


def test_nothing_is_begun_after_the_end(network: Network, made: Callable[..., Batcher]) -> None:
    batcher = made(network)
    batcher.run(rows(1))
    batcher.close()
    with pytest.raises(AdapterError) as caught:
        batcher.run(rows(1))
    assert caught.value.retryable


def test_no_row_of_one_thread_reaches_another(
    network: Network, made: Callable[..., Batcher], threads: ThreadPoolExecutor
) -> None:
    batcher = made(network, max_batch=7)

    def ask(seed: int) -> bool:
        chance = np.random.default_rng(seed)
        for turn in range(40):
            batch = np.full((int(chance.integers(1, 12)), 2), seed * 1000 + turn, np.float32)
            if not np.array_equal(batcher.run(batch, live=bool(chance.integers(2))), batch * 2):
                return False
        return True

    assert all(threads.map(ask, range(12)))


def test_a_run_that_does_not_end_is_given_up_by_everybody_who_waits(
    network: Network,
    made: Callable[..., Batcher],
    threads: ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "STUCK_SECONDS", 0.0)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    lost: list[Exception] = []
    batcher = made(network, lost=lost.append)
    network.gate.clear()
    asked = [threads.submit(batcher.run, rows(1)), threads.submit(batcher.run, rows(2))]
    try:
        errors = [one.exception(timeout=20) for one in asked]
        batcher.close()  # does not wait for it either
    finally:
        network.gate.set()
    assert all(isinstance(error, AdapterError) and error.retryable for error in errors)
    assert lost


def test_what_ends_a_thread_does_not_end_the_batchers(made: Callable[..., Batcher]) -> None:
    def forward(*batch: Any) -> Any:
        if -1 in batch[0]:
            raise SystemExit
        return batch[0] * 2

    batcher = made(forward)
    with pytest.raises(AdapterError):
        batcher.run(rows(-1))
    assert np.array_equal(batcher.run(rows(3)), rows(3) * 2)
