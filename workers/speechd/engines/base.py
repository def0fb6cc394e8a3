"""What the sidecar wants of a voice engine."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from workers.speechd.line import Line

Samples = NDArray[np.float32]
"""Mono, about -1 to 1."""


@dataclass(frozen=True, slots=True)
class Take:
    """One line as it was said: `edges` are seconds, one more than the line has letters."""

    samples: Samples
    edges: tuple[float, ...]


class Engine(Protocol):
    """Blocking and used by one thread.

    `early_seconds` is by how much the sound comes before the network's own durations say: it was
    measured by where closures and vowels lie (docs/benchmarks/speech.md).
    """

    sample_rate: int
    early_seconds: float

    def say(self, line: Line, *, voice: str, speed: float) -> Take: ...


def edges_of(frames: NDArray[np.float32], seconds_per_frame: float) -> tuple[float, ...]:
    """Edges from the frames of every token, of which the first and the last are padding."""
    ends = np.cumsum(np.asarray(frames, np.float64).ravel()) * seconds_per_frame
    return tuple(float(end) for end in ends[:-1])
