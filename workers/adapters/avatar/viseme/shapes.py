"""Draws the mouth shapes of a portrait: the part of the picture that a moving mouth changes."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.adapters.avatar.base import Picture
from workers.adapters.avatar.viseme.geometry import Mouth
from workers.adapters.avatar.viseme.interior import Interior
from workers.adapters.avatar.viseme.warp import BELOW_CHIN, Shape, Warp, smooth

Floats = NDArray[np.float64]
FIELD_FACE = 150.0  # fields are computed as if the face were this tall, and enlarged: they are smooth
MARGIN_PIXELS, MARGIN_FACE = 5, 0.02  # untouched picture around what moves: room for the head's own motion
CONTACT = np.array([0.30, 0.32, 0.18])  # how much darker lips are where they touch: light there is red
EDGE_KEPT = 0.012  # a toothy portrait's lips are not read this close to its teeth, of face height


@dataclass(frozen=True, slots=True)
class Rect:
    """Even pixel bounds, right and bottom excluded."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)


def rect_around(x: Floats, y: Floats, width: int, height: int, margin: float) -> Rect:
    """The even rectangle around points, inside the picture."""
    left = max(0, int(np.floor(x.min() - margin))) & ~1
    top = max(0, int(np.floor(y.min() - margin))) & ~1
    right = min(width, (int(np.ceil(x.max() + margin)) + 1) & ~1)
    bottom = min(height, (int(np.ceil(y.max() + margin)) + 1) & ~1)
    return Rect(left, top, right, bottom)


def margin_of(mouth: Mouth) -> float:
    return MARGIN_PIXELS + MARGIN_FACE * mouth.face


def moving_rect(mouth: Mouth, width: int, height: int) -> Rect:
    """All that any mouth shape moves."""
    left, right = mouth.middle - mouth.cheek_left, mouth.middle + mouth.cheek_right
    top = min(mouth.nose, float(mouth.upper.min()) - 0.1 * mouth.face)
    bottom = mouth.chin + BELOW_CHIN * mouth.face
    x, y = mouth.to_picture(np.array([left, right, left, right]), np.array([top, top, bottom, bottom]))
    return rect_around(x, y, width, height, margin_of(mouth))


class ShapeArtist:
    """Draws one portrait's mouth in any shape."""

    def __init__(self, picture: Picture, mouth: Mouth) -> None:
        self.picture, self.mouth = picture, mouth
        height, width = picture.shape[:2]
        self.rect = moving_rect(mouth, width, height)
        self.interior = Interior.of(picture, mouth)
        rows, columns = np.mgrid[self.rect.top : self.rect.bottom, self.rect.left : self.rect.right]
        self.u, self.v = mouth.to_mouth(columns.astype(np.float64), rows.astype(np.float64))
        self._coarse = self._coarse_grid()

    def draw(self, shape: Shape) -> Picture:
        """The patch of `self.rect` in this shape, of the picture's own channels."""
        warp = Warp.of(self.mouth, shape)
        above, below = self._moved(warp, below=False), self._moved(warp, below=True)
        upper, lower = warp.edges(self.u)
        over_upper = np.clip(0.5 + upper - self.v, 0, 1)[..., None]
        over_lower = np.clip(0.5 + self.v - lower, 0, 1)[..., None]
        drawn = above * over_upper + below * over_lower
        inside = np.maximum(0.0, 1 - over_upper - over_lower)
        if inside.any():
            self._fill(drawn, inside, warp)
        if self.mouth.toothy:
            drawn[..., :3] *= self._contact(warp, upper, lower)
        return np.asarray(np.clip(np.rint(drawn), 0, 255), dtype=np.uint8)

    def _fill(self, drawn: Floats, inside: Floats, warp: Warp) -> None:
        """Paint the inside of the mouth, in the small box that holds it."""
        rows, columns = (np.flatnonzero(inside[..., 0].any(axis=axis)) for axis in (1, 0))
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        portrait = self.picture[self.rect.slices][box].astype(np.float64)
        paint = self.interior.paint(warp, self.u[box], self.v[box], portrait[..., :3])
        drawn[box][..., :3] += paint * inside[box]
        if drawn.shape[2] == 4:
            drawn[box][..., 3:] += 255 * inside[box]

    def _contact(self, warp: Warp, upper: Floats, lower: Floats) -> Floats:
        """The shadow where the lips of a toothy portrait meet or part, which it does not show (BGR)."""
        width = max(0.8, 0.0090 * self.mouth.face)
        away = np.minimum(np.abs(self.v - upper), np.abs(self.v - lower)) / width
        within = np.clip((1.02 - np.abs(warp.drawn_t(self.u))) / 0.12, 0, 1)
        apart = float(smooth(np.asarray(warp.gap / (0.03 * self.mouth.face))))
        shadow = (1 - 0.6 * apart) * within * np.exp(-(away**2))
        return np.asarray(1 - CONTACT * shadow[..., None])

    def _coarse_grid(self) -> tuple[Floats, Floats]:
        """Mouth coordinates of a thinned pixel grid whose corners are the patch's own."""
        thin = max(1.0, self.mouth.face / FIELD_FACE)
        rows = np.linspace(self.rect.top, self.rect.bottom - 1, max(2, round(self.rect.height / thin)))
        columns = np.linspace(self.rect.left, self.rect.right - 1, max(2, round(self.rect.width / thin)))
        x, y = np.meshgrid(columns, rows)
        return self.mouth.to_mouth(x, y)

    def _moved(self, warp: Warp, *, below: bool) -> Floats:
        """The whole patch as one of the two fields moves it."""
        u, v = self._coarse
        from_u, from_v = warp.back(u, v, below=below)
        if self.mouth.toothy:
            from_v = self._off_the_teeth(from_u, from_v, below=below)
        du, dv = self._enlarged(from_u - u), self._enlarged(from_v - v)
        x, y = self.mouth.to_picture(self.u + du, self.v + dv)
        moved = cv2.remap(
            self.picture,
            x.astype(np.float32),
            y.astype(np.float32),
            cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return moved.astype(np.float64)

    def _off_the_teeth(self, u: Floats, v: Floats, *, below: bool) -> Floats:
        """Repeat the lip's own colour where its edge shows the teeth behind it."""
        held = np.clip(self.mouth.t_of(u), -1, 1)
        keep = EDGE_KEPT * self.mouth.face * np.clip((1 - np.abs(held)) / 0.1, 0, 1)
        curve = self.mouth.lower if below else self.mouth.upper
        edge = np.interp(held, np.linspace(-1, 1, len(curve)), curve)
        inside = np.abs(self.mouth.t_of(u)) < 1
        pushed = np.maximum(v, edge + keep) if below else np.minimum(v, edge - keep)
        return np.where(inside, pushed, v)

    def _enlarged(self, field: Floats) -> Floats:
        """Bring a field from the coarse grid to every pixel, corners onto corners."""
        rows, columns = np.mgrid[: self.rect.height, : self.rect.width].astype(np.float32)
        if field.shape == rows.shape:
            return field
        y = rows * ((field.shape[0] - 1) / (self.rect.height - 1))
        x = columns * ((field.shape[1] - 1) / (self.rect.width - 1))
        return cv2.remap(field.astype(np.float32), x, y, cv2.INTER_LINEAR).astype(np.float64)
