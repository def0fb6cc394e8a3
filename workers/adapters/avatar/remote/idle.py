"""The idle loop of a portrait that is drawn elsewhere, and the way from it into speech and back."""

from collections.abc import Iterator

import cv2
import numpy as np

from workers.adapters.avatar.base import I420, IDLE_FRAMES, Picture
from workers.adapters.avatar.pictures import to_i420
from workers.adapters.avatar.viseme.bundle import unpack
from workers.adapters.avatar.viseme.drawing import Artist, Portrait


class Loop:
    """Draws the idle frames of one avatar: head motion, breathing and blinks, or a still."""

    def __init__(self, picture: Picture, idle: bytes) -> None:
        """`picture` is BGR of the avatar's size. Raises `AdapterError` (`bundle_invalid`)."""
        self._artist: Artist | None = Portrait(unpack(idle)).artist(None) if idle else None
        self._still = to_i420(picture)

    def frame(self, number: int) -> I420:
        """The idle frame of this moment; valid until the next call."""
        return self._still if self._artist is None else self._artist.draw(number % IDLE_FRAMES, 0.0, 0.0)

    def all(self) -> Iterator[I420]:
        """One period; each frame is valid until the next is asked for."""
        for number in range(IDLE_FRAMES):
            yield self.frame(number)


def blended(speech: I420, idle: I420, share: float) -> I420:
    """Between the idle loop (0) and speech (1)."""
    return np.asarray(cv2.addWeighted(speech, share, idle, 1.0 - share, 0.0), np.uint8)


def share_of(place: int, frames: int, length: int, *, first: bool, last: bool) -> float:
    """How much of speech is seen in frame `place` of a window of `frames`, with fades of `length`.

    1 without a fade; the frames at the edges are never quite the idle loop's, which comes before and after.
    """
    length = min(length, frames // 2)
    share = 1.0
    if first and place < length:
        share = (place + 1) / (length + 1)
    if last and place >= frames - length:
        share = min(share, max(0, frames - place) / (length + 1))
    return share
