"""Silence at the ends of a recording is cut, so that pauses are ours."""

import numpy as np
from numpy.typing import NDArray

WINDOW_SECONDS = 0.005
LEAD_SECONDS = 0.02
TAIL_SECONDS = 0.04
_FLOOR = 10 ** (-45 / 20)
_SILENCE = 1e-4  # -80 dBFS


def bounds(samples: NDArray[np.float32], sample_rate: int) -> tuple[int, int]:
    """First and last-plus-one sample of what is heard, with a little air around it.

    Heard is what lies within 45 dB of the loudest 5 ms. `samples` are mono, -1 to 1; silence gives
    (0, 0).
    """
    window = int(WINDOW_SECONDS * sample_rate)
    whole = len(samples) // window * window
    if not whole:
        return 0, len(samples)
    level = np.sqrt(np.mean(samples[:whole].reshape(-1, window) ** 2, axis=1))
    heard = np.flatnonzero(level > max(float(level.max()) * _FLOOR, _SILENCE))
    if not heard.size:
        return 0, 0
    start = int(heard[0]) * window - int(LEAD_SECONDS * sample_rate)
    end = (int(heard[-1]) + 1) * window + int(TAIL_SECONDS * sample_rate)
    return max(start, 0), min(end, len(samples))
