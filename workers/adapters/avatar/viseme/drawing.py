"""Puts frames together, in the planes that the encoder takes.

A `Portrait` is one loaded avatar; an `Artist` draws it for one stream, over that stream's own
background where the portrait has transparency. Poses of the head and of the shoulders are drawn
when they are first needed and kept by the portrait, or by the artist where a background shows.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.adapters.avatar.base import I420, Picture
from workers.adapters.avatar.pictures import Planes, plain, planes, to_i420
from workers.adapters.avatar.viseme import motion
from workers.adapters.avatar.viseme.bundle import Bundle, Patches
from workers.adapters.avatar.viseme.eyes import LID_STEPS
from workers.adapters.avatar.viseme.shapes import Rect, rect_around

Floats = NDArray[np.float64]
Single = NDArray[np.float32]
Map = tuple[Single, Single]
Plane = NDArray[np.uint8]
NEAREST = 1e-3
LUMA, CHROMA = cv2.INTER_CUBIC, cv2.INTER_LINEAR  # nobody sees the difference in chroma
BORDER = 3  # pixels of a patch's rim that bicubic sampling may not reach across


@dataclass(frozen=True, slots=True)
class Blended:
    """One picture of a patch's rectangle."""

    y: Plane
    u: Plane
    v: Plane
    a: Plane | None

    def parts(self) -> tuple[Plane, Plane, Plane]:
        return self.y, self.u, self.v


class Portrait:
    """A loaded avatar; shared between streams. Kept poses are only ever added, so threads may share it."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.height, self.width = bundle.portrait.shape[0] * 2 // 3, bundle.portrait.shape[1]
        mouth = bundle.mouth
        self.pivot = motion.pivot_of(mouth)
        self.head = self._head_rect()
        self.body = Rect(0, self.shoulders, self.width, self.height)
        self._kept: dict[tuple[str, int], Planes] = {}
        self._grids: dict[str, tuple[Single, Single, Single]] = {}
        openings = np.array(bundle.openings)
        self.openings, self.widths = openings, np.array(bundle.widths)
        reach = math.ceil((motion.SWAY + motion.TILT) * mouth.face) + BORDER
        self.mouth_target = _inset(bundle.mouths.rect, reach, self.width, self.height)
        self.eye_targets = [_inset(eye.rect, reach, self.width, self.height) for eye in bundle.eyes]

    def artist(self, background: Picture | None) -> "Artist":
        if self.bundle.alpha is None:
            return Artist(self)
        wall = plain(self.width, self.height) if background is None else background
        if wall.shape[:2] != (self.height, self.width):
            wall = np.asarray(
                cv2.resize(wall, (self.width, self.height), interpolation=cv2.INTER_AREA), np.uint8
            )
        return LayeredArtist(self, to_i420(np.ascontiguousarray(wall)))

    @property
    def alpha(self) -> Plane:
        """Transparency of the portrait, 255 where it is opaque."""
        if self.bundle.alpha is None:
            return np.full((self.height, self.width), 255, np.uint8)
        return self.bundle.alpha

    def inverse(self, index: int) -> Floats:
        return motion.head_pose(index, self.bundle.mouth.face).inverse_about(self.pivot)

    def moving(self) -> NDArray[np.bool_]:
        """Where head, breath or mouth ever change the picture, shape (height, width)."""
        moves = np.zeros((self.height, self.width), np.bool_)
        for part, rect in (("head", self.head), ("body", self.body)):
            moves[rect.slices] |= self._grid(part, rect)[2] > 0
        return moves

    def posed(self, part: str, index: int) -> tuple[Rect, Planes]:
        """The head's or the body's rectangle in one pose, as planes."""
        rect = self.head if part == "head" else self.body
        key = (part, index)
        if key not in self._kept:
            self._kept[key] = self._drawn(part, index, rect, planes(self.bundle.portrait))
        return rect, self._kept[key]

    def posed_alpha(self, part: str, index: int) -> Plane:
        """The transparency of the same rectangle in the same pose."""
        rect = self.head if part == "head" else self.body
        map_x, map_y = self._map(part, index, rect)
        return _remapped(self.alpha, map_x, map_y)

    def _drawn(self, part: str, index: int, rect: Rect, source: Planes) -> Planes:
        map_x, map_y = self._map(part, index, rect)
        half_x, half_y = (_halved(side) for side in (map_x, map_y))
        y = _remapped(source[0], map_x, map_y)
        u, v = (_remapped(part, half_x, half_y, CHROMA) for part in source[1:])
        return y, u, v

    def _map(self, part: str, index: int, rect: Rect) -> Map:
        """Where each pixel of the moved part comes from."""
        rows, columns, share = self._grid(part, rect)
        if part == "body":
            rise = np.float32(motion.breath_rise(index, self.bundle.mouth.face))
            return columns, rows + share * rise
        back = self.inverse(index).astype(np.float32)
        dx = (back[0, 0] - 1) * columns + back[0, 1] * rows + back[0, 2]
        dy = back[1, 0] * columns + (back[1, 1] - 1) * rows + back[1, 2]
        return columns + share * dx, rows + share * dy

    def _grid(self, part: str, rect: Rect) -> tuple[Single, Single, Single]:
        """Rows, columns, and how much each pixel of the part takes part in its movement."""
        if part not in self._grids:
            mouth = self.bundle.mouth
            rows, columns = np.mgrid[rect.top : rect.bottom, rect.left : rect.right].astype(np.float64)
            below = rows - self.bundle.mouths.rect.bottom
            if part == "head":
                share = motion.head_share(mouth, *mouth.to_mouth(columns, rows), below)
            else:
                share = motion.breath_share(mouth, below)
            single = (side.astype(np.float32) for side in (rows, columns, share))
            self._grids[part] = (next(single), next(single), next(single))
        return self._grids[part]

    def _head_rect(self) -> Rect:
        x, y = self.bundle.mouth.to_picture(*motion.head_corners(self.bundle.mouth))
        rect = rect_around(x, y, self.width, self.height, 1)
        return Rect(rect.left, rect.top, rect.right, self.shoulders)

    @property
    def shoulders(self) -> int:
        """The row that parts head and body."""
        line = self.bundle.mouths.rect.bottom + motion.neck_length(self.bundle.mouth)
        return min(int(self.height), (int(line) + 1) & ~1)


class Artist:
    """Draws one stream of an opaque portrait."""

    def __init__(self, portrait: Portrait) -> None:
        self.portrait = portrait
        self.frame = portrait.bundle.portrait.copy()
        self.planes = planes(self.frame)
        self.showing: dict[str, int] = {}

    def draw(self, frame: int, opening: float, width: float) -> I420:
        """Draw frame `frame`; the picture is valid until the next call."""
        head = motion.head_index(frame)
        self._place("head", head, always=True)
        self._place("body", motion.breath_index(frame), always=False)
        mouth = blended_mouth(self.portrait, opening, width)
        if mouth is not None:
            self._lay(mouth, self.portrait.bundle.mouths.rect, self.portrait.mouth_target, head)
        lids = motion.lids(frame)
        if lids > 0:
            for eye, target in zip(self.portrait.bundle.eyes, self.portrait.eye_targets, strict=True):
                self._lay(blended_lid(eye, lids), eye.rect, target, head)
        return self.frame

    def _place(self, part: str, index: int, *, always: bool) -> None:
        """Put the head or the body in its pose. The head always: a mouth was drawn over it."""
        if self.showing.get(part) == index and not always:
            return
        if part == "body" and not self.portrait.body.height:
            return  # a picture that ends above the shoulders
        self.showing[part] = index
        rect, source = self._posed(part, index)
        _write(self.planes, rect, source)

    def _posed(self, part: str, index: int) -> tuple[Rect, Planes]:
        return self.portrait.posed(part, index)

    def _lay(self, patch: Blended, rect: Rect, target: Rect, head: int) -> None:
        """Move a patch with the head and write what lies inside `target`."""
        _write(self.planes, target, self._moved(patch, rect, target, head))

    def _moved(self, patch: Blended, rect: Rect, target: Rect, head: int) -> Planes:
        back = _between(self.portrait.inverse(head), target, rect)
        half = _half_affine(back)
        y = _affine(patch.y, back, target.width, target.height)
        u, v = (
            _affine(part, half, target.width // 2, target.height // 2, CHROMA) for part in (patch.u, patch.v)
        )
        return y, u, v


class LayeredArtist(Artist):
    """Draws one stream of a portrait with transparency over a background."""

    def __init__(self, portrait: Portrait, wall: I420) -> None:
        super().__init__(portrait)
        self.wall = planes(wall)
        self._layered: dict[tuple[str, int], Planes] = {}
        whole = Rect(0, 0, portrait.width, portrait.height)
        source = planes(portrait.bundle.portrait)
        _write(self.planes, whole, self._over(whole, source, portrait.alpha))

    def _posed(self, part: str, index: int) -> tuple[Rect, Planes]:
        rect, source = self.portrait.posed(part, index)
        key = (part, index)
        if key not in self._layered:
            self._layered[key] = self._over(rect, source, self.portrait.posed_alpha(part, index))
        return rect, self._layered[key]

    def _lay(self, patch: Blended, rect: Rect, target: Rect, head: int) -> None:
        moved = self._moved(patch, rect, target, head)
        if patch.a is not None:
            back = _between(self.portrait.inverse(head), target, rect)
            moved = self._over(target, moved, _affine(patch.a, back, target.width, target.height))
        _write(self.planes, target, moved)

    def _over(self, rect: Rect, source: Planes, alpha: Plane) -> Planes:
        """Lay planes of a rectangle over the background."""
        size = rect.width // 2, rect.height // 2
        half = np.asarray(cv2.resize(alpha, size, interpolation=cv2.INTER_AREA), np.uint8)
        walls = [wall[area] for wall, area in zip(self.wall, _areas(rect), strict=True)]
        y, u, v = (
            _mixed(part, wall, mask)
            for part, wall, mask in zip(source, walls, (alpha, half, half), strict=True)
        )
        return y, u, v


def blended_mouth(portrait: Portrait, opening: float, width: float) -> Blended | None:
    """The mouth between its four nearest shapes; None for a mouth at rest whose portrait shows just that."""
    mouths, mouth = portrait.bundle.mouths, portrait.bundle.mouth
    if opening < NEAREST and abs(width) < NEAREST and not mouth.toothy:
        return None
    row, down = _place_in(portrait.openings, opening)
    column, across = _place_in(portrait.widths, width)
    return _blend(mouths, (row, column), (down, across))


def blended_lid(eye: Patches, shut: float) -> Blended:
    place = min(range(len(LID_STEPS)), key=lambda step: abs(LID_STEPS[step] - shut))
    return Blended(eye.y[place], eye.u[place], eye.v[place], None if eye.a is None else eye.a[place])


def _blend(patches: Patches, place: tuple[int, int], share: tuple[float, float]) -> Blended:
    parts = [_bilinear(part, place, share) for part in (patches.y, patches.u, patches.v)]
    alpha = None if patches.a is None else _bilinear(patches.a, place, share)
    return Blended(parts[0], parts[1], parts[2], alpha)


def _bilinear(grid: Plane, place: tuple[int, int], share: tuple[float, float]) -> Plane:
    row, column = place
    near = _mix(grid[row, column], grid[min(row + 1, grid.shape[0] - 1), column], share[0])
    if share[1] < NEAREST:
        return near
    column = min(column + 1, grid.shape[1] - 1)
    far = _mix(grid[row, column], grid[min(row + 1, grid.shape[0] - 1), column], share[0])
    return _mix(near, far, share[1])


def _mix(one: Plane, other: Plane, share: float) -> Plane:
    if share < NEAREST:
        return one
    return np.asarray(cv2.addWeighted(one, 1 - share, other, share, 0), dtype=np.uint8)


def _place_in(steps: Floats, value: float) -> tuple[int, float]:
    """The step at or below a value, and how far it is on the way to the next."""
    value = min(max(value, float(steps[0])), float(steps[-1]))
    place = min(int(np.searchsorted(steps, value, side="right")) - 1, len(steps) - 2)
    return place, float((value - steps[place]) / (steps[place + 1] - steps[place]))


def _areas(rect: Rect) -> tuple[tuple[slice, slice], ...]:
    rows, columns = rect.slices
    half = slice(rows.start // 2, rows.stop // 2), slice(columns.start // 2, columns.stop // 2)
    return (rows, columns), half, half


def _write(target: Planes, rect: Rect, source: Planes) -> None:
    for plane, area, part in zip(target, _areas(rect), source, strict=True):
        plane[area] = part


def _inset(rect: Rect, by: int, width: int, height: int) -> Rect:
    """A smaller even rectangle; sides on the picture's own edge stay there."""
    by = (by + 1) & ~1
    return Rect(
        rect.left + (by if rect.left else 0),
        rect.top + (by if rect.top else 0),
        rect.right - (by if rect.right < width else 0),
        rect.bottom - (by if rect.bottom < height else 0),
    )


def _between(back: Floats, target: Rect, source: Rect) -> Floats:
    """The same map from pixels of one rectangle to pixels of another."""
    moved = back.copy()
    moved[:, 2] += back[:, 0] * target.left + back[:, 1] * target.top - (source.left, source.top)
    return moved


def _half_affine(back: Floats) -> Floats:
    """The same map for chroma, whose samples lie in the middle of four pixels."""
    half = back.copy()
    half[:, 2] = (back[:, 2] + (back[:, 0] + back[:, 1]) * 0.5 - 0.5) / 2
    return half


def _halved(side: Single) -> Single:
    mean = (side[0::2, 0::2] + side[1::2, 0::2] + side[0::2, 1::2] + side[1::2, 1::2]) / 4
    return np.asarray((mean - 0.5) / 2, dtype=np.float32)


def _affine(source: Plane, back: Floats, width: int, height: int, kernel: int = LUMA) -> Plane:
    flags = kernel | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(source, back, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE),
        dtype=np.uint8,
    )


def _remapped(source: Plane, map_x: Single, map_y: Single, kernel: int = LUMA) -> Plane:
    return np.asarray(
        cv2.remap(source, map_x, map_y, kernel, borderMode=cv2.BORDER_REPLICATE), dtype=np.uint8
    )


def _mixed(part: Plane, wall: Plane, alpha: Plane) -> Plane:
    share = alpha.astype(np.float32) * np.float32(1 / 255)
    return np.asarray(cv2.blendLinear(part, np.ascontiguousarray(wall), share, 1 - share), dtype=np.uint8)
