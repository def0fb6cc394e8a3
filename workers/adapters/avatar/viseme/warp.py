"""Moves lips, chin and cheeks: an analytic warp in mouth coordinates.

Two displacement fields, one for what lies above the line between the lips and one for what lies
below, which agree beyond the corners of the mouth. Each says where a point of the portrait goes;
drawing needs the way back, found by fixed-point iteration. That converges, and nothing folds, as
long as the fields change by less than one pixel per pixel.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.adapters.avatar.viseme.geometry import SAMPLES, Mouth

Floats = NDArray[np.float64]

MAX_GAP = 0.105  # of face height; at 0.125 it looks shouted
LIFT, LIFT_TOOTHY = 0.16, 0.30  # the upper lip's part of the gap
NARROW, WIDE = 0.30, 0.08  # how much narrower and wider than at rest
CORNER_DROP = 0.10
JAW_FOLLOWS = 0.80  # the chin's movement per movement of the lower lip
LIP_REACH_DOWN = 0.16  # below it, skin moves with the jaw
BELOW_CHIN = 0.25  # where the neck stands still again
BESIDE_CORNER = 1.2  # in half mouths
POUT = 0.007  # how much rounding thickens each lip
MEET = 0.46  # where the lips of a toothy smile meet between their places at rest
RELAX_DROP = 0.012  # a smile that closes relaxes its corners
ROUNDS = 9


@dataclass(frozen=True, slots=True)
class Shape:
    """`opening` 0 to 1; `width` -1 (round) to 1 (spread)."""

    opening: float
    width: float


def smooth(x: Floats) -> Floats:
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3 - 2 * x)


@dataclass(slots=True)
class Warp:
    """The warp of one mouth into one shape."""

    mouth: Mouth
    scale: float  # of width
    upper_to: Floats  # where the inner edges of the lips go: v at SAMPLES
    lower_to: Floats
    pout: float

    @classmethod
    def of(cls, mouth: Mouth, shape: Shape) -> "Warp":
        gap = MAX_GAP * mouth.face * shape.opening
        power = 0.675 + 0.125 * shape.width
        profile = gap * np.maximum(0.0, 1 - SAMPLES**2) ** power
        drop = CORNER_DROP * gap
        scale = (1 + (WIDE if shape.width > 0 else NARROW) * shape.width) * (1 - 0.06 * shape.opening)
        lift, meet = LIFT, mouth.upper
        if mouth.toothy:
            lift, meet = LIFT_TOOTHY, mouth.upper + MEET * (mouth.lower - mouth.upper)
            drop += RELAX_DROP * mouth.face
        upper_to, lower_to = meet + drop - lift * profile, meet + drop + (1 - lift) * profile
        if mouth.toothy:
            upper_to = np.maximum(upper_to, np.minimum(mouth.upper + drop, meet + drop))
        return cls(mouth, scale, upper_to, lower_to, POUT * mouth.face * max(0.0, -shape.width))

    @property
    def gap(self) -> float:
        return float((self.lower_to - self.upper_to).max())

    def edges(self, u: Floats) -> tuple[Floats, Floats]:
        """The inner edges of the lips in the drawn picture: v of the upper and of the lower one at u."""
        t = self.drawn_t(u)
        beside = self._beside(t)
        held = np.clip(t, -1, 1)
        rest = np.interp(held, SAMPLES, self.mouth.upper)
        upper, lower = (np.interp(held, SAMPLES, to) for to in (self.upper_to, self.lower_to))
        return rest + (upper - rest) * beside, rest + (lower - rest) * beside

    def drawn_t(self, u: Floats) -> Floats:
        """`t` in the drawn picture, where the corners stand `scale` times as far apart."""
        return self.mouth.t_of(self.mouth.middle + (u - self.mouth.middle) / self.scale)

    def back(self, u: Floats, v: Floats, *, below: bool) -> tuple[Floats, Floats]:
        """Where in the portrait the points (u, v) of the drawn picture come from."""
        move = self._below if below else self._above
        from_u, from_v = u, v
        for _ in range(ROUNDS):
            du, dv = move(from_u, from_v)
            from_u, from_v = u - du, v - dv
        return from_u, from_v

    def _above(self, u: Floats, v: Floats) -> tuple[Floats, Floats]:
        mouth = self.mouth
        t = mouth.t_of(u)
        held, beside = np.clip(t, -1, 1), self._beside(t)
        up = np.maximum(np.interp(held, SAMPLES, mouth.upper) - v, 0.0)
        reach = max(0.08 * mouth.face, 0.95 * (float(np.median(mouth.upper)) - mouth.nose))
        fade = 1 - smooth(up / reach)
        lip = np.interp(held, SAMPLES, self.upper_to - mouth.upper) * beside
        return self._sideways(held, beside) * fade, lip * fade - self._thicken(up, held)

    def _below(self, u: Floats, v: Floats) -> tuple[Floats, Floats]:
        mouth = self.mouth
        t = mouth.t_of(u)
        held, beside = np.clip(t, -1, 1), self._beside(t)
        down = np.maximum(v - np.interp(held, SAMPLES, mouth.lower), 0.0)
        lip = np.interp(held, SAMPLES, self.lower_to - mouth.lower) * beside
        share = smooth(down / (LIP_REACH_DOWN * mouth.face))
        dv = lip * (1 - share) + self._jaw(u, v) * share
        fade = 1 - smooth(down / (0.24 * mouth.face))
        return self._sideways(held, beside) * fade, dv + self._thicken(down, held)

    def _jaw(self, u: Floats, v: Floats) -> Floats:
        mouth = self.mouth
        centre = len(SAMPLES) // 2
        drop = JAW_FOLLOWS * (self.lower_to[centre] - mouth.lower[centre])
        side = u - mouth.middle
        across = np.where(side < 0, -side / mouth.cheek_left, side / mouth.cheek_right)
        swing = (1 + np.cos(np.pi * np.clip(across, 0, 1))) / 2
        under = v - np.interp(u, mouth.jaw_u, mouth.jaw_v)
        return np.asarray(drop * swing * (1 - smooth(under / (BELOW_CHIN * mouth.face))))

    def _sideways(self, held: Floats, beside: Floats) -> Floats:
        half = np.where(held < 0, self.mouth.middle - self.mouth.left, self.mouth.right - self.mouth.middle)
        return (self.scale - 1) * half * held * beside

    def _thicken(self, away: Floats, held: Floats) -> Floats:
        lip = away / (0.04 * self.mouth.face)
        return np.asarray(self.pout * lip * np.exp(1 - lip) * (1 - held**2))

    @staticmethod
    def _beside(t: Floats) -> Floats:
        return 1 - smooth((np.abs(t) - 1) / BESIDE_CORNER)
