"""The person that FlashHead draws, and the way from the idle loop into speech and back."""

from __future__ import annotations

from dataclasses import dataclass, field

from workers.adapters.avatar.base import I420, AudioWindow, Picture
from workers.adapters.avatar.pictures import to_bgr
from workers.adapters.avatar.remote import bundle, decoding, idle
from workers.adapters.avatar.remote.faults import fault

PROVIDER = "flashhead"
SEAM_FRAMES = 4
OTHER_SCENE = 30.0  # thumbnails of one person differ by less, those of two by more


@dataclass(frozen=True, slots=True)
class Person:
    """A prepared portrait, shared between streams; `file` is its picture as PNG."""

    file: bytes
    picture: Picture
    width: int
    height: int
    idle: bytes

    @classmethod
    def of(cls, data: bytes) -> Person:
        """Raises `AdapterError` (`bundle_invalid`)."""
        told = bundle.unpack(data, PROVIDER)
        picture = decoding.covering(decoding.decoded(told.picture, PROVIDER), told.width, told.height)
        return cls(told.picture, picture, told.width, told.height, told.idle)

    def check(self, picture: I420) -> None:
        """Raise `AdapterError` (`model_lost`) where somebody else is to be seen."""
        seen = decoding.thumbnail(to_bgr(picture))
        if decoding.apart(seen, decoding.thumbnail(self.picture)) > OTHER_SCENE:
            raise fault("model_lost", "The model's service drew somebody else.", PROVIDER)


@dataclass(frozen=True, slots=True)
class Pose:
    """One frame of a window: its number in the avatar's motion, and its place in the window."""

    number: int
    place: int


@dataclass(slots=True)
class Fader:
    """Blends a window's first and last pictures with what is shown before and after it."""

    person: Person
    length: int
    frames: int = 0
    first: bool = False
    last: bool = False
    before: I420 | None = None
    _loop: idle.Loop | None = field(default=None, repr=False)

    def begin(self, window: AudioWindow, before: I420 | None = None) -> list[Pose]:
        """`before` is the picture that the window has to grow out of, where it does not continue it."""
        self.frames, self.before = window.visible, before
        self.first, self.last = window.live and window.first, window.live and window.last
        return [Pose(window.start_frame + place, place) for place in range(window.frames)]

    def needed(self, window: AudioWindow) -> bool:
        return self.length > 0 and window.live and (window.first or window.last)

    def __call__(self, picture: I420, pose: Pose) -> I420:
        share = idle.share_of(pose.place, self.frames, self.length, first=self.first, last=self.last)
        if share < 1.0:
            return idle.blended(picture, self._idle().frame(pose.number), share)
        if self.before is not None and pose.place < SEAM_FRAMES:
            return idle.blended(picture, self.before, (pose.place + 1) / (SEAM_FRAMES + 1))
        return picture

    def _idle(self) -> idle.Loop:
        if self._loop is None:
            self._loop = idle.Loop(self.person.picture, self.person.idle)
        return self._loop
