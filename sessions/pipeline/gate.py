"""Lets only sound through that stands out from the room, so that a silent customer costs nothing."""

import math

import numpy as np

from sessions.pipeline.vad import CHUNK_MS, CHUNK_SAMPLES, Samples

QUIETEST_DB = -68.0  # a level below this is silence in any room
ABOVE_FLOOR_DB = 7.0
STAY_MS = 480
RISE_DB = 0.02  # per chunk: 0.6 dB a second, so that long speech does not become the floor
RISE_NOISE_DB = 0.2  # per chunk that is known to hold no voice
SURE_NO_VOICE = 0.15
_SCALE_DB = 20 * math.log10(32768.0)


def levels_db(samples: Samples) -> list[float]:
    """The level of each chunk of 512 samples in dBFS, with the rumble of rooms left out."""
    chunks = samples.reshape(-1, CHUNK_SAMPLES).astype(np.float32)
    steps = chunks[:, 1:] - chunks[:, :-1]
    power = np.einsum("ij,ij->i", steps, steps) / CHUNK_SAMPLES
    return [10 * math.log10(value + 1e-3) - _SCALE_DB for value in power.tolist()]


class Gate:
    """Follows the level of the room: down at once, up slowly, faster where no voice was heard."""

    def __init__(self) -> None:
        self.floor_db = QUIETEST_DB
        self._stay_ms = 0

    @property
    def open(self) -> bool:
        return self._stay_ms > 0

    def passes(self, level_db: float) -> bool:
        """Whether a chunk of this level is worth a closer look; true for a while after a loud one."""
        if level_db > self.floor_db + ABOVE_FLOOR_DB:
            self._stay_ms = STAY_MS
        else:
            self._stay_ms = max(0, self._stay_ms - CHUNK_MS)
        self._follow(level_db, RISE_DB)
        return self.open

    def heard(self, level_db: float, probability: float) -> None:
        """What the closer look found: sound without a voice is the room."""
        if probability < SURE_NO_VOICE:
            self._follow(level_db, RISE_NOISE_DB)

    def _follow(self, level_db: float, rise: float) -> None:
        if level_db < self.floor_db:
            self.floor_db = max(QUIETEST_DB, self.floor_db + 0.3 * (level_db - self.floor_db))
        else:
            self.floor_db = min(level_db, self.floor_db + rise)
