"""When the network's mouth is shown: while there is sound, and a little around it.

In silence the picture's own mouth is the better one, and costs nothing. The change from one to the
other takes a few frames, so that speech begins and ends without a jump.
"""

import numpy as np
from numpy.typing import NDArray

from workers.adapters.avatar.base import SAMPLES_PER_FRAME, AudioWindow
from workers.adapters.errors import AdapterError

REACH = 5  # frames to either side of a sound in which the network's mouth is still seen
FULL = 2  # of them, at full strength
QUIET = 32768 * 10 ** (-50 / 20)  # root mean square: what is below -50 dBFS is silence
LIVE_RAMP = 3  # frames over which a live utterance leaves the idle loop, and returns to it
Single = NDArray[np.float32]


def shares(window: AudioWindow, *, filmed: bool) -> Single:
    """How much of the network's mouth each frame shows, shape (frames,), 0 to 1.

    Filmed faces have mouths that move by themselves: the network's is shown throughout.
    """
    share = np.ones(window.frames, np.float32) if filmed else _near_sound(window)
    ramp = np.arange(1, window.frames + 1, dtype=np.float32) / (LIVE_RAMP + 1)
    if window.live and window.first:
        share = np.minimum(share, ramp)
    if window.live and window.last:
        share = np.minimum(share, ramp[::-1])
    return share


def _near_sound(window: AudioWindow) -> Single:
    margin = REACH * SAMPLES_PER_FRAME
    if window.lookback < margin or window.lookahead < margin:
        raise AdapterError(
            "wav2lip needs more sound around a frame than its profile gives.",
            provider="wav2lip",
            retryable=False,
            code="model_profile_mismatch",
        )
    begin = window.lookback - margin
    count = window.frames + 2 * REACH
    heard = window.pcm[begin : begin + count * SAMPLES_PER_FRAME].astype(np.float64)
    loud = np.sqrt((heard.reshape(count, SAMPLES_PER_FRAME) ** 2).mean(axis=1)) > QUIET
    share = np.zeros(window.frames, np.float32)
    for away in range(-REACH, REACH + 1):
        near = min(1.0, (REACH + 1 - abs(away)) / (REACH + 1 - FULL))
        there = loud[REACH + away : REACH + away + window.frames]
        share = np.maximum(share, np.where(there, np.float32(near), np.float32(0)))
    return share
