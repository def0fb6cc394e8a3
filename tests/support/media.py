"""Small media made on the spot: a talking shape, a voice-like sound, files with known faults."""

import io
import struct
import wave
from fractions import Fraction

import av
import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 128, 160


def numbered_frame(number: int, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """Return an I420 picture that carries its number as ten bars, black or white, and a moving mouth."""
    picture = np.full((height, width), 110, np.uint8)
    cv2.ellipse(picture, (width // 2, height // 2), (width // 5, 3 + number % 7 * 2), 0, 0, 360, 60, -1)
    for bit in range(10):
        left = bit * width // 10
        picture[: height // 5, left : left + width // 10] = 235 if number >> bit & 1 else 16
    colour = np.full(width * height // 2, 128, np.uint8)
    return np.concatenate((picture.reshape(-1), colour)).reshape(height * 3 // 2, width)


def frame_number(luma: NDArray[np.uint8]) -> int:
    """Read the number back from a decoded picture."""
    height, width = luma.shape
    middles = [luma[height // 10, bit * width // 10 + width // 20] for bit in range(10)]
    return sum((value > 125) << bit for bit, value in enumerate(middles))


def decoded_numbers(data: bytes) -> list[int]:
    with av.open(io.BytesIO(data), "r") as container:
        frames = [frame.to_ndarray(format="yuv420p") for frame in container.decode(video=0)]
    return [frame_number(frame[: len(frame) * 2 // 3]) for frame in frames]


def voice(seconds: float, rate: int = 48_000) -> NDArray[np.int16]:
    """Return a sound whose pitch and loudness move, so that no part of it resembles another."""
    time = np.arange(round(seconds * rate)) / rate
    pitch = 140 + 60 * np.sin(1.7 * time) + 9 * time
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    tone = np.sin(phase) + 0.5 * np.sin(2 * phase) + 0.25 * np.sin(5 * phase)
    loudness = 0.55 + 0.45 * np.sin(2 * np.pi * 3.1 * time)
    onset = np.minimum(1, time / 0.02)  # no mouth opens faster
    return (7000 * tone * loudness * onset).astype(np.int16)


def wav(sound: NDArray[np.int16], rate: int = 48_000, channels: int = 1) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(sound.astype("<i2").tobytes())
    return out.getvalue()


def encoded_sound(
    seconds: float,
    *,
    format: str,  # noqa: A002 - the word of PyAV
    codec: str,
    rate: int = 48_000,
    layout: str = "mono",
) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format=format) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        mono = voice(seconds, rate).astype(np.float32) / 32768
        channels = len(stream.layout.channels)
        frame = av.AudioFrame.from_ndarray(np.tile(mono, (channels, 1)), format="fltp", layout=layout)
        frame.sample_rate = rate
        resampler = av.AudioResampler(format=stream.format, layout=layout, rate=rate)
        fifo = av.AudioFifo()
        for each in resampler.resample(frame):
            fifo.write(each)
        size = stream.codec_context.frame_size or 1024
        while part := fifo.read(size) or fifo.read(0, partial=True):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return out.getvalue()


def silent_video(frames: int = 10, format: str = "mp4") -> bytes:  # noqa: A002 - the word of PyAV
    """Return a video without sound by a foreign encoder's defaults (B-frames and all)."""
    out = io.BytesIO()
    with av.open(out, "w", format=format) as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(numbered_frame(number), format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return out.getvalue()


def png_header(width: int, height: int) -> bytes:
    """Return a PNG that claims a size and holds next to nothing."""
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
