"""How loud speech is, and bringing it to where it should be.

The meter follows ITU-R BS.1770-4 for one channel: K-weighting, 400 ms blocks every 100 ms, an absolute
gate at -70 LUFS and a relative one 10 LU below.
"""

import numpy as np
from numpy.typing import NDArray

from workers.speech.resample import TIMELINE_RATE

TARGET_LUFS = -19.0
CEILING_DB = -1.0

Samples = NDArray[np.float32]
"""Mono, 48 kHz, -1 to 1."""

_OFFSET = -0.691
_ABSOLUTE_GATE = -70.0
_RELATIVE_GATE = -10.0
_BLOCK = TIMELINE_RATE * 4 // 10
_STEP = TIMELINE_RATE // 10
LIMITER_BLOCK = 48  # 1 ms
LIMITER_REACH = 8

# The two filters of BS.1770 at 48 kHz, as (b, a).
_SHELF = ((1.53512485958697, -2.69169618940638, 1.19839281085285), (1.0, -1.69065929318241, 0.73248077421585))
_HIGH_PASS = ((1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621))


def lufs(samples: Samples) -> float:
    """Integrated loudness; -inf for silence. Less than 400 ms is measured as one block."""
    if not samples.size:
        return float("-inf")
    energy = _block_energy(_weighted(samples))
    loud = energy[_level(energy) > _ABSOLUTE_GATE]
    if not loud.size:
        return float("-inf")
    gate = float(_level(loud.mean())) + _RELATIVE_GATE
    return float(_level(loud[_level(loud) > gate].mean()))


def levelled(samples: Samples, gain_db: float) -> Samples:
    """Apply a gain, and hold peaks below the ceiling without distorting them."""
    raised = (samples * 10 ** (gain_db / 20)).astype(np.float32)
    ceiling = 10 ** (CEILING_DB / 20)
    if float(np.abs(raised).max(initial=0.0)) <= ceiling:
        return raised
    held: Samples = np.clip(raised * _limiter_gain(raised, ceiling), -ceiling, ceiling)
    return held


def _weighted(samples: Samples) -> NDArray[np.float64]:
    """K-weighted, filtered by its frequency response; padded so that the ends do not meet."""
    size = 1 << (len(samples) + TIMELINE_RATE // 5 - 1).bit_length()
    z = np.exp(-2j * np.pi * np.fft.rfftfreq(size))
    response = np.ones_like(z)
    for b, a in (_SHELF, _HIGH_PASS):
        response *= (b[0] + b[1] * z + b[2] * z**2) / (a[0] + a[1] * z + a[2] * z**2)
    return np.fft.irfft(np.fft.rfft(samples, size) * response, size)[: len(samples)]


def _block_energy(weighted: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(weighted) < _BLOCK:
        return np.array([np.mean(weighted**2)])
    total = np.concatenate([[0.0], np.cumsum(weighted**2)])
    starts = np.arange(0, len(weighted) - _BLOCK + 1, _STEP)
    return np.asarray((total[starts + _BLOCK] - total[starts]) / _BLOCK)


def _level(energy: NDArray[np.float64] | float) -> NDArray[np.float64]:
    return _OFFSET + 10 * np.log10(np.maximum(energy, 1e-20))


def _limiter_gain(samples: Samples, ceiling: float) -> Samples:
    """A smooth gain: 1 ms blocks, seen 8 ms ahead, so that it has fallen when the peak comes."""
    blocks = -(-len(samples) // LIMITER_BLOCK)
    padded = np.zeros(blocks * LIMITER_BLOCK, np.float32)
    padded[: len(samples)] = np.abs(samples)
    peaks = padded.reshape(blocks, LIMITER_BLOCK).max(axis=1)
    needed = np.minimum(1.0, ceiling / np.maximum(peaks, 1e-9))
    reach = np.pad(needed, LIMITER_REACH, constant_values=1.0)
    lowest = np.lib.stride_tricks.sliding_window_view(reach, 2 * LIMITER_REACH + 1).min(axis=1)
    window = np.hanning(2 * LIMITER_REACH + 1)[1:-1]
    smooth = np.convolve(np.pad(lowest, LIMITER_REACH - 1, mode="edge"), window / window.sum(), "valid")
    centres = np.arange(blocks) * LIMITER_BLOCK + LIMITER_BLOCK / 2
    return np.interp(np.arange(len(samples)), centres, smooth).astype(np.float32)
