"""What live sessions need beyond clips: pictures within level 3.1, and idle loops in two renditions."""

from __future__ import annotations

import math
from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.rendering.encode import IDLE_CRF, IDLE_KEYINT, IDLE_LOW_CRF, EncodedFragment, FragmentEncoder
from workers.rendering.overlay import planes

BLOCKS = 3600  # macroblocks of a picture that level 3.1 allows at 25 fps or 30
BLOCK = 16

I420 = NDArray[np.uint8]


def live_size(width: int, height: int) -> tuple[int, int]:
    """Return the size at which a session shows pictures of this size: the same, if level 3.1 allows.

    Browsers agree on level 3.1; what is larger is scaled down evenly, to even sides.
    """
    scale = 1.0
    while True:
        size = _even(width * scale), _even(height * scale)
        blocks = math.ceil(size[0] / BLOCK) * math.ceil(size[1] / BLOCK)
        if blocks <= BLOCKS:
            return size
        scale *= min(0.995, math.sqrt(BLOCKS / blocks))


def stage(width: int, height: int) -> Shrink | None:
    """Return what brings pictures of this size to their live size; None where they have it."""
    return None if live_size(width, height) == (width, height) else Shrink(width, height)


class Shrink:
    """Scales I420 pictures of shape (height * 3 // 2, width) down to their live size."""

    def __init__(self, width: int, height: int) -> None:
        self._from = width, height
        self.width, self.height = live_size(width, height)
        self._small = np.empty((self.height * 3 // 2, self.width), np.uint8)

    def place(self, picture: I420) -> I420:
        """Return the smaller picture, valid until the next call."""
        sides = planes(picture, *self._from), planes(self._small, self.width, self.height)
        for large, small in zip(*sides, strict=True):
            cv2.resize(large, small.shape[::-1], dst=small, interpolation=cv2.INTER_AREA)
        return self._small


def encode_idle_loops(
    pictures: Iterable[I420], *, width: int, height: int
) -> tuple[EncodedFragment, EncodedFragment]:
    """Encode an idle loop and its lower rendition, at live size; `width` and `height` are the pictures'."""
    small = stage(width, height)
    size = live_size(width, height)
    both = [
        FragmentEncoder(width=size[0], height=size[1], crf=crf, keyint=IDLE_KEYINT)
        for crf in (IDLE_CRF, IDLE_LOW_CRF)
    ]
    for picture in pictures:
        placed = picture if small is None else small.place(picture)
        for encoder in both:
            encoder.push(placed)
    return both[0].finish(), both[1].finish()


def _even(side: float) -> int:
    return max(BLOCK, round(side) & ~1)
