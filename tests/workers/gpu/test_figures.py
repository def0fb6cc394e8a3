"""What a heartbeat tells of each model."""

from collections.abc import Iterator

import pytest

from project.metrics import instruments
from workers.adapters.errors import AdapterError
from workers.gpu import figures
from workers.gpu.figures import Figure


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    figures.forget()
    yield
    figures.forget()


def test_nothing_is_claimed_before_anything_was_drawn() -> None:
    assert figures.figure("wav2lip") == Figure()
    assert figures.known() == set()


def test_frames_per_second_count_all_fragments_by_their_time() -> None:
    figures.drew("wav2lip", 25, 0.5, 40.0)
    figures.drew("wav2lip", 75, 1.5, 60.0)
    figures.drew("wav2lip", 50, 0.5, 90.0)
    assert figures.figure("wav2lip") == Figure(fps=60.0, first_frame_ms=60.0)
    assert figures.figure("musetalk").fps is None


def test_only_the_last_fragments_count() -> None:
    figures.drew("wav2lip", 25, 100.0, 1.0)
    for _ in range(figures.KEPT):
        figures.drew("wav2lip", 25, 0.1, 1.0)
    assert figures.figure("wav2lip").fps == 250.0


def test_a_problem_lasts_until_the_model_draws_again() -> None:
    figures.failed("wav2lip", "no", down=True)
    assert figures.figure("wav2lip") == Figure(problem="no", down=True)
    figures.drew("wav2lip", 25, 1.0, 40.0)
    assert figures.figure("wav2lip") == Figure(fps=25.0, first_frame_ms=40.0)


def test_a_fragment_is_measured_from_its_beginning_to_its_first_frame_and_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter([10.0, 10.25, 12.0])
    monkeypatch.setattr("workers.gpu.figures.time.perf_counter", lambda: next(clock))
    looked: list[int] = []
    with figures.drawing("wav2lip", 50) as drawing:
        check = drawing.checking(lambda: looked.append(1))
        for _ in range(3):
            check()
    assert figures.figure("wav2lip") == Figure(fps=25.0, first_frame_ms=250.0)
    assert len(looked) == 3


def test_a_fragment_of_one_frame_is_there_when_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 10.5])
    monkeypatch.setattr("workers.gpu.figures.time.perf_counter", lambda: next(clock))
    with figures.drawing("wav2lip", 1) as drawing:
        drawing.checking()()
    assert figures.figure("wav2lip") == Figure(fps=2.0, first_frame_ms=500.0)


def test_what_a_model_says_went_wrong_is_told_and_passed_on() -> None:
    fault = AdapterError("It is away.", provider="flashtalk", retryable=True, code="model_unreachable")
    with pytest.raises(AdapterError), figures.drawing("flashtalk", 25):
        raise fault
    assert figures.figure("flashtalk") == Figure(problem="model_unreachable: It is away.")


def counted(outcome: str) -> float:
    return float(instruments.fragments.labels("wav2lip", "batch", outcome)._value.get())


def test_an_interrupted_fragment_is_no_figure_and_no_problem() -> None:
    def stop() -> None:
        raise KeyError

    before = counted("failed")
    with pytest.raises(KeyError), figures.drawing("wav2lip", 25) as drawing:
        drawing.checking(stop)()
    assert figures.figure("wav2lip") == Figure()
    assert counted("failed") == before


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (RuntimeError("out of memory"), "failed"),
        (AdapterError("Away.", provider="x", retryable=True, code="model_unreachable"), "failed"),
        (AdapterError("Taken.", provider="x", retryable=True, code="model_busy"), "busy"),
    ],
)
def test_every_fragment_that_is_not_drawn_is_counted(fault: Exception, outcome: str) -> None:
    before = {name: counted(name) for name in ("drawn", "failed", "busy")}
    with pytest.raises(type(fault)), figures.drawing("wav2lip", 25):
        raise fault
    grown = {name: counted(name) - was for name, was in before.items() if counted(name) != was}
    assert grown == {outcome: 1}
