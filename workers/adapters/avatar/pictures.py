"""What every model does to pictures: sizes, colour planes, transparency.

Colours are BT.601 limited range, the matrix of OpenCV's own conversion.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.adapters.avatar.base import I420, Picture
from workers.adapters.errors import PreparationError

LONGEST_SIDE = 1080
SHORTEST_SIDE = 160
Planes = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]
"""Y of shape (h, w), U and V of shape (h/2, w/2)."""


def planes(picture: I420) -> Planes:
    """Views of the three planes of a contiguous I420 picture; writing to them writes to it."""
    height, width = picture.shape[0] * 2 // 3, picture.shape[1]
    flat = picture.reshape(-1)
    size, quarter = width * height, width * height // 4
    half = (height // 2, width // 2)
    return (
        flat[:size].reshape(height, width),
        flat[size : size + quarter].reshape(half),
        flat[size + quarter :].reshape(half),
    )


def to_i420(picture: Picture) -> I420:
    """Convert BGR of even size."""
    return np.asarray(cv2.cvtColor(picture[:, :, :3], cv2.COLOR_BGR2YUV_I420), dtype=np.uint8)


def to_bgr(picture: I420) -> Picture:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_YUV2BGR_I420), dtype=np.uint8)


def normalised(picture: Picture) -> Picture:
    """Scale to even sides of at most 1080, dropping an odd last row or column.

    BGR or BGRA of any size in, the same kind out. Raises `PreparationError` (`picture_too_small`).
    """
    height, width = picture.shape[:2]
    if min(height, width) < SHORTEST_SIDE:
        raise PreparationError(
            "picture_too_small", f"The picture needs at least {SHORTEST_SIDE} pixels on each side."
        )
    scale = min(1.0, LONGEST_SIDE / max(height, width))
    if scale < 1.0:
        size = (max(2, round(width * scale)), max(2, round(height * scale)))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    height, width = picture.shape[0] & ~1, picture.shape[1] & ~1
    if min(height, width) < SHORTEST_SIDE // 2:
        raise PreparationError("picture_too_narrow", "The picture is too long for its width.")
    return np.ascontiguousarray(picture[:height, :width])


def opaque(picture: Picture) -> bool:
    """Whether every pixel may be shown as it is, without a background."""
    return picture.shape[2] == 3 or int(picture[:, :, 3].min()) >= 250


def over(picture: Picture, background: Picture) -> Picture:
    """Lay BGRA over BGR of the same size."""
    alpha = picture[:, :, 3:].astype(np.float32) / 255
    mixed = picture[:, :, :3] * alpha + background * (1 - alpha)
    return np.asarray(np.rint(mixed), dtype=np.uint8)


def plain(width: int, height: int) -> Picture:
    """A light studio wall, for what has transparency and was given no background."""
    shade = np.linspace(238, 214, height, dtype=np.float32)[:, None, None]
    tint = np.array([1.0, 0.995, 0.985], np.float32)
    return np.asarray(np.rint(np.broadcast_to(shade * tint, (height, width, 3))), dtype=np.uint8)
