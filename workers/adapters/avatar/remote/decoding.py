"""JPEGs of a server: what they are before they are decoded, and what they are as pictures of ours."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.adapters.avatar.base import I420, Picture
from workers.adapters.avatar.pictures import to_i420
from workers.adapters.avatar.remote.faults import fault

FLAT = 2
"""A picture whose brightest and darkest parts lie no further apart shows nothing."""
_SIZES = frozenset((0xC0, 0xC1, 0xC2))
_OTHER = frozenset((0xC3, 0xC5, 0xC6, 0xC7, *range(0xC9, 0xCC), *range(0xCD, 0xD0)))
"""Headers of kinds that no server sends; a decoder may know them, and take its size from them."""
_SCAN = 0xDA
_ALONE = frozenset((0x01, *range(0xD0, 0xD9)))
Thumbnail = NDArray[np.int16]


def size_of(jpeg: bytes) -> tuple[int, int] | None:
    """(width, height) as the header says; None where it is no JPEG."""
    if jpeg[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 <= len(jpeg) and jpeg[at] == 0xFF:
        marker = jpeg[at + 1]
        if marker in _SIZES:
            return int.from_bytes(jpeg[at + 7 : at + 9]), int.from_bytes(jpeg[at + 5 : at + 7])
        if marker in _OTHER or marker == _SCAN:
            return None  # what comes behind it says nothing of how large the picture is
        at += 1 if marker == 0xFF else 2 if marker in _ALONE else 2 + int.from_bytes(jpeg[at + 2 : at + 4])
    return None


def decoded(jpeg: bytes, provider: str) -> Picture:
    """BGR. Raises `AdapterError` (`frames_malformed`)."""
    return _read(jpeg, cv2.IMREAD_COLOR, provider)


def reduced(jpeg: bytes, provider: str) -> Picture:
    """BGR, an eighth as wide and as high: good enough to be looked at, in a fraction of the time."""
    return _read(jpeg, cv2.IMREAD_REDUCED_COLOR_8, provider)


def _read(jpeg: bytes, way: int, provider: str) -> Picture:
    try:
        picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), way)
    except cv2.error:
        picture = None
    if picture is None:
        raise fault("frames_malformed", "A picture of the model's server cannot be decoded.", provider)
    return np.asarray(picture, np.uint8)


def drawn(jpeg: bytes, width: int, height: int, provider: str) -> I420:
    """The picture at the avatar's size: scaled to cover it, its middle cut out."""
    return to_i420(covering(decoded(jpeg, provider), width, height))


def covering(picture: Picture, width: int, height: int) -> Picture:
    """Scale a picture so that it covers this size, and cut out its middle."""
    rows, columns = picture.shape[:2]
    if (columns, rows) == (width, height):
        return picture
    scale = max(width / columns, height / rows)
    size = (max(width, round(columns * scale)), max(height, round(rows * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    large = np.asarray(cv2.resize(picture, size, interpolation=way), np.uint8)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return np.ascontiguousarray(large[top : top + height, left : left + width])


def flat(pictures: Sequence[Picture]) -> bool:
    """Whether all of them show one colour: what a server without a model answers."""
    return all(int(np.ptp(picture, axis=(0, 1)).max()) <= FLAT for picture in pictures)


def thumbnail(picture: Picture) -> Thumbnail:
    """Small and grey, for telling scenes apart: int16, shape (32, 32)."""
    small = cv2.resize(picture, (32, 32), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.int16)


def apart(one: Thumbnail, other: Thumbnail) -> float:
    """How different two scenes are, 0 to 255."""
    return float(np.abs(one - other).mean())
