"""What MuseTalk hears of the sound around a frame: columns of a log-mel spectrogram.

Whisper's encoder sees a whole window at once, and so do its hidden states: a frame's features depend on
where in the window it stands, on all sound around it, and on the silence that fills the window up to 30 s.
Cutting speech into windows would therefore leave seams. Here each frame gets a window of its own: the same
stretch of sound before and after it, at the same place, filled up in the same way. What a frame hears is
then a function of the sound around it alone, however the speech was cut, and no frame is nearer to the
edge of its window than another.

100 columns and 50 tokens a second: a frame is 4 columns or 2 tokens long.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from workers.adapters.avatar.base import SAMPLES_PER_FRAME, AudioWindow, Pcm, Profile

Floats = NDArray[np.float32]
HOP, WINDOW, BANDS, RATE = 160, 400, 80, 16_000
COLUMNS_PER_FRAME = SAMPLES_PER_FRAME // HOP
TOKENS_PER_FRAME = 2
SIDE_FRAMES = 2
"""MuseTalk looks at two frames before and two after the one that it draws."""
TOKENS = TOKENS_PER_FRAME * (2 * SIDE_FRAMES + 1)
LAYERS = 5
RANGE = 8.0
"""What is more than 80 dB below the loudest is not told apart from silence."""
LOUDEST = 1.5
"""The loudest band of speech at the level that the service gives it, log10 of its power.

Whisper takes the loudest of the whole recording, which a window cannot know.
"""
FLOOR = (LOUDEST - RANGE + 4) / 4
REACH = SIDE_FRAMES * COLUMNS_PER_FRAME + 3
"""Columns beyond a frame that its last token hears through the two convolutions."""


@dataclass(frozen=True, slots=True)
class Context:
    """How many columns before the first of a frame and after its last are heard with it."""

    before: int
    after: int

    @classmethod
    def of(cls, profile: Profile) -> Context:
        """As much as the sound that the profile asks for allows. Raises `ValueError`."""
        edge = WINDOW // 2
        before = (profile.lookback_samples - edge) // SAMPLES_PER_FRAME * COLUMNS_PER_FRAME
        after = (profile.lookahead_samples - edge) // HOP + 1
        if min(before, after) < REACH:
            raise ValueError(
                f"{profile.id}: MuseTalk hears at least {REACH * HOP + edge + SAMPLES_PER_FRAME} samples "
                "before a frame and after it (lookback_samples, lookahead_samples)."
            )
        return cls(before, after)

    @property
    def columns(self) -> int:
        return self.before + COLUMNS_PER_FRAME + self.after

    @property
    def first_token(self) -> int:
        """The first of the ten tokens that belong to the frame."""
        return self.before // 2 - SIDE_FRAMES * TOKENS_PER_FRAME


def windows(window: AudioWindow, context: Context) -> Floats:
    """What each frame of a window hears, shape (frames, 80, context.columns)."""
    start = window.lookback - context.before * HOP - WINDOW // 2
    columns = (window.frames - 1) * COLUMNS_PER_FRAME + context.columns
    stop = start + (columns - 1) * HOP + WINDOW
    if start < 0 or stop > len(window.pcm):
        raise ValueError("The window holds less sound than the profile asks for.")
    spectrum = mel(window.pcm[start:stop])
    return np.ascontiguousarray(
        sliding_window_view(spectrum, context.columns, axis=1)[:, ::COLUMNS_PER_FRAME].swapaxes(0, 1)
    )


def mel(pcm: Pcm) -> Floats:
    """Whisper's log-mel spectrogram, shape (80, columns), of sound that is not padded.

    Column c hears samples 160 c to 160 c + 399; those of Whisper begin 200 samples earlier.
    """
    sound = pcm.astype(np.float32) / np.float32(32768)
    pieces = sliding_window_view(sound, WINDOW)[::HOP] * _hann()
    power = np.abs(np.fft.rfft(pieces, axis=1)) ** 2
    bands = np.log10(np.maximum(power @ filters(), 1e-10))
    return np.asarray((np.maximum(bands, LOUDEST - RANGE) + 4).T / 4, dtype=np.float32)


def frame_windows(tokens: Floats) -> Floats:
    """The vectors of every frame of a whole utterance as MuseTalk itself cuts them, for comparison.

    `tokens` has shape (tokens, layers, size), 50 tokens a second; the result (frames, tokens * layers, size).
    Missing tokens before and after are zeros.
    """
    side = SIDE_FRAMES * TOKENS_PER_FRAME
    padded = np.pad(tokens, ((side, 3 * side), (0, 0), (0, 0)))
    starts = range(0, len(tokens) - len(tokens) % TOKENS_PER_FRAME, TOKENS_PER_FRAME)
    return np.stack([padded[start : start + TOKENS].reshape(-1, tokens.shape[2]) for start in starts])


@cache
def filters() -> NDArray[np.float64]:
    """80 triangles on Slaney's scale from 0 to 8000 Hz, each of area 1; shape (201, 80)."""
    edges = _hertz(np.linspace(0.0, float(_mels(RATE / 2)), BANDS + 2))
    bins = np.linspace(0.0, RATE / 2, WINDOW // 2 + 1)[:, None]
    rising = (bins - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - bins) / np.diff(edges)[1:]
    return np.asarray(np.maximum(0.0, np.minimum(rising, falling)) * 2 / (edges[2:] - edges[:-2]))


def _mels(hertz: float) -> float:
    """Linear below 1000 Hz, 200/3 Hz each; above it 27 to a factor of 6.4."""
    return 15.0 + float(np.log(hertz / 1000)) * 27 / float(np.log(6.4)) if hertz >= 1000 else hertz * 3 / 200


def _hertz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(mels < 15, mels * 200 / 3, 1000 * np.exp((mels - 15) * np.log(6.4) / 27))


@cache
def _hann() -> Floats:
    return np.asarray(np.hanning(WINDOW + 1)[:-1], dtype=np.float32)
