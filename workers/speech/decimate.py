"""48 kHz to 16 kHz for renderers that listen while the sound still arrives."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

STEP = 3
TAPS = 97  # odd: the filter has a middle sample, so nothing is delayed
MARGIN = TAPS // 2
"""So many 48 kHz samples behind a sample have to be known: 1 ms."""
CUTOFF = 0.46  # of the 16 kHz rate; 7.4 kHz, below its half

Filter = tuple[NDArray[np.float32], ...]


class Decimator:
    """Mono s16le in and out; sample n of the output lies exactly at sample 3n of the input."""

    def __init__(self) -> None:
        self._held = np.zeros(MARGIN, np.float32)

    def feed(self, pcm: bytes) -> bytes:
        """Return the samples that are certain now."""
        held = np.concatenate((self._held, np.frombuffer(pcm, "<i2").astype(np.float32)))
        count = max((len(held) - TAPS) // STEP + 1, 0)
        self._held = held[count * STEP :]
        return _filtered(held, count) if count else b""

    def flush(self) -> bytes:
        """Return the rest, as if silence followed."""
        return self.feed(bytes(2 * MARGIN))


def _filtered(samples: NDArray[np.float32], count: int) -> bytes:
    """Filter at every third sample only: a third of the filter for a third of the samples, three times."""
    heard = np.zeros(count, np.float32)
    for phase, taps in enumerate(_phases()):
        strand = samples[phase::STEP][: count + len(taps) - 1]
        heard += np.convolve(strand, taps, "valid")
    return np.clip(np.rint(heard), -32768, 32767).astype("<i2").tobytes()


@cache
def _phases() -> Filter:
    positions = np.arange(TAPS) - MARGIN
    ideal = np.sinc(2 * CUTOFF / STEP * positions) * np.blackman(TAPS)
    taps = (ideal / ideal.sum()).astype(np.float32)
    return tuple(taps[phase::STEP][::-1].copy() for phase in range(STEP))
