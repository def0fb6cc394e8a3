"""Where a mouth is, in its own coordinates.

Mouth coordinates are pixels: `u` along the mouth towards the picture's right, `v` down the face,
with the origin half way between the corners of the mouth. `t` is `u` scaled so that the corners
lie at -1 and 1 and the middle of the lips at 0, also where a turned head makes one half shorter.
Every length is a share of the face's height, so that pictures of any size move alike.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from workers.adapters.avatar.base import Box
from workers.adapters.avatar.viseme.landmarks import face_height

Floats = NDArray[np.float64]
SAMPLES = np.linspace(-1, 1, 129)  # where curves along the lips are sampled, in t

UPPER_INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
UPPER_OUTER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
LOWER_OUTER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
JAW = (234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454)
NOSE_BASE = 2

# What a face without landmarks is taken to be like, in widths of its mouth.
FACE_PER_MOUTH = 2.9
NOSE_ABOVE, CHIN_BELOW, CHEEK_BESIDE = 0.62, 1.05, 1.45


@dataclass(slots=True)
class Mouth:
    """One mouth at rest. Curves are `v` at `SAMPLES`."""

    origin: Floats
    along: Floats
    down: Floats
    face: float
    left: float
    right: float
    middle: float
    upper: Floats
    lower: Floats
    upper_outer: Floats
    lower_outer: Floats
    nose: float
    cheek_left: float
    cheek_right: float
    jaw_u: Floats
    jaw_v: Floats
    toothy: bool = False

    @property
    def chin(self) -> float:
        return float(self.jaw_v.max())

    def to_mouth(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        dx, dy = x - self.origin[0], y - self.origin[1]
        return dx * self.along[0] + dy * self.along[1], dx * self.down[0] + dy * self.down[1]

    def to_picture(self, u: Floats, v: Floats) -> tuple[Floats, Floats]:
        x = self.origin[0] + u * self.along[0] + v * self.down[0]
        return x, self.origin[1] + u * self.along[1] + v * self.down[1]

    def t_of(self, u: Floats) -> Floats:
        side = u - self.middle
        return np.where(side < 0, side / (self.middle - self.left), side / (self.right - self.middle))

    def u_of(self, t: Floats) -> Floats:
        return self.middle + np.where(t < 0, t * (self.middle - self.left), t * (self.right - self.middle))


def mouth_of_landmarks(points: Floats) -> Mouth:
    left, right = points[UPPER_INNER[0]], points[UPPER_INNER[-1]]
    origin, along = (left + right) / 2, (right - left) / np.hypot(*(right - left))
    down = np.array([-along[1], along[0]])

    def local(numbers: tuple[int, ...]) -> Floats:
        offset = points[list(numbers)] - origin
        return np.column_stack([offset @ along, offset @ down])

    upper, lower, jaw = local(UPPER_INNER), local(LOWER_INNER), local(JAW)
    middle = float((upper[5, 0] + lower[5, 0]) / 2)
    mouth = Mouth(
        origin=origin,
        along=along,
        down=down,
        face=face_height(points),
        left=float(upper[0, 0]),
        right=float(upper[-1, 0]),
        middle=middle,
        upper=np.zeros_like(SAMPLES),
        lower=np.zeros_like(SAMPLES),
        upper_outer=np.zeros_like(SAMPLES),
        lower_outer=np.zeros_like(SAMPLES),
        nose=float(local((NOSE_BASE,))[0, 1]),
        cheek_left=middle - float(np.interp(0.0, jaw[:8, 1], jaw[:8, 0])),
        cheek_right=float(np.interp(0.0, jaw[:-9:-1, 1], jaw[:-9:-1, 0])) - middle,
        jaw_u=jaw[4:-4, 0],
        jaw_v=jaw[4:-4, 1],
    )
    us = mouth.u_of(SAMPLES)
    mouth.upper, mouth.lower = _curve(upper, us), _curve(lower, us)
    mouth.lower = np.maximum(mouth.lower, mouth.upper)
    mouth.upper_outer = np.minimum(_curve(local(UPPER_OUTER), us), mouth.upper)
    mouth.lower_outer = np.maximum(_curve(local(LOWER_OUTER), us), mouth.lower)
    return mouth


def mouth_of_box(box: Box, width: int, height: int) -> Mouth:
    """A mouth known only by its box: a plain line between two lips, on a face of common proportions."""
    left, right = box.left * width, box.right * width
    top, bottom = box.top * height, box.bottom * height
    wide, tall = right - left, bottom - top
    half = wide / 2
    jaw_u = np.linspace(-1, 1, 13) * wide * CHEEK_BESIDE * 0.8
    flat = np.zeros_like(SAMPLES)
    arch = np.sqrt(1 - SAMPLES**2 * 0.98) * min(tall / 2, wide / 5)
    return Mouth(
        origin=np.array([(left + right) / 2, (top + bottom) / 2]),
        along=np.array([1.0, 0.0]),
        down=np.array([0.0, 1.0]),
        face=wide * FACE_PER_MOUTH,
        left=-half * 0.94,
        right=half * 0.94,
        middle=0.0,
        upper=flat.copy(),
        lower=flat.copy(),
        upper_outer=-arch,
        lower_outer=arch,
        nose=-wide * NOSE_ABOVE,
        cheek_left=wide * CHEEK_BESIDE,
        cheek_right=wide * CHEEK_BESIDE,
        jaw_u=jaw_u,
        jaw_v=wide * CHIN_BELOW * np.sqrt(1 - (jaw_u / (wide * CHEEK_BESIDE)) ** 2),
    )


def moved_into(points: Floats, box: Box, width: int, height: int) -> Floats:
    """Landmarks whose mouth is put into a box that a person drew; the rest of the face stays."""
    lips = sorted({*UPPER_INNER, *LOWER_INNER, *UPPER_OUTER, *LOWER_OUTER})
    found = points[lips]
    low, high = found.min(axis=0), found.max(axis=0)
    wanted = np.array([[box.left * width, box.top * height], [box.right * width, box.bottom * height]])
    scale = (wanted[1] - wanted[0]) / np.maximum(high - low, 1e-6)
    moved = points.copy()
    moved[lips] = wanted[0] + (found - low) * scale
    return moved


def box_of(points: Floats, width: int, height: int) -> Box:
    """The box around the lips, in fractions of the picture."""
    lips = points[[*UPPER_OUTER, *LOWER_OUTER]]
    low, high = lips.min(axis=0), lips.max(axis=0)
    size = np.array([width, height])
    left, top, right, bottom = np.clip([*(low / size), *(high / size)], 0, 1).tolist()
    return Box(left, top, right, bottom)


def _curve(points: Floats, us: Floats) -> Floats:
    """A smooth curve through the points; it does not overshoot, and is flat outside."""
    order = np.argsort(points[:, 0])
    u, v = points[order, 0], points[order, 1]
    keep = np.concatenate([[True], np.diff(u) > 1e-3])
    spline = PchipInterpolator(u[keep], v[keep])
    return np.asarray(spline(np.clip(us, u[0], u[-1])))
