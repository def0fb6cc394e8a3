"""Sound as Wav2Lip hears it: a mel spectrogram of 80 columns a second, and 16 of them for each frame.

The recipe is that of the public training code: pre-emphasis 0.97, windows of 50 ms every 12.5 ms,
80 Slaney bands from 55 to 7600 Hz, decibels from -100 to 0 mapped to -4 to 4. Column c is centred on
sample 200 c. Sound goes on as silence before its beginning and behind its end (padding with zeros),
so that a column depends on nothing but the samples around it, whoever computes it.
"""

import math
from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from workers.adapters.avatar.base import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME, AudioWindow, Pcm

HOP, WINDOW, BANDS = 200, 800, 80
COLUMNS_PER_SECOND = SAMPLE_RATE // HOP
STEP = 16  # columns that one frame hears
LOWEST_HZ, HIGHEST_HZ = 55.0, 7600.0
EMPHASIS = 0.97
FLOOR, REFERENCE_DB, RANGE_DB, LIMIT = 1e-5, 20.0, 100.0, 4.0
Floats = NDArray[np.float64]
Single = NDArray[np.float32]


def column_count(samples: int) -> int:
    """Columns of a piece of sound."""
    return 1 + samples // HOP


def first_column(frame: int, fps: int = FPS) -> int:
    """The first of the columns that a frame hears."""
    return frame * COLUMNS_PER_SECOND // fps


def complete_windows(columns: int, fps: int = FPS) -> int:
    """How many frames find all their columns among so many."""
    return max(0, math.ceil((columns - STEP + 1) * fps / COLUMNS_PER_SECOND))


def frame_count(samples: int, fps: int = FPS) -> int:
    """Frames of a piece of sound; the last one may begin shortly before its end."""
    return -(-samples * fps // SAMPLE_RATE)


def spectrogram(pcm: Pcm, first: int, count: int, *, origin: int = 0) -> Single:
    """Columns `first` to `first + count - 1` of 16 kHz sound, shape (80, count), -4 to 4.

    `origin` is the place in `pcm` of the sample that column 0 is centred on.
    """
    begin = origin + first * HOP - WINDOW // 2
    length = (count - 1) * HOP + WINDOW
    sound = _cut(pcm, begin - 1, length + 1).astype(np.float64) / 32768
    emphasised = sound[1:] - EMPHASIS * sound[:-1]
    pieces = sliding_window_view(emphasised, WINDOW)[::HOP] * _hann()
    heard = _filters() @ np.abs(np.fft.rfft(pieces, axis=1)).T
    level = 20 * np.log10(np.maximum(FLOOR, heard)) - REFERENCE_DB
    scaled = 2 * LIMIT * (level + RANGE_DB) / RANGE_DB - LIMIT
    return np.clip(scaled, -LIMIT, LIMIT).astype(np.float32)


def windows(window: AudioWindow) -> Single:
    """What each frame of a window hears, shape (frames, 80, 16).

    Columns are counted from frame 0, whichever frames are asked for: parts of an utterance that are
    heard apart are heard alike.
    """
    frames = range(window.start_frame, window.start_frame + window.frames)
    begin, end = first_column(frames[0]), first_column(frames[-1]) + STEP
    origin = window.lookback - window.start_frame * SAMPLES_PER_FRAME
    columns = spectrogram(window.pcm, begin, end - begin, origin=origin)
    places = [first_column(frame) - begin for frame in frames]
    return np.stack([columns[:, place : place + STEP] for place in places])


def _cut(pcm: Pcm, begin: int, length: int) -> Pcm:
    """A part of the sound, with silence where there is none."""
    out = np.zeros(length, np.int16)
    low, high = max(0, begin), min(len(pcm), begin + length)
    if high > low:
        out[low - begin : high - begin] = pcm[low:high]
    return out


@cache
def _hann() -> Floats:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)


@cache
def _filters() -> Floats:
    """Triangles over the bins of the spectrum, each of area 1 per Hz, shape (80, 401)."""
    bins = np.fft.rfftfreq(WINDOW, 1 / SAMPLE_RATE)
    corners = _hertz(np.linspace(_mel(LOWEST_HZ), _mel(HIGHEST_HZ), BANDS + 2))
    low, middle, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    rising, falling = (bins - low) / (middle - low), (high - bins) / (high - middle)
    return np.asarray(np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low))


# Slaney's scale: straight up to 1 kHz, logarithmic above, 27 steps to each factor of 6.4.
_LINEAR_HZ, _CORNER_HZ = 200 / 3, 1000.0
_CORNER_MEL, _LOG_STEP = _CORNER_HZ / _LINEAR_HZ, math.log(6.4) / 27


def _mel(hertz: float) -> float:
    if hertz < _CORNER_HZ:
        return hertz / _LINEAR_HZ
    return _CORNER_MEL + math.log(hertz / _CORNER_HZ) / _LOG_STEP


def _hertz(mel: Floats) -> Floats:
    above = _CORNER_HZ * np.exp(_LOG_STEP * (mel - _CORNER_MEL))
    return np.where(mel < _CORNER_MEL, mel * _LINEAR_HZ, above)
