"""Long sound in pieces that a model can take, cut where nobody speaks."""

from collections.abc import Iterator
from typing import Any

import numpy as np

Samples = Any  # float32, -1 to 1
RATE = 16_000
WINDOW = RATE // 50
SMOOTH = 11
"""Windows that are looked at together: a pause lasts 0.2 s, the stop of a consonant does not."""
SILENCE = 10 ** (-60 / 20)
"""Pieces that are nowhere louder hold no speech."""


def pieces(samples: Samples, longest_seconds: float) -> Iterator[tuple[int, int]]:
    """Start and end of each piece that is not silent; none is longer.

    A piece is cut at the quietest moment of the last third that it may have.
    """
    longest, start = int(longest_seconds * RATE), 0
    while start < len(samples):
        end = len(samples)
        if end - start > longest:
            end = _quietest(samples, start + longest * 2 // 3, start + longest)
        if _loudest(samples[start:end]) > SILENCE:
            yield start, end
        start = end


def _quietest(samples: Samples, begin: int, end: int) -> int:
    whole = (end - begin) // WINDOW
    steps = samples[begin : begin + whole * WINDOW].reshape(whole, WINDOW)
    power = np.convolve(np.mean(steps.astype(np.float64) ** 2, axis=1), np.ones(SMOOTH), "valid")
    return begin + (int(np.argmin(power)) + SMOOTH // 2) * WINDOW + WINDOW // 2


def _loudest(samples: Samples) -> float:
    """The level of the loudest 20 ms."""
    padded = np.pad(samples, (0, -len(samples) % WINDOW)).reshape(-1, WINDOW)
    return float(np.sqrt(np.max(np.mean(padded**2, axis=1), initial=0.0)))
