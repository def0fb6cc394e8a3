"""What moves while nobody speaks, and goes on while somebody does: head, breath and blinks.

Everything is a function of `frame % IDLE_FRAMES`, so the last idle frame is followed by the first
without a jump, and fragments drawn apart fit together. The head wanders once around a small closed
curve through a fixed number of poses; a portrait's poses are drawn once and kept.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.adapters.avatar.base import IDLE_FRAMES
from workers.adapters.avatar.viseme.geometry import Mouth
from workers.adapters.avatar.viseme.warp import smooth

Floats = NDArray[np.float64]

HEAD_POSES = 64
BREATH_POSES = 16
SWAY, NOD, TILT = 0.0075, 0.0050, 0.0060  # of face height, of face height, radians
BREATH = 0.0055  # how far the shoulders rise, of face height
BREATHS = 3  # per loop: 18 a minute
BLINK = (0.45, 1.0, 1.0, 0.75, 0.4, 0.15)  # how far the lids are down, frame by frame
BLINKS = (31, 112, 121, 196)  # frames of the loop at which one begins; two in quick succession
# Where the head's movement begins and ends to fade, in face heights from its core.
CORE_SIDE, CORE_TOP, FADE = 0.62, 0.42, 0.42
NECK_LENGTH = 0.25
PIVOT = 0.30  # how far below the chin the head turns


@dataclass(frozen=True, slots=True)
class HeadPose:
    """A small rigid movement about the neck, in pixels and radians."""

    dx: float
    dy: float
    turn: float

    def inverse_about(self, pivot: Floats) -> Floats:
        """The affine map (2 x 3) from the moved picture back to the portrait."""
        cos, sin = math.cos(self.turn), math.sin(self.turn)
        back = np.array([[cos, sin], [-sin, cos]])
        return np.column_stack([back, pivot - back @ (pivot + np.array([self.dx, self.dy]))])


def head_index(frame: int) -> int:
    """Which of the poses frame `frame` shows. The head lingers and hurries a little on its way."""
    around = 2 * math.pi * (frame % IDLE_FRAMES) / IDLE_FRAMES
    phase = around + 0.35 * math.sin(2 * around) + 0.12 * math.sin(3 * around)
    return round(phase / (2 * math.pi) * HEAD_POSES) % HEAD_POSES


def head_pose(index: int, face: float) -> HeadPose:
    """Pose 0 is the portrait itself."""
    angle = 2 * math.pi * index / HEAD_POSES
    return HeadPose(
        dx=SWAY * face * math.sin(angle),
        dy=NOD * face * (1 - math.cos(angle)) / 2 + 0.4 * NOD * face * math.sin(2 * angle),
        turn=TILT * (math.sin(angle + 0.7) - math.sin(0.7)),
    )


def breath_index(frame: int) -> int:
    """How high the shoulders are: 0 to BREATH_POSES - 1. Breathing in is quicker than breathing out."""
    angle = 2 * math.pi * BREATHS * (frame % IDLE_FRAMES) / IDLE_FRAMES
    height = (1 - math.cos(angle + 0.35 * math.sin(angle))) / 2
    return round(height * (BREATH_POSES - 1))


def breath_rise(index: int, face: float) -> float:
    return BREATH * face * index / (BREATH_POSES - 1)


def lids(frame: int) -> float:
    """How far the lids are down, 0 to 1."""
    place = frame % IDLE_FRAMES
    return next((BLINK[place - at] for at in BLINKS if 0 <= place - at < len(BLINK)), 0.0)


def pivot_of(mouth: Mouth) -> Floats:
    u, v = np.array(mouth.middle), np.array(mouth.chin + PIVOT * mouth.face)
    return np.array(mouth.to_picture(u, v))


def head_share(mouth: Mouth, u: Floats, v: Floats, below: Floats) -> Floats:
    """How much of the head's movement points take part in: 1 on the head, 0 away from it.

    `below` is how far they lie below all that a mouth moves, in pixels of the picture: the neck
    bends there.
    """
    face = mouth.face
    side = np.abs(u - mouth.middle) - CORE_SIDE * face
    above = mouth.chin - face - CORE_TOP * face - v
    fade = (1 - smooth(side / (FADE * face))) * (1 - smooth(above / (FADE * face)))
    return fade * (1 - smooth(below / neck_length(mouth)))


def head_corners(mouth: Mouth) -> tuple[Floats, Floats]:
    """Mouth coordinates of a box outside of which nothing moves with the head, upwards and sideways."""
    side, top = (CORE_SIDE + FADE) * mouth.face, mouth.chin - (1 + CORE_TOP + FADE) * mouth.face
    left, right = mouth.middle - side, mouth.middle + side
    return np.array([left, right, left, right]), np.array([top, top, mouth.chin, mouth.chin])


def neck_length(mouth: Mouth) -> float:
    """From what a mouth moves down to where the head's movement ends, and the breath begins."""
    return NECK_LENGTH * mouth.face


def breath_share(mouth: Mouth, below: Floats) -> Floats:
    """The same for the breath, that lifts the shoulders."""
    return smooth((below - neck_length(mouth)) / (0.4 * mouth.face))
