"""Blinks: the skin of each upper lid drawn down over the eye, lashes first.

Only the skin between the crease of the lid and the lashes stretches, so brows stay still. The
strip at the lashes keeps its width and carries the portrait's own lash line to the lower lid.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from workers.adapters.avatar.base import Picture
from workers.adapters.avatar.viseme.shapes import Rect, rect_around
from workers.adapters.avatar.viseme.warp import smooth

Floats = NDArray[np.float64]
LID_STEPS = (0.25, 0.5, 0.75, 1.0)
UPPER_LIDS = ((33, 246, 161, 160, 159, 158, 157, 173, 133), (362, 398, 384, 385, 386, 387, 388, 466, 263))
LOWER_LIDS = ((33, 7, 163, 144, 145, 153, 154, 155, 133), (362, 382, 381, 380, 374, 373, 390, 249, 263))
BROWS = ((46, 53, 52, 65, 55), (285, 295, 282, 283, 276))
CREASE = 0.55  # of the way from the lid to the brow: above it nothing moves
LASHES = 0.020  # the strip that keeps its width, of face height
MIN_OPEN = 0.018  # eyes less open than this, of face height, do not blink


@dataclass(slots=True)
class Eye:
    """One eye's blink: patches of `rect`, one per step of `LID_STEPS`."""

    rect: Rect
    patches: list[Picture]


def draw_blinks(picture: Picture, points: Floats, face: float) -> list[Eye]:
    """The blinks of both eyes; an eye that is shut, or hardly open, has none."""
    eyes = []
    for upper, lower, brow in zip(UPPER_LIDS, LOWER_LIDS, BROWS, strict=True):
        lid = _Lid.of(points[list(upper)], points[list(lower)], points[list(brow)], face)
        if lid.openness > MIN_OPEN * face:
            height, width = picture.shape[:2]
            rect = rect_around(*lid.extent(), width, height, 5 + 0.02 * face)
            eyes.append(Eye(rect, [lid.draw(picture, rect, step) for step in LID_STEPS]))
    return eyes


@dataclass(slots=True)
class _Lid:
    """Curves of one eye in its own coordinates: u from corner to corner, v downward."""

    origin: Floats
    along: Floats
    half: float
    upper: PchipInterpolator
    lower: PchipInterpolator
    rise: float  # from the lid to where the skin is still
    lashes: float

    @classmethod
    def of(cls, upper: Floats, lower: Floats, brow: Floats, face: float) -> "_Lid":
        origin = (upper[0] + upper[-1]) / 2
        along = (upper[-1] - upper[0]) / np.hypot(*(upper[-1] - upper[0]))
        down = np.array([-along[1], along[0]])
        local = [
            np.column_stack([(part - origin) @ along, (part - origin) @ down]) for part in (upper, lower)
        ]
        curves = [PchipInterpolator(*_increasing(part)) for part in local]
        brow_v = float(((brow - origin) @ down).mean())
        lid_v = float(local[0][3:6, 1].mean())
        rise = max(0.02 * face, CREASE * (lid_v - brow_v))
        return cls(origin, along, float(local[0][-1, 0]), curves[0], curves[1], rise, LASHES * face)

    @property
    def openness(self) -> float:
        return float(self.lower(0.0) - self.upper(0.0))

    def extent(self) -> tuple[Floats, Floats]:
        u = np.linspace(-1.25, 1.25, 21) * self.half
        held = np.clip(u, -self.half, self.half)
        v = np.concatenate([self.upper(held) - self.rise, self.lower(held) + self.lashes])
        return self._to_picture(np.concatenate([u, u]), v)

    def draw(self, picture: Picture, rect: Rect, shut: float) -> Picture:
        rows, columns = np.mgrid[rect.top : rect.bottom, rect.left : rect.right].astype(np.float64)
        dx, dy = columns - self.origin[0], rows - self.origin[1]
        u = dx * self.along[0] + dy * self.along[1]
        v = dy * self.along[0] - dx * self.along[1]
        x, y = self._to_picture(u, self._source(u, v, shut))
        flags = {"interpolation": cv2.INTER_CUBIC, "borderMode": cv2.BORDER_REPLICATE}
        return np.asarray(cv2.remap(picture, x.astype(np.float32), y.astype(np.float32), **flags), np.uint8)

    def _source(self, u: Floats, v: Floats, shut: float) -> Floats:
        """Where in the portrait the skin at (u, v) comes from when the lid is `shut` down."""
        held = np.clip(u, -self.half, self.half)
        upper, lower = self.upper(held), self.lower(held)
        beside = 1 - smooth((np.abs(u) / self.half - 0.92) / 0.33)
        drop = np.maximum(lower - upper, 0) * shut * beside
        still, edge = upper - self.rise, upper - self.lashes * 0.6
        stretched = still + (v - still) * (edge - still) / (edge + drop - still)
        source = np.where(v < edge + drop, stretched, v - drop)
        # Below the lashes the eye shows as it was, down to where the lid has come.
        under = upper + drop + self.lashes * 0.4
        source = np.where(v > under, np.maximum(v, under), source)
        return np.where(v < still, v, source)

    def _to_picture(self, u: Floats, v: Floats) -> tuple[Floats, Floats]:
        along = self.along
        return self.origin[0] + u * along[0] - v * along[1], self.origin[1] + u * along[1] + v * along[0]


def _increasing(points: Floats) -> tuple[Floats, Floats]:
    order = np.argsort(points[:, 0])
    u, v = points[order, 0], points[order, 1]
    keep = np.concatenate([[True], np.diff(u) > 1e-3])
    return u[keep], v[keep]
