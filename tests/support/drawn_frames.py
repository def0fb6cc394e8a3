"""What fake avatar servers draw: the reference picture with a code that proves order and identity.

The bottom quarter of a frame holds three rows of 16 black or white cells, most significant bit first: the
frame's number since the session began, a checksum of the very 640 samples it was drawn from, and one of
the reference picture. It survives JPEG and H.264, and scaling.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

BITS = 16
ROWS = 3
SHARE = 0.25
SAMPLES = 640
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Code:
    number: int
    sound: int
    face: int


def sum_of(data: bytes) -> int:
    return zlib.crc32(data) & 0xFFFF


def sound_sum(pcm: NDArray[np.int16], frame: int) -> int:
    """The checksum of a frame's samples, silence behind the end."""
    part = np.zeros(SAMPLES, np.int16)
    heard = pcm[frame * SAMPLES : (frame + 1) * SAMPLES]
    part[: len(heard)] = heard
    return sum_of(part.astype("<i2").tobytes())


def face_sum(file: bytes) -> int:
    return sum_of(file)


@lru_cache(maxsize=16)
def plate(file: bytes, width: int, height: int) -> Picture:
    """A picture file at this size, BGR. Raises `ValueError`."""
    picture = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError("the reference is no picture")
    rows, columns = picture.shape[:2]
    scale = max(width / columns, height / rows)
    size = (max(width, round(columns * scale)), max(height, round(rows * scale)))
    large = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return np.ascontiguousarray(large[top : top + height, left : left + width], dtype=np.uint8)


def frame(file: bytes, code: Code, width: int, height: int) -> Picture:
    """BGR."""
    picture = plate(file, width, height).copy()
    top = round(height * (1 - SHARE))
    ys = np.linspace(top, height, ROWS + 1).round().astype(int)
    xs = np.linspace(0, width, BITS + 1).round().astype(int)
    for row, value in enumerate((code.number, code.sound, code.face)):
        for place in range(BITS):
            lit = value >> (BITS - 1 - place) & 1
            picture[ys[row] : ys[row + 1], xs[place] : xs[place + 1]] = 235 if lit else 16
    return picture


def jpeg(picture: Picture, quality: int = 85) -> bytes:
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def read(picture: Picture) -> Code:
    """What a frame says: BGR, or I420 (shape (height * 3 / 2, width))."""
    if picture.ndim == 3:
        luma = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    else:
        luma = picture[: picture.shape[0] * 2 // 3]
    height, width = luma.shape
    top = height * (1 - SHARE)
    values = []
    for row in range(ROWS):
        y = top + (row + 0.5) * height * SHARE / ROWS
        value = 0
        for place in range(BITS):
            x = (place + 0.5) * width / BITS
            part = luma[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2]
            value = value << 1 | int(part.mean() > 125)
        values.append(value)
    return Code(*values)


@dataclass
class Session:
    """What a server knows of one session: a face, the sound so far, how many frames it gave."""

    file: bytes
    width: int
    height: int
    slice_frames: int
    lag: int = 0
    """So many frames behind the sound."""
    quality: int = 85
    sound: NDArray[np.int16] = field(default_factory=lambda: np.zeros(0, np.int16))
    given: int = 0
    face: int = -1

    @property
    def chunk_samples(self) -> int:
        return self.slice_frames * SAMPLES

    def hear(self, pcm: NDArray[np.int16]) -> list[bytes]:
        """The frames that can be drawn now, as JPEGs."""
        self.sound = np.concatenate([self.sound, pcm])
        ready = max(self.given, len(self.sound) // SAMPLES - self.lag)
        face = face_sum(self.file) if self.face < 0 else self.face
        made = [
            frame(self.file, Code(n & 0xFFFF, sound_sum(self.sound, n), face), self.width, self.height)
            for n in range(self.given, ready)
        ]
        self.given = ready
        return [jpeg(picture, self.quality) for picture in made]


def flat(width: int, height: int, shade: int = 96) -> bytes:
    """A picture of one colour: what a server without a model answers."""
    return jpeg(np.full((height, width, 3), (shade, 37, 200), np.uint8))
