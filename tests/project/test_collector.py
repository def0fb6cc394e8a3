"""What Python's collector may look at, and how long it is seen to take."""

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from project import collector
from project.metrics import instruments, publishing
from project.metrics.collector import Watch


class Knot:
    """Garbage that only the collector finds."""

    def __init__(self) -> None:
        self.self = self


@pytest.fixture(autouse=True)
def as_found() -> Iterator[None]:
    thresholds = gc.get_threshold()
    callbacks = list(gc.callbacks)
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    gc.callbacks[:] = callbacks


def test_what_stays_as_long_as_the_process_is_not_looked_at_again() -> None:
    kept = [{"number": number} for number in range(1000)]
    collector.settle()
    assert gc.get_freeze_count() > len(kept)
    assert len(gc.get_objects()) < 1000
    assert gc.get_threshold() == collector.THRESHOLDS


def test_garbage_is_still_found_afterwards() -> None:
    collector.settle()
    for _ in range(50):
        Knot()
    assert gc.collect() >= 50


def test_how_long_it_takes_is_told(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "SOURCES", [])
    settings.PROCESS_NAME = "swept"
    watch = Watch()
    gc.collect()
    watch.say()
    longest = instruments.collector_longest.labels("swept")._value.get()
    assert longest > 0
    assert instruments.collector_seconds.labels("swept")._value.get() >= longest
    watch.say()  # for another reader, at once
    assert instruments.collector_longest.labels("swept")._value.get() == longest


def test_no_figure_is_written_while_it_looks(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A collection may begin within a figure's own lock."""
    monkeypatch.setattr(publishing, "SOURCES", [])
    settings.PROCESS_NAME = "locked"
    Watch()
    with instruments.collector_seconds._lock, instruments.collector_longest._lock:
        gc.collect()
