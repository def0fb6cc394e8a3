"""What shows between the lips: cavity, tongue and upper teeth.

A portrait with closed lips says nothing about its teeth, so they are painted, in the light of
the skin around the mouth. A toothy one lends its own, which stay where they are in the skull.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from workers.adapters.avatar.base import Picture
from workers.adapters.avatar.viseme.geometry import SAMPLES, Mouth
from workers.adapters.avatar.viseme.lipline import unrolled
from workers.adapters.avatar.viseme.warp import Warp, smooth

Floats = NDArray[np.float64]

CAVITY_DEEP, CAVITY_NEAR = np.array([16.0, 12.0, 34.0]), np.array([34.0, 26.0, 74.0])  # BGR in full light
TONGUE, TONGUE_EDGE = np.array([92.0, 84.0, 168.0]), np.array([50.0, 40.0, 104.0])
TOOTH = np.array([0.90, 0.965, 1.0])
SHADED_TOOTH = np.array([0.50, 0.56, 0.74])  # behind lips that hardly part, light comes through skin
TOOTH_LENGTH = 0.021  # of face height below the lip line at rest
TOOTH_EDGES = (-0.80, -0.58, -0.33, 0.0, 0.33, 0.58, 0.80)  # in t
TOOTH_ARCH = 0.80  # where the row of teeth ends, in t
LIT_SKIN = 170.0  # the luma of skin under which the colours above are right


@dataclass(slots=True)
class Interior:
    """The painter of one portrait's mouth."""

    mouth: Mouth
    light: float  # the luma of skin
    white: float  # the luma of teeth in full light
    tint: Floats  # of the light, as the skin shows it: 1 is white
    own_teeth: Floats | None  # a toothy portrait: v of the lower edge of its teeth at SAMPLES

    @classmethod
    def of(cls, picture: Picture, mouth: Mouth) -> "Interior":
        teeth = own_teeth(picture, mouth) if mouth.toothy else None
        skin, bright = _skin(picture, mouth), _brightest(picture, mouth)
        luma = float(skin @ (0.114, 0.587, 0.299))
        return cls(mouth, luma, max(1.22 * luma, 0.78 * bright), (skin / max(luma, 1.0)) ** 0.3, teeth)

    def paint(self, warp: Warp, u: Floats, v: Floats, portrait: Floats) -> Floats:
        """Draw the inside for points (u, v) of shape (h, w); `portrait` is the picture there, unmoved."""
        upper, lower = warp.edges(u)
        depth = np.clip((v - upper) / np.maximum(lower - upper, 1e-3), 0, 1)
        colour = CAVITY_DEEP + (CAVITY_NEAR - CAVITY_DEEP) * (depth[..., None] ** 2)  # (h, w, BGR)
        colour = colour * np.clip(self.light / LIT_SKIN, 0.45, 1.15)
        colour = self._tongue(colour, warp, u, v)
        colour = self._teeth(colour, warp, u, v, portrait)
        shade = 0.50 if self.own_teeth is None else 0.30
        under_lip = 1 - shade * np.exp(-np.maximum(v - upper, 0) / (0.009 * self.mouth.face))
        return colour * under_lip[..., None]

    def _tongue(self, colour: Floats, warp: Warp, u: Floats, v: Floats) -> Floats:
        face, gap = self.mouth.face, warp.gap
        across = warp.drawn_t(u) / 0.78
        lower = warp.edges(u)[1]
        height = 0.40 * gap * np.sqrt(np.maximum(0.0, 1 - across**2))
        inside = (v - (lower - height)) / np.maximum(height, 1e-3)
        cover = smooth((v - (lower - height)) / (0.012 * face) + 0.5) * (np.abs(across) < 1)
        cover = cover * smooth(np.asarray((gap / face - 0.030) / 0.045))
        shade = smooth(inside)[..., None] * (1 - 0.5 * np.clip(across, -1, 1) ** 2)[..., None]
        tongue = (TONGUE_EDGE + (TONGUE - TONGUE_EDGE) * shade) * np.clip(self.light / LIT_SKIN, 0.45, 1.1)
        return np.asarray(colour + (tongue - colour) * (0.85 * cover)[..., None])

    def _teeth(self, colour: Floats, warp: Warp, u: Floats, v: Floats, portrait: Floats) -> Floats:
        face = self.mouth.face
        t = self.mouth.t_of(u)
        held = np.clip(t, -1, 1)
        if self.own_teeth is not None:
            bottom = np.interp(held, SAMPLES, self.own_teeth)
            cover = np.clip(0.5 + (bottom - v) / max(1.0, 0.006 * face), 0, 1)
            shown = cover * smooth(np.asarray(warp.gap / face / 0.02)) * smooth((0.90 - np.abs(t)) / 0.12)
            return colour + (portrait - colour) * shown[..., None]
        bottom, line = self._painted_edge(held), self._between(t)
        cover = np.clip(0.5 + (bottom - v) / max(1.0, 0.005 * face), 0, 1)
        cover = cover * smooth((TOOTH_ARCH - np.abs(t)) / 0.14)
        cover = cover * smooth(np.asarray((warp.gap / face - 0.012) / 0.030))
        level = np.clip(self.white, 80, 232) * (1 - 0.50 * held**2) * (1 - 0.10 * line)
        lit = smooth(np.asarray((warp.gap / face - 0.015) / 0.045))
        tooth = (SHADED_TOOTH + (TOOTH - SHADED_TOOTH) * lit) * self.tint * level[..., None]
        return np.asarray(colour + (tooth - colour) * (0.94 * cover)[..., None])

    def _painted_edge(self, t: Floats) -> Floats:
        rest = np.interp(t, SAMPLES, self.mouth.upper)
        length = TOOTH_LENGTH * (1 - 0.30 * t**2) - 0.0025 * self._between(t)
        return rest + length * self.mouth.face

    def _between(self, t: Floats) -> Floats:
        """1 on the lines between teeth, 0 away from them."""
        half = (self.mouth.right - self.mouth.left) / 2
        width = max(0.7, 0.0035 * self.mouth.face) / half
        return np.asarray(sum(np.exp(-(((t - edge) / width) ** 2)) for edge in TOOTH_EDGES))


def own_teeth(picture: Picture, mouth: Mouth) -> Floats:
    """The lower edge of the teeth in a toothy portrait: the last bright row between the lips."""
    middle, half = (mouth.upper + mouth.lower) / 2, (mouth.lower - mouth.upper) / 2
    around = unrolled(picture, mouth, middle, float(half.max()))
    rows = np.linspace(-1, 1, len(around))[:, None] * float(half.max())
    inside = np.abs(rows) <= half[None] * 0.92
    bright = around > 0.62 * np.percentile(around[inside], 92) if inside.any() else inside
    last = np.where(bright & inside, rows, -half[None]).max(axis=0)
    return np.asarray(middle + gaussian_filter1d(last, 4.0, mode="nearest"))


def _brightest(picture: Picture, mouth: Mouth) -> float:
    """The luma of the brightest parts of the face, such as the whites of the eyes: teeth are as white."""
    u, v = np.meshgrid(
        np.linspace(mouth.left, mouth.right, 64) * 1.4, np.linspace(-0.6, 0.2, 64) * mouth.face
    )
    x, y = mouth.to_picture(u, v)
    columns = np.clip(x.round().astype(int), 0, picture.shape[1] - 1)
    rows = np.clip(y.round().astype(int), 0, picture.shape[0] - 1)
    return float(np.percentile(picture[rows, columns, :3] @ np.array([0.114, 0.587, 0.299]), 99))


def _skin(picture: Picture, mouth: Mouth) -> Floats:
    """The colour (BGR) of well-lit skin beside and below the mouth."""
    u = np.concatenate([mouth.u_of(np.linspace(-1.5, 1.5, 31)), mouth.u_of(np.linspace(-0.6, 0.6, 31))])
    v = np.concatenate([np.full(31, 0.0), np.full(31, mouth.chin * 0.8)])
    x, y = mouth.to_picture(u, v)
    columns = np.clip(x.round().astype(int), 0, picture.shape[1] - 1)
    rows = np.clip(y.round().astype(int), 0, picture.shape[0] - 1)
    return np.percentile(picture[rows, columns, :3].astype(np.float64), 60, axis=0)
