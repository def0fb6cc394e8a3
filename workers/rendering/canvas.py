"""Puts the avatar into a film of another shape: cut around the face, or set on a background.

What stands still is drawn once; a frame costs the copy of its planes.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.adapters.avatar.base import Background, Box
from workers.rendering.aspects import ASPECTS
from workers.rendering.overlay import planes

I420 = NDArray[np.uint8]
Picture = NDArray[np.uint8]

SHORT_SIDE = 1080
LARGEST_CUT = 0.35  # of the picture's area; more than that is set on a background instead
FACE_ROOM = 0.25  # of the face box, kept on each side of it when cutting


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the part `source` of the avatar lies in the film: x, y; all numbers are even."""

    width: int
    height: int
    x: int
    y: int
    source: tuple[int, int, int, int]  # left, top, width, height

    @property
    def cut(self) -> bool:
        return (self.width, self.height) == self.source[2:]


def layout(
    width: int, height: int, aspect: str | None, *, face: Box | None = None, short_side: int = SHORT_SIDE
) -> Layout:
    """Choose the film's size for an avatar of `width` x `height`, without scaling the avatar.

    The avatar is cut to shape where that keeps the face and most of the picture, and otherwise set
    in the middle of a larger film. `short_side` bounds the film. Raises `ValueError` for an aspect
    ratio that is not in `ASPECTS`, and where the avatar is too large.
    """
    if aspect is None:
        return _whole(width, height, width, height)
    if aspect not in ASPECTS:
        raise ValueError(f"{aspect} is not one of {', '.join(ASPECTS)}")
    across, down = ASPECTS[aspect]
    if width * down == height * across:
        return _whole(width, height, width, height)
    cut = _cut(width, height, across, down, face or Box(0.3, 0.2, 0.7, 0.6))
    chosen = cut or _whole(width, height, *_around(width, height, across, down))
    if min(chosen.width, chosen.height) > short_side:
        raise ValueError(f"a film of {chosen.width}x{chosen.height} is larger than {short_side} allows")
    return chosen


def _cut(width: int, height: int, across: int, down: int, face: Box) -> Layout | None:
    wide = min(width, _even(height * across / down))
    high = min(height, _even(width * down / across))
    room_x, room_y = (face.right - face.left) * FACE_ROOM, (face.bottom - face.top) * FACE_ROOM
    needed_x = (face.right - face.left + 2 * room_x) * width
    needed_y = (face.bottom - face.top + 2 * room_y) * height
    if wide < needed_x or high < needed_y or wide * high < (1 - LARGEST_CUT) * width * height:
        return None
    left = _clamp((face.left + face.right) / 2 * width - wide / 2, width - wide)
    # A face looks right a little above the middle.
    top = _clamp((face.top + face.bottom) / 2 * height - high * 0.45, height - high)
    return Layout(wide, high, 0, 0, (left, top, wide, high))


def _around(width: int, height: int, across: int, down: int) -> tuple[int, int]:
    """Return the smallest film of this shape that holds the avatar."""
    if width * down > height * across:
        return width, _even(width * down / across)
    return _even(height * across / down), height


def _whole(width: int, height: int, film_width: int, film_height: int) -> Layout:
    x, y = _even((film_width - width) / 2), _even((film_height - height) / 2)
    return Layout(film_width, film_height, x, y, (0, 0, width, height))


def _even(value: float) -> int:
    return round(value / 2) * 2


def _clamp(value: float, most: int) -> int:
    return _even(min(max(value, 0), most))


class Canvas:
    """The film's picture around the avatar's.

    `background` is BGR of any size, scaled to cover the film; None blurs `still` (the avatar's
    portrait, BGR: the same for every fragment), or else the first picture placed. An avatar with
    transparency is drawn by its renderer on `behind()`, the part of the same background that lies
    below it, so that no edge shows.
    """

    def __init__(
        self, plan: Layout, *, background: Picture | None = None, still: Picture | None = None
    ) -> None:
        self.width, self.height = plan.width, plan.height
        self._plan = plan
        self._picture = np.empty((plan.height * 3 // 2, plan.width), np.uint8)
        self._ready = plan.cut
        self._background = None
        if background is not None:
            self._background = cover(background, plan.width, plan.height)
            self._paint(self._background)
        elif still is not None:
            self._paint(blurred(still, plan.width, plan.height))

    def behind(self, width: int, height: int) -> Background | None:
        """Return what is behind an avatar of this size, where a background was given."""
        if self._background is None:
            return None
        left, top, wide, high = self._plan.source
        x, y = self._plan.x, self._plan.y
        image = cv2.resize(self._background, (width, height), interpolation=cv2.INTER_AREA)
        image[top : top + high, left : left + wide] = self._background[y : y + high, x : x + wide]
        return Background(np.asarray(image, np.uint8))

    def place(self, picture: I420) -> I420:
        """Return the film's picture with the avatar's in it, valid until the next call."""
        left, top, wide, high = self._plan.source
        width = picture.shape[1]
        if not self._ready:
            still = np.asarray(cv2.cvtColor(picture, cv2.COLOR_YUV2BGR_I420), np.uint8)
            self._paint(blurred(still, self.width, self.height))
        ours = planes(self._picture, self.width, self.height)
        theirs = planes(np.ascontiguousarray(picture), width, picture.shape[0] * 2 // 3)
        for number, (target, source) in enumerate(zip(ours, theirs, strict=True)):
            half = 1 if number == 0 else 2
            x, y = self._plan.x // half, self._plan.y // half
            rows = slice(top // half, (top + high) // half)
            columns = slice(left // half, (left + wide) // half)
            target[y : y + high // half, x : x + wide // half] = source[rows, columns]
        return self._picture

    def _paint(self, background: Picture) -> None:
        self._picture[:] = cv2.cvtColor(background, cv2.COLOR_BGR2YUV_I420)
        self._ready = True


def cover(picture: Picture, width: int, height: int) -> Picture:
    """Scale a BGR picture until it covers the size, and cut what is over, evenly."""
    high, wide = picture.shape[:2]
    scale = max(width / wide, height / high)
    size = (max(width, round(wide * scale)), max(height, round(high * scale)))
    mode = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    scaled = cv2.resize(picture[..., :3], size, interpolation=mode)
    x, y = (size[0] - width) // 2, (size[1] - height) // 2
    return np.ascontiguousarray(scaled[y : y + height, x : x + width], np.uint8)


def blurred(picture: Picture, width: int, height: int) -> Picture:
    """Return a soft, darker form of a BGR picture that fills the film: what stands beside it."""
    image = cover(picture, width, height)
    # A blur this wide looks the same from a small picture, at a hundredth of the cost.
    small = cv2.resize(image, (max(8, width // 16), max(8, height // 16)), interpolation=cv2.INTER_AREA)
    soft = cv2.resize(cv2.GaussianBlur(small, (0, 0), 2.5), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.convertScaleAbs(soft, alpha=0.7), np.uint8)


def plain(colour: str, width: int, height: int) -> Picture:
    """Return a BGR picture of one colour, told as `#rrggbb`. Raises `ValueError`."""
    if len(colour) != 7 or colour[0] != "#":
        raise ValueError(f"{colour!r} is not a colour such as #1a2b3c")
    red, green, blue = bytes.fromhex(colour[1:])
    return np.full((height, width, 3), (blue, green, red), np.uint8)
