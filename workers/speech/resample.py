"""From any sample rate to the timeline's 48 kHz."""

import numpy as np
import soxr
from numpy.typing import NDArray

TIMELINE_RATE = 48_000


class Resampler:
    """Stateful: chunks may be cut anywhere, and join without a seam. Mono s16le in and out."""

    def __init__(self, source_rate: int, target_rate: int = TIMELINE_RATE) -> None:
        self._same = source_rate == target_rate
        self._stream = soxr.ResampleStream(source_rate, target_rate, 1, dtype="int16", quality="HQ")

    def feed(self, pcm: bytes) -> bytes:
        return self._run(pcm, last=False)

    def flush(self) -> bytes:
        """The samples that the filter still held; nothing may be fed afterwards."""
        return self._run(b"", last=True)

    def _run(self, pcm: bytes, *, last: bool) -> bytes:
        if self._same:
            return pcm
        samples: NDArray[np.int16] = np.frombuffer(pcm, "<i2")
        out: NDArray[np.int16] = self._stream.resample_chunk(samples, last=last)
        return out.astype("<i2").tobytes()


def resampled(pcm: bytes, source_rate: int, target_rate: int = TIMELINE_RATE) -> bytes:
    """All of a recording at once."""
    resampler = Resampler(source_rate, target_rate)
    return resampler.feed(pcm) + resampler.flush()
