"""Sound to mouth: how far open and how wide, for every 40 ms.

Speech arrives levelled to a common loudness (about -20 LUFS), so levels are absolute: nothing is
normalised over a file that a live stream does not have. Each frame is worked out from its own
second of history, which makes it the same in whichever fragment it is drawn.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.adapters.avatar.base import SAMPLE_RATE, SAMPLES_PER_FRAME, AudioWindow
from workers.adapters.avatar.viseme.phones import Cues, cues_of

Floats = NDArray[np.float64]

HISTORY = 12  # frames that the smoothing looks back on: what is older has faded away
AHEAD = 2  # frames that it looks forward to
SPAN = 1024  # samples under one spectrum, centred on its frame
BANDS = ((80, 400), (400, 900), (900, 1800), (1800, 3200), (3200, 7900))  # Hz
SILENCE, FULL = 0.004, 0.16  # RMS at which the mouth begins to open, and at which it is open
CURVE = 0.62  # loudness is heard, and shown, on a curve
ATTACK, DECAY, WIDTH_PACE = 0.80, 0.64, 0.40
LIPS_PACE = 0.65  # of the widest opening, in one frame: what lips manage that close for m, b and p


@dataclass(frozen=True, slots=True)
class Track:
    """One value per frame: opening 0 to 1, width -1 to 1."""

    opening: Floats
    width: Floats


def hear(window: AudioWindow) -> Track:
    """The mouth for each frame of the window."""
    before, after, frames = HISTORY, AHEAD, window.frames
    opening, width = _targets(_cut(window, before, after), frames + before + after)
    if not window.phones:
        return Track(_follow(opening, frames), _follow_width(width, opening, frames))
    cues = cues_of(window.phones, -before, len(opening))
    opening, width = _spoken(opening, width, cues)
    open_to = np.minimum(_follow(opening, frames), _reach(cues.limit)[before : before + frames])
    return Track(open_to, _follow_width(width, opening, frames))


def _cut(window: AudioWindow, before: int, after: int) -> Floats:
    """The window's sound with exactly the frames needed around it, -1 to 1, silence where none came."""
    edge = (SPAN - SAMPLES_PER_FRAME) // 2
    first = window.lookback - before * SAMPLES_PER_FRAME - edge
    last = window.lookback + (window.frames + after) * SAMPLES_PER_FRAME + edge
    sound = window.pcm[max(0, first) : last].astype(np.float64) / 32768
    lead = max(0, -first)
    return np.pad(sound, (lead, max(0, last - first - lead - len(sound))))


def _targets(heard: Floats, frames: int) -> tuple[Floats, Floats]:
    """What each frame on its own asks for."""
    pieces = np.lib.stride_tricks.sliding_window_view(heard, SPAN)[::SAMPLES_PER_FRAME][:frames]
    hann = np.hanning(SPAN)
    power = np.abs(np.fft.rfft(pieces * hann, axis=1)) ** 2 / (SPAN * (hann**2).sum() / 2)
    hertz = np.fft.rfftfreq(SPAN, 1 / SAMPLE_RATE)
    bands = np.stack([power[:, (hertz >= low) & (hertz < high)].sum(axis=1) for low, high in BANDS], axis=1)
    total = bands.sum(axis=1)
    share = bands / np.maximum(total, 1e-12)[:, None]
    level = np.clip((np.sqrt(total) - SILENCE) / (FULL - SILENCE), 0, 1.4) ** CURVE
    nasal = np.clip((share[:, 0] - 0.80) / 0.20, 0, 1)
    hiss = np.clip((share[:, 4] - 0.30) / 0.40, 0, 1)
    vowel = np.clip(share[:, 1] + share[:, 2], 0, 1)
    opening = level * (0.86 + 0.30 * vowel) * (1 - 0.45 * nasal) * (1 - 0.45 * hiss)
    front = np.clip((share[:, 3] + share[:, 4]) * 4 - 0.35, 0, 1)
    back = np.clip((share[:, 0] + share[:, 1] - 0.86) / 0.14, 0, 1) * (1 - front)
    width = np.where(total > SILENCE**2, 0.9 * front - 0.75 * back, 0.0)
    return np.clip(opening, 0, 1), width


def _spoken(opening: Floats, width: Floats, cues: Cues) -> tuple[Floats, Floats]:
    """Let the sounds that are known to be spoken say what loudness cannot."""
    shaped = opening * (0.82 + 0.42 * cues.opening)
    opening = np.clip(opening + cues.weight * (shaped - opening), 0, 1)
    return opening, width * (1 - cues.weight) + cues.width * cues.weight


def _reach(limit: Floats) -> Floats:
    """How far the mouth may be open for lips that close in time: they need a frame each way."""
    away = np.pad(limit, 1, mode="edge")
    return np.minimum(limit, np.minimum(away[:-2], away[2:]) + LIPS_PACE)


def _follow(targets: Floats, frames: int) -> Floats:
    """Open quickly, close a little more slowly; every frame from the same length of history."""
    # A mouth begins to move before it is heard.
    early = np.maximum(targets[:-1], 0.45 * targets[1:])
    early = np.minimum(early, targets[:-1] + 0.25)
    state = np.zeros(frames)
    for step in range(HISTORY + 1):
        wanted = early[step : step + frames]
        pace = np.where(wanted > state, ATTACK, DECAY)
        state = state + pace * (wanted - state)
    return np.where(state < 0.02, 0.0, state)


def _follow_width(targets: Floats, opening: Floats, frames: int) -> Floats:
    """Width follows at its own pace, and comes to rest where nothing is said."""
    held = targets * np.clip(opening / 0.12, 0, 1)
    state = np.zeros(frames)
    for step in range(HISTORY + 1):
        state = state + WIDTH_PACE * (held[step : step + frames] - state)
    return state
