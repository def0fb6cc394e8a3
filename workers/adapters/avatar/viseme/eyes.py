"""Blinks: painted lids in the colour of the skin around each eye, with a lash line at their edge.

Stretching the real lid would smear lashes and brow, so the skin is painted: smooth, lit like the
skin above and below the eye. Nothing above the lid's crease changes, so brows stay still.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter1d, median_filter

from workers.adapters.avatar.base import Picture
from workers.adapters.avatar.viseme.shapes import Rect, rect_around
from workers.adapters.avatar.viseme.warp import smooth

Floats = NDArray[np.float64]
LID_STEPS = (0.25, 0.5, 0.75, 1.0)
UPPER_LIDS = ((33, 246, 161, 160, 159, 158, 157, 173, 133), (362, 398, 384, 385, 386, 387, 388, 466, 263))
LOWER_LIDS = ((33, 7, 163, 144, 145, 153, 154, 155, 133), (362, 382, 381, 380, 374, 373, 390, 249, 263))
BROWS = ((46, 53, 52, 65, 55), (285, 295, 282, 283, 276))
CREASE = 0.50  # of the way from the lid to the brow: above it nothing changes
OVERLAP, OVERLAP_TALL = 0.007, 0.16  # how far a shut lid covers the lower one: of face height, of the eye's
SKIN_BELOW = 0.030  # where the skin below the eye is looked at
LASHES = 0.0062  # the thickness of the lash line
MIN_OPEN = 0.018  # eyes less open than this, of face height, do not blink
COLUMNS = 65  # where the skin is looked at, from corner to corner


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
            paint = _Paint.of(picture, lid)
            eyes.append(Eye(rect, [lid.draw(picture, rect, step, paint) for step in LID_STEPS]))
    return eyes


@dataclass(slots=True)
class _Lid:
    """Curves of one eye in its own coordinates: u from corner to corner, v downward."""

    origin: Floats
    along: Floats
    half: float
    face: float
    upper: PchipInterpolator
    lower: PchipInterpolator
    rise: float  # from the lid to where the skin is left alone

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
        rise = float(np.clip(CREASE * (lid_v - brow_v), 0.018 * face, 0.05 * face))
        return cls(origin, along, float(local[0][-1, 0]), face, curves[0], curves[1], rise)

    @property
    def openness(self) -> float:
        return float(self.lower(0.0) - self.upper(0.0))

    def extent(self) -> tuple[Floats, Floats]:
        u = np.linspace(-1.3, 1.3, 21) * self.half
        held = np.clip(u, -self.half, self.half)
        v = np.concatenate([self.upper(held) - self.rise, self.lower(held) + SKIN_BELOW * self.face])
        return self.to_picture(np.concatenate([u, u]), v)

    def draw(self, picture: Picture, rect: Rect, shut: float, paint: "_Paint") -> Picture:
        rows, columns = np.mgrid[rect.top : rect.bottom, rect.left : rect.right].astype(np.float64)
        dx, dy = columns - self.origin[0], rows - self.origin[1]
        u, v = dx * self.along[0] + dy * self.along[1], dy * self.along[0] - dx * self.along[1]
        held = np.clip(u, -self.half, self.half)
        upper = self.upper(held)
        lower = self.lower(held) + max(OVERLAP * self.face, OVERLAP_TALL * self.openness)
        edge = upper + (lower - upper) * shut
        drawn = picture[rect.slices].astype(np.float64)
        inside = 1 - smooth((np.abs(u) / self.half - 1.04) / 0.18)
        top = smooth((v - (upper - self.rise)) / (0.75 * self.rise))
        cover = inside * top * np.clip(0.5 + edge - v, 0, 1)
        skin = paint.skin(u / self.half, (v - upper + self.rise) / (lower - upper + self.rise))
        drawn[..., :3] += (skin - drawn[..., :3]) * cover[..., None]
        self._lashes(drawn, u, v - edge, paint.lash)
        return np.asarray(np.clip(np.rint(drawn), 0, 255), dtype=np.uint8)

    def _lashes(self, drawn: Floats, u: Floats, below: Floats, colour: Floats) -> None:
        """A soft dark line along the lid's edge, thinner towards the corners."""
        along = np.clip(1 - (u / (1.14 * self.half)) ** 2, 0, 1)
        thick = np.maximum(0.8, LASHES * self.face * (0.45 + 0.55 * along))
        line = np.exp(-((below / thick) ** 2)) * smooth(along / 0.25)
        drawn[..., :3] += (colour - drawn[..., :3]) * (0.68 * line)[..., None]

    def to_picture(self, u: Floats, v: Floats) -> tuple[Floats, Floats]:
        along = self.along
        return self.origin[0] + u * along[0] - v * along[1], self.origin[1] + u * along[1] + v * along[0]


@dataclass(slots=True)
class _Paint:
    """Colours around one eye: skin above and below, at `COLUMNS` places from corner to corner; lashes."""

    above: Floats
    below: Floats
    lash: Floats

    @classmethod
    def of(cls, picture: Picture, lid: _Lid) -> "_Paint":
        u = np.linspace(-1, 1, COLUMNS) * lid.half
        upper, lower = lid.upper(u), lid.lower(u)
        soft = np.asarray(cv2.GaussianBlur(picture[:, :, :3], (0, 0), max(0.6, 0.004 * lid.face)), np.uint8)
        above = _even(_sampled(soft, lid, u, upper - lid.rise * 0.9))
        below = _even(_sampled(soft, lid, u, lower + SKIN_BELOW * lid.face))
        # The lids of deep-set eyes lie in shade: no darker than the skin under them, though.
        above = np.maximum(above, 0.80 * below)
        rows = _sampled(soft, lid, u, upper)
        dark = rows[rows.sum(axis=1) <= np.percentile(rows.sum(axis=1), 25)].mean(axis=0)
        return cls(above, below, np.minimum(dark * 0.75, 0.45 * below.mean(axis=0)))

    def skin(self, t: Floats, down: Floats) -> Floats:
        """The lid's colour at t (-1 to 1 across) and `down` (0 at its crease, 1 at the lower lid)."""
        down = np.clip(down, 0, 1)[..., None]
        place = np.linspace(-1, 1, COLUMNS)
        above, below = (
            np.stack([np.interp(t, place, side[:, channel]) for channel in range(3)], axis=-1)
            for side in (self.above, self.below)
        )
        round_light = 1 + 0.05 * np.sin(np.pi * down) - 0.06 * down**4
        crease = 1 - 0.07 * np.exp(-(((down - 0.30) / 0.07) ** 2))
        return np.asarray((above + (below - above) * down) * round_light * crease)


def _sampled(picture: Picture, lid: _Lid, u: Floats, v: Floats) -> Floats:
    x, y = (part.astype(np.float32)[None] for part in lid.to_picture(u, v))
    return np.asarray(
        cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0], np.float64
    )


def _even(colours: Floats) -> Floats:
    """Without single lashes, hairs and spots."""
    middle = median_filter(colours, size=(31, 1), mode="nearest")
    return np.asarray(gaussian_filter1d(middle, 6.0, axis=0, mode="nearest"))


def _increasing(points: Floats) -> tuple[Floats, Floats]:
    order = np.argsort(points[:, 0])
    u, v = points[order, 0], points[order, 1]
    keep = np.concatenate([[True], np.diff(u) > 1e-3])
    return u[keep], v[keep]
