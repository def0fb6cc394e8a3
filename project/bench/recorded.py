"""A question that somebody asked aloud, as a microphone gives it."""

import io
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from project.bench.babble import RATE as BABBLE_RATE
from project.bench.babble import babble

RATE = 16_000
WINDOW = RATE // 50
AUDIBLE_DB = -45.0
MOST_SECONDS = 60


@dataclass(frozen=True)
class Recorded:
    """`pcm` is mono s16le at 16 kHz; the voice is heard from `first_ms` to `last_ms` of it."""

    pcm: bytes
    first_ms: float
    last_ms: float

    @classmethod
    def of(cls, samples: NDArray[np.int16]) -> "Recorded":
        """Raises `ValueError` when nothing is heard in it."""
        windows = samples[: len(samples) // WINDOW * WINDOW].reshape(-1, WINDOW).astype(np.float64) / 32768
        loud = np.flatnonzero(10 * np.log10((windows**2).mean(axis=1) + 1e-12) > AUDIBLE_DB)
        if not len(loud):
            raise ValueError("Nothing is heard in the recording.")
        return cls(samples.tobytes(), 20.0 * float(loud[0]), 20.0 * float(loud[-1] + 1))

    @classmethod
    def read(cls, path: Path) -> "Recorded":
        """Read a sound file of any kind that FFmpeg knows, up to a minute of it."""
        with av.open(str(path)) as file:
            resampler: Any = av.AudioResampler(format="s16", layout="mono", rate=RATE)
            pieces: list[NDArray[np.int16]] = []
            for frame in file.decode(audio=0):
                pieces += [each.to_ndarray()[0] for each in resampler.resample(frame)]
                if sum(map(len, pieces)) > MOST_SECONDS * RATE:
                    break
        return cls.of(np.concatenate(pieces)[: MOST_SECONDS * RATE])

    @classmethod
    def babbled(cls, text: str) -> "Recorded":
        """Speech that means nothing, for where there is no recording."""
        sound = np.frombuffer(babble(text).pcm, np.int16).astype(np.float64)
        places = np.arange(0, len(sound) - 1, BABBLE_RATE / RATE)
        return cls.of(np.interp(places, np.arange(len(sound)), sound).astype(np.int16))

    @property
    def wav(self) -> bytes:
        """As a file to upload."""
        out = io.BytesIO()
        with wave.open(out, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(self.pcm)
        return out.getvalue()
