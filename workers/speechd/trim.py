"""Silence at the ends of a piece is cut, so that pauses are the caller's."""

import numpy as np

from workers.speechd.engines.base import Samples

WINDOW_SECONDS = 0.005
LEAD_SECONDS = 0.02
TAIL_SECONDS = 0.04
_FLOOR = 10 ** (-45 / 20)
"""Below this share of the loudest window nobody hears a voice."""


def bounds(samples: Samples, sample_rate: int) -> tuple[int, int]:
    """First and last-plus-one sample of what is heard, with a little air; (0, 0) for silence."""
    window = int(WINDOW_SECONDS * sample_rate)
    whole = len(samples) // window * window
    if not whole:
        return 0, len(samples)
    level = np.sqrt(np.mean(samples[:whole].reshape(-1, window) ** 2, axis=1))
    heard = np.flatnonzero(level > max(float(level.max()) * _FLOOR, 1e-4))
    if not heard.size:
        return 0, 0
    start = int(heard[0]) * window - int(LEAD_SECONDS * sample_rate)
    end = (int(heard[-1]) + 1) * window + int(TAIL_SECONDS * sample_rate)
    return max(start, 0), min(end, len(samples))
