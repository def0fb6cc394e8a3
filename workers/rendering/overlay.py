"""Burns captions into I420 pictures before they are encoded."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.rendering.cues import Cue
from workers.rendering.movie import FPS
from workers.rendering.typeset import line_height, typeset

I420 = NDArray[np.uint8]
Plane = NDArray[np.uint8]

WHITE, BLACK, GREY = 235, 16, 128  # limited range; the last is "no colour"
BOX_STRENGTH = 0.6
MARGIN = 0.05  # of the picture's height, below the text


@dataclass(frozen=True, slots=True)
class _Patch:
    """A caption ready to lay over: what remains of the picture below (0 to 1), and what is added.

    Both for brightness at full size and for the two colour planes at half; `top` and `left` even.
    """

    top: int
    left: int
    keep: NDArray[np.float32]
    add: NDArray[np.float32]
    keep_colour: NDArray[np.float32]
    add_colour: NDArray[np.float32]


class CaptionOverlay:
    """Shows each cue in the frames it lasts: white text on a soft dark box, low in the picture.

    Drawing a caption costs its own area, not the picture's; each is typeset once. `language`
    (BCP 47) chooses between Chinese, Japanese and Korean forms.
    """

    def __init__(self, cues: Iterable[Cue], width: int, height: int, *, language: str | None = None) -> None:
        self._cues = sorted(cues, key=lambda cue: cue.start_ms)
        self._starts = [cue.start_ms for cue in self._cues]
        self._width, self._height = width, height
        self._patch = lru_cache(maxsize=2)(self._typeset)
        self._language = language

    def active(self, frame: int) -> bool:
        """Tell whether a caption is shown in this frame of the clip."""
        return self._cue(frame) is not None

    def draw(self, picture: I420, frame: int) -> None:
        """Lay the caption of frame `frame`, if there is one, over the picture, in place."""
        cue = self._cue(frame)
        if cue is None:
            return
        patch = self._patch(cue)
        luma, blue, red = planes(picture, self._width, self._height)
        _blend(luma, patch.top, patch.left, patch.keep, patch.add)
        for plane in (blue, red):
            _blend(plane, patch.top // 2, patch.left // 2, patch.keep_colour, patch.add_colour)

    def _cue(self, frame: int) -> Cue | None:
        middle = (frame * 2 + 1) * 500 // FPS
        number = bisect_right(self._starts, middle) - 1
        if number < 0 or self._cues[number].end_ms <= middle:
            return None
        return self._cues[number]

    def _typeset(self, cue: Cue) -> _Patch:
        size = _text_size(self._width, self._height)
        text = _block(cue.lines, size, self._width - size, self._language)[: self._height - size]
        pad = size // 2
        strength = _box(text.shape, pad)
        ink = np.pad(text, pad).astype(np.float32) * np.float32(1 / 255)
        shade = np.maximum(strength, _shadow(ink, size))
        keep = ((1 - shade) * (1 - ink)).astype(np.float32)
        add = (shade * (1 - ink) * BLACK + ink * WHITE).astype(np.float32)
        top = self._height - ink.shape[0] - round(self._height * MARGIN)
        return _fit(max(0, top), (self._width - ink.shape[1]) // 2, keep, add)


def planes(picture: I420, width: int, height: int) -> tuple[Plane, Plane, Plane]:
    """Return views of the three planes of an I420 picture; the array has to be contiguous."""
    flat, area = picture.reshape(-1), width * height
    colour = (height // 2, width // 2)
    return (
        flat[:area].reshape(height, width),
        flat[area : area * 5 // 4].reshape(colour),
        flat[area * 5 // 4 :].reshape(colour),
    )


def _text_size(width: int, height: int) -> int:
    """Return the em in pixels: 42 Latin letters, about 0.55 em each, fill 92% of the width."""
    return max(12, min(round(height * 0.05), round(width * 0.92 / (42 * 0.55))))


def _block(lines: tuple[str, ...], size: int, limit: int, language: str | None) -> Plane:
    """Typeset lines below each other, centred; one that is too wide is made narrower."""
    drawn = [typeset(line, size, language=language) for line in lines]
    fitted = [
        line if line.shape[1] <= limit else np.asarray(cv2.resize(line, (limit, line.shape[0])), np.uint8)
        for line in drawn
    ]
    block = np.zeros((line_height(size) * len(fitted), max(line.shape[1] for line in fitted)), np.uint8)
    for number, line in enumerate(fitted):
        left, top = (block.shape[1] - line.shape[1]) // 2, number * line_height(size)
        block[top : top + line.shape[0], left : left + line.shape[1]] = line
    return block


def _box(shape: tuple[int, ...], pad: int) -> NDArray[np.float32]:
    """Return the strength of a box with round corners, `pad` larger than the text on each side."""
    height, width = shape[0] + 2 * pad, shape[1] + 2 * pad
    box = np.zeros((height * 4, width * 4), np.uint8)
    radius = min(pad, height // 2) * 4
    cv2.rectangle(box, (radius, 0), (width * 4 - radius - 1, height * 4), 255, -1)
    cv2.rectangle(box, (0, radius), (width * 4, height * 4 - radius - 1), 255, -1)
    for x in (radius, width * 4 - radius - 1):
        for y in (radius, height * 4 - radius - 1):
            cv2.circle(box, (x, y), radius, 255, -1)
    small = cv2.resize(box, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32) * np.float32(BOX_STRENGTH / 255)


def _shadow(ink: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Darken around the letters, for when the box lies on something bright."""
    blurred = cv2.GaussianBlur(ink, (0, 0), max(1.0, size / 12))
    return np.asarray(np.minimum(0.85, blurred * 2), np.float32)


def _fit(top: int, left: int, keep: NDArray[np.float32], add: NDArray[np.float32]) -> _Patch:
    """Grow the patch to even edges, so that the colour planes match it."""
    top_odd, left_odd = top % 2, left % 2
    rows, columns = (keep.shape[0] + top_odd) % 2, (keep.shape[1] + left_odd) % 2
    room = ((top_odd, rows), (left_odd, columns))
    keep, add = np.pad(keep, room, constant_values=1), np.pad(add, room)
    half = (keep.shape[1] // 2, keep.shape[0] // 2)
    colour = np.asarray(cv2.resize(keep, half, interpolation=cv2.INTER_AREA), np.float32)
    return _Patch(top - top_odd, left - left_odd, keep, add, colour, (1 - colour) * np.float32(GREY))


def _blend(plane: Plane, top: int, left: int, keep: NDArray[np.float32], add: NDArray[np.float32]) -> None:
    area = plane[top : top + keep.shape[0], left : left + keep.shape[1]]
    mixed = cv2.multiply(area, keep, dtype=cv2.CV_32F)
    cv2.add(mixed, add, dst=area, dtype=cv2.CV_8U)
