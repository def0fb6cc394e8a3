"""Loaded plates: the pictures of an avatar that a model draws the mouth into."""

import threading
import weakref
from collections import OrderedDict
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.adapters.avatar.base import I420, Background, Picture
from workers.adapters.avatar.pictures import Planes, plain, planes, to_bgr, to_i420
from workers.adapters.avatar.plates import film
from workers.adapters.avatar.plates.bundle import PlateBundle, unpack

PIXELS = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; right and bottom are excluded."""
KEPT_BYTES = 256_000_000
"""Of decoded pictures, in one process."""
Single = NDArray[np.float32]
T = TypeVar("T", bound=np.generic)


class Decoded:
    """The decoded segments of all avatars of the process, the least used thrown away first."""

    def __init__(self, most_bytes: int = KEPT_BYTES) -> None:
        self._most, self._bytes = most_bytes, 0
        self._kept: OrderedDict[tuple[object, str, int], film.Segment] = OrderedDict()
        self._lock = threading.RLock()  # what drops an avatar may run inside of what keeps another

    def get(self, owner: object, kind: str, number: int) -> film.Segment | None:
        key = (owner, kind, number)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def keep(self, owner: object, kind: str, number: int, segment: film.Segment) -> None:
        with self._lock:
            self._drop((owner, kind, number))
            self._kept[owner, kind, number] = segment
            self._bytes += segment.nbytes
            while self._bytes > self._most and len(self._kept) > 1:
                self._drop(next(iter(self._kept)))

    def forget(self, owner: object) -> None:
        with self._lock:
            for key in [key for key in list(self._kept) if key[0] is owner]:
                self._drop(key)

    def _drop(self, key: tuple[object, str, int]) -> None:
        if key in self._kept:
            self._bytes -= self._kept.pop(key).nbytes


decoded = Decoded()


class Plates:
    """One loaded avatar, shared between streams and threads.

    `count` pictures play in a loop of `period` frames; those of every frame of the film are found by
    `index`. Pictures of a transparent avatar stand before `background` (see `before`). `crop` says that
    boxes are to be used as they are, `filmed` that the mouth may move in the pictures themselves.
    """

    def __init__(self, bundle: PlateBundle, background: Picture | None = None) -> None:
        self._bundle = bundle
        self.width, self.height, self.count = bundle.width, bundle.height, bundle.count
        self.period = 2 * self.count - 2 if bundle.pingpong and self.count > 1 else self.count
        self.crop, self.filmed = bundle.crop, bundle.pingpong
        self._owner = object()
        self._wall: Planes | None = None
        if bundle.alpha:
            wall = plain(self.width, self.height) if background is None else background
            size = self.width, self.height
            self._wall = planes(
                to_i420(np.asarray(cv2.resize(wall, size, interpolation=cv2.INTER_AREA), np.uint8))
            )
        weakref.finalize(self, decoded.forget, self._owner)

    @classmethod
    def of(cls, data: bytes) -> "Plates":
        """Load a bundle. Raises `AdapterError` (`bundle_invalid`)."""
        return cls(unpack(data))

    def before(self, background: Background | None) -> "Plates":
        """The same avatar before this background; itself where nothing shows through."""
        if background is None or not self._bundle.alpha:
            return self
        return Plates(self._bundle, background.image[:, :, :3])

    def index(self, frame: int) -> int:
        """Which picture frame `frame` of a film shows."""
        place = frame % self.period
        return place if place < self.count else self.period - place

    def i420(self, index: int) -> I420:
        """One picture; shared, so it is not to be written to."""
        number, place = divmod(index, film.SEGMENT)
        segment = decoded.get(self._owner, "shown", number)
        if segment is None:
            segment = self._shown(number)
            segment.setflags(write=False)
            decoded.keep(self._owner, "shown", number, segment)
        return np.asarray(segment[place])

    def picture(self, index: int) -> Picture:
        """The same as BGR, shape (height, width, 3)."""
        return to_bgr(self.i420(index))

    def part(self, index: int, box: PIXELS) -> Picture:
        """What lies in a box of it, as BGR; the box must lie inside the picture."""
        whole = _even(box, self.width, self.height)
        left, top, right, bottom = whole
        y, u, v = planes(self.i420(index))
        half = slice(top // 2, bottom // 2), slice(left // 2, right // 2)
        cut = [y[top:bottom, left:right].reshape(-1), u[half].reshape(-1), v[half].reshape(-1)]
        picture = to_bgr(np.concatenate(cut).reshape(-1, right - left))
        return picture[box[1] - top : box[3] - top, box[0] - left : box[2] - left]

    def box(self, index: int) -> PIXELS:
        """The face in this picture."""
        left, top, right, bottom = self._bundle.boxes[index].tolist()
        return left, top, right, bottom

    def points(self, index: int) -> Single:
        """The 468 landmarks of the face in this picture, shape (468, 2), in pixels."""
        return np.asarray(self._bundle.points[index])

    def paste(self, out: I420, index: int, patch: Picture, box: PIXELS, mask: Single) -> None:
        """Lay a BGR patch of the size of `box` over `out`, which shows the picture `index`.

        `mask` has the patch's size, 0 to 1; where it is 0 nothing changes, not by rounding either.
        The box may reach out of the picture. What is transparent stays so.
        """
        whole = _even(box, self.width, self.height)
        if whole[2] <= whole[0] or whole[3] <= whole[1]:
            return
        colours = planes(to_i420(_placed(patch, box, whole, cv2.BORDER_REPLICATE)))
        share = _placed(mask.astype(np.float32, copy=False), box, whole, cv2.BORDER_CONSTANT)
        if self._bundle.alpha:
            left, top, right, bottom = whole
            share = share * (self._alpha(index)[top:bottom, left:right] * np.float32(1 / 255))
        half = np.asarray(cv2.resize(share, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.float32)
        for plane, colour, weight, by in zip(
            planes(out), colours, (share, half, half), (1, 2, 2), strict=True
        ):
            left, top, right, bottom = (side // by for side in whole)
            area = plane[top:bottom, left:right]
            mixed = cv2.blendLinear(colour, np.ascontiguousarray(area), weight, 1 - weight)
            area[...] = np.where(weight > 0, mixed, area)

    def _shown(self, number: int) -> film.Segment:
        segment = film.decode(self._bundle.film[number], self.width, self.height)
        if self._wall is None:
            return segment
        for picture, alpha in zip(segment, self._alphas(number), strict=True):
            _stand_before(planes(picture), self._wall, planes(alpha)[0])
        return segment

    def _alphas(self, number: int) -> film.Segment:
        segment = decoded.get(self._owner, "alpha", number)
        if segment is None:
            segment = film.decode(self._bundle.alpha[number], self.width, self.height)
            decoded.keep(self._owner, "alpha", number, segment)
        return segment

    def _alpha(self, index: int) -> NDArray[np.uint8]:
        number, place = divmod(index, film.SEGMENT)
        return planes(self._alphas(number)[place])[0]


def _stand_before(picture: Planes, wall: Planes, alpha: NDArray[np.uint8]) -> None:
    share = alpha.astype(np.float32) * np.float32(1 / 255)
    half = np.asarray(cv2.resize(share, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.float32)
    for plane, behind, weight in zip(picture, wall, (share, half, half), strict=True):
        plane[...] = cv2.blendLinear(plane, behind, weight, 1 - weight)


def _even(box: PIXELS, width: int, height: int) -> PIXELS:
    """The smallest even rectangle around a box, inside the picture."""
    left, top, right, bottom = box
    return max(0, left) & ~1, max(0, top) & ~1, min(width, right + 1) & ~1, min(height, bottom + 1) & ~1


def _placed(part: NDArray[T], box: PIXELS, whole: PIXELS, border: int) -> NDArray[T]:
    """Cut or widen a part from `box` to `whole`."""
    left, top, right, bottom = (there - here for here, there in zip(box, whole, strict=True))
    cut = part[max(0, top) : part.shape[0] + min(0, bottom), max(0, left) : part.shape[1] + min(0, right)]
    sides = max(0, -top), max(0, bottom), max(0, -left), max(0, right)
    return np.ascontiguousarray(cv2.copyMakeBorder(np.ascontiguousarray(cut), *sides, border))
