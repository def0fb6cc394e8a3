"""How fast this process draws each model, and what is wrong with it: what its heartbeat tells."""

from __future__ import annotations

import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from project.metrics import instruments
from workers.adapters.errors import AdapterError

Kind = Literal["batch", "live"]

BUSY = "model_busy"
"""The code of a server that somebody else has: what wanted it waits, and nothing failed."""
KEPT = 32
"""Fragments of each model that a figure is made of."""


@dataclass(frozen=True, slots=True)
class Figure:
    """`fps` while it draws, None before it drew anything; `problem` is empty while all is well.

    A model that is `down` takes no sessions here until it works again.
    """

    fps: float | None = None
    first_frame_ms: float | None = None
    problem: str = ""
    down: bool = False


@dataclass(slots=True)
class _Kept:
    drawn: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=KEPT))
    first_ms: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    problem: str = ""
    down: bool = False


_lock = threading.Lock()
_models: dict[str, _Kept] = {}


def drew(model: str, frames: int, seconds: float, first_ms: float) -> None:
    """A fragment of `frames` took so long; its first picture was there after `first_ms`."""
    with _lock:
        kept = _models.setdefault(model, _Kept())
        kept.drawn.append((frames, seconds))
        kept.first_ms.append(first_ms)
        kept.problem, kept.down = "", False


def failed(model: str, problem: str, *, down: bool = False) -> None:
    """Something is wrong, until the model draws again. `down`: it was tried, and will not."""
    with _lock:
        kept = _models.setdefault(model, _Kept())
        kept.problem, kept.down = problem, down


def works(model: str) -> None:
    """The model was tried, and can be used."""
    failed(model, "")


def known() -> set[str]:
    """The models that something is known of."""
    with _lock:
        return set(_models)


def figure(model: str) -> Figure:
    with _lock:
        kept = _models.get(model, _Kept())
        seconds = sum(took for _, took in kept.drawn)
        return Figure(
            fps=round(sum(frames for frames, _ in kept.drawn) / seconds, 1) if seconds else None,
            first_frame_ms=round(statistics.median(kept.first_ms), 1) if kept.first_ms else None,
            problem=kept.problem,
            down=kept.down,
        )


def forget() -> None:
    with _lock:
        _models.clear()


class Drawing:
    """One fragment under way. `check` goes into `render_fragment` in the place of its own."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._frames = 0
        self.first_ms: float | None = None
        self.stopped = False  # by whoever wanted it

    def checking(self, check: Callable[[], None] = lambda: None) -> Callable[[], None]:
        """What is called before each frame: the second call means that the first frame is there."""

        def look() -> None:
            self._look()
            try:
                check()
            except BaseException:
                self.stopped = True
                raise

        return look

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._began

    def _look(self) -> None:
        self._frames += 1
        if self._frames == 2:
            self.first_ms = self.seconds * 1000


def _count(model: str, kind: Kind, frames: int, seconds: float) -> None:
    instruments.fragments.labels(model, kind, "drawn").inc()
    instruments.fragment_seconds.labels(model, kind).observe(seconds)
    instruments.render_frames.labels(model, kind).inc(frames)
    instruments.render_seconds.labels(model, kind).inc(seconds)


@contextmanager
def drawing(model: str, frames: int, kind: Kind = "batch") -> Iterator[Drawing]:
    """Measure one fragment: `with drawing(...) as d: render_fragment(..., check=d.checking(check))`."""
    begun = Drawing()
    try:
        yield begun
    except AdapterError as error:
        failed(model, f"{error.code}: {error}")
        instruments.fragments.labels(model, kind, "busy" if error.code == BUSY else "failed").inc()
        raise
    except Exception:
        if not begun.stopped:
            instruments.fragments.labels(model, kind, "failed").inc()
        raise
    seconds = begun.seconds
    _count(model, kind, frames, seconds)
    drew(model, frames, seconds, seconds * 1000 if begun.first_ms is None else begun.first_ms)
