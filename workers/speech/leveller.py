"""`loudness.levelled` for sound that still arrives: the same samples, 16 ms later."""

import numpy as np
from numpy.typing import NDArray

from workers.speech import loudness

_BLOCK = loudness.LIMITER_BLOCK
_REACH = 2 * loudness.LIMITER_REACH * _BLOCK
"""So far to either side a peak is felt; whole limiter blocks, so that they lie as in the whole."""

Samples = NDArray[np.float32]


class Leveller:
    """A fixed gain, and a limiter that hears what follows before it lets go of a sample."""

    def __init__(self, gain_db: float) -> None:
        self._gain_db = gain_db
        self._before = np.zeros(0, np.float32)
        self._waiting = np.zeros(0, np.float32)

    def feed(self, samples: Samples) -> Samples:
        self._waiting = np.concatenate((self._waiting, samples))
        size = (len(self._waiting) - _REACH) // _BLOCK * _BLOCK
        return self._let_go(size) if size > 0 else np.zeros(0, np.float32)

    def flush(self) -> Samples:
        """The rest; nothing may be fed afterwards."""
        return self._let_go(len(self._waiting))

    def _let_go(self, size: int) -> Samples:
        context = np.concatenate((self._before, self._waiting[: size + _REACH]))
        begin = len(self._before)
        levelled = loudness.levelled(context, self._gain_db)[begin : begin + size]
        self._before = context[: begin + size][-_REACH:]
        self._waiting = self._waiting[size:]
        return levelled
