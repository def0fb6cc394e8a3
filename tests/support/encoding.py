"""PCM as a provider compresses it, by PyAV."""

import io
from functools import lru_cache
from typing import Literal

import av
import numpy as np

FORMATS = {
    "mp3": ("libmp3lame", "mp3", "s16p"),
    "aac": ("aac", "adts", "fltp"),
    "opus": ("libopus", "ogg", "s16"),
}


@lru_cache(maxsize=32)
def encoded(
    pcm: bytes,
    rate: int,
    kind: Literal["mp3", "aac", "opus"] = "mp3",
    *,
    bit_rate: int = 48_000,
    channels: int = 1,
    header: bool = False,
) -> bytes:
    """Mono s16le `pcm` as a stream; `header` writes the frame that tells LAME's delay."""
    codec, container, form = FORMATS[kind]
    file = io.BytesIO()
    options = {"write_xing": str(int(header)), "id3v2_version": "0"} if kind == "mp3" else {}
    options |= {"page_duration": "100000"} if kind == "opus" else {}
    with av.open(file, "w", format=container, options=options) as out:
        layout = "mono" if channels == 1 else "stereo"
        stream = out.add_stream(codec, rate=rate, options={}, layout=layout)
        stream.bit_rate = bit_rate
        stream.format = form
        samples = np.frombuffer(pcm, "<i2")
        resampler = av.AudioResampler(form, layout, rate)
        for start in range(0, len(samples), 4800):
            piece = samples[start : start + 4800]
            frame = av.AudioFrame.from_ndarray(np.stack([piece] * channels), format="s16p", layout=layout)
            frame.sample_rate, frame.pts = rate, start
            for ready in resampler.resample(frame):
                out.mux(stream.encode(ready))
        out.mux(stream.encode(None))
    return file.getvalue()
