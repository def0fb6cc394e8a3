"""What a renderer hears: the clip's timeline at 16 kHz, cut without seams.

A fragment's window is made from the stored utterances that overlap it. The filter is a fixed
symmetric one over positions of the whole timeline, and its arithmetic is exact, so two fragments
that hear the same moment hear identical samples, whichever worker draws them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from generation.clips.plan import MODEL_STEP
from workers.adapters.avatar.base import SAMPLES_PER_FRAME, AudioWindow, Phone, Profile

TAPS = 97  # odd: the filter has a middle sample, so nothing is delayed
CUTOFF = 0.46  # of the 16 kHz rate; 7.4 kHz, below its half
COEFFICIENT_BITS = 15

Pcm = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Piece:
    """An utterance on the timeline; positions and lengths are 48 kHz samples."""

    start: int
    samples: int
    key: str
    phones: tuple[tuple[str, int, int], ...] = ()

    @property
    def end(self) -> int:
        return self.start + self.samples


def window(
    profile: Profile,
    start_frame: int,
    frames: int,
    pieces: Sequence[Piece],
    load: Callable[[str], Pcm],
) -> AudioWindow:
    """Build what `profile`'s model hears of some frames; `load` reads an utterance's 48 kHz PCM."""
    first = start_frame * SAMPLES_PER_FRAME - profile.lookback_samples
    last = (start_frame + frames) * SAMPLES_PER_FRAME + profile.lookahead_samples
    pcm = decimate(_timeline(pieces, first * MODEL_STEP - TAPS // 2, last * MODEL_STEP + TAPS // 2, load))
    return AudioWindow(
        pcm=pcm[: last - first],
        lookback=profile.lookback_samples,
        lookahead=profile.lookahead_samples,
        start_frame=start_frame,
        frames=frames,
        phones=_phones(pieces, start_frame, first, last),
    )


def overlapping(profile: Profile, start_frame: int, frames: int) -> tuple[int, int]:
    """Return the 48 kHz samples (from, to) that a window touches."""
    first = start_frame * SAMPLES_PER_FRAME - profile.lookback_samples
    last = (start_frame + frames) * SAMPLES_PER_FRAME + profile.lookahead_samples
    return first * MODEL_STEP - TAPS, last * MODEL_STEP + TAPS


def decimate(pcm: Pcm) -> Pcm:
    """Keep every third sample of a low-passed 48 kHz signal.

    Output sample n is centred on input sample `3 * n + TAPS // 2`: the input carries half a filter
    of context on either side. Products of whole numbers are summed in float64 without rounding, so
    the result does not depend on where the cut is.
    """
    views = sliding_window_view(pcm.astype(np.float64), TAPS)[::MODEL_STEP]
    heard = np.rint(views @ _filter() / (1 << COEFFICIENT_BITS))
    return np.clip(heard, -32768, 32767).astype(np.int16)


@cache
def _filter() -> NDArray[np.float64]:
    """A windowed sinc, rounded to whole numbers that sum to exactly one in fixed point."""
    positions = np.arange(TAPS) - TAPS // 2
    ideal = np.sinc(2 * CUTOFF / MODEL_STEP * positions) * np.blackman(TAPS)
    whole = np.rint(ideal / ideal.sum() * (1 << COEFFICIENT_BITS))
    whole[TAPS // 2] += (1 << COEFFICIENT_BITS) - whole.sum()
    return np.asarray(whole, dtype=np.float64)


def _timeline(pieces: Sequence[Piece], start: int, end: int, load: Callable[[str], Pcm]) -> Pcm:
    """Return samples `start` to `end` of the timeline, zeros where nobody speaks."""
    out = np.zeros(end - start, np.int16)
    for piece in pieces:
        left, right = max(piece.start, start), min(piece.end, end)
        if left < right:
            pcm = load(piece.key)
            out[left - start : right - start] = pcm[left - piece.start : right - piece.start]
    return out


def _phones(pieces: Sequence[Piece], start_frame: int, first: int, last: int) -> tuple[Phone, ...]:
    """Place the phones of every overlapping piece relative to the window's first frame."""
    origin = start_frame * 40
    from_ms, to_ms = first // 16 - origin, last // 16 - origin
    placed = []
    for piece in pieces:
        shift = round(piece.start / 48) - origin
        for symbol, start_ms, end_ms in piece.phones:
            if end_ms + shift > from_ms and start_ms + shift < to_ms:
                placed.append(Phone(symbol, start_ms + shift, end_ms + shift))
    return tuple(placed)
