"""What playout handles: encoded pictures, encoded sound, and what was made of them.

Everything runs at 25 frames a second. A frame is 40 ms: one picture, two Opus packets of 20 ms,
1920 samples at 48 kHz. Frame numbers count from the session's media origin; in RTP a frame lies at
`frame * 3600` on the video clock (90 kHz) and at `frame * 1920` on the sound clock (48 kHz).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

FPS = 25
FRAME_MS = 40
FRAME_SECONDS = 0.040
SAMPLE_RATE = 48_000
SAMPLES_PER_FRAME = SAMPLE_RATE // FPS  # 1920
PACKETS_PER_FRAME = 2
SAMPLES_PER_PACKET = SAMPLES_PER_FRAME // PACKETS_PER_FRAME  # 960

Kind = Literal["idle", "speech"]


@dataclass(slots=True, eq=False, weakref_slot=True)
class AccessUnit:
    """One encoded picture in Annex B; a key frame is an IDR frame with SPS and PPS before it.

    `packed` belongs to the sender: the RTP payloads it cut the picture into. The pictures of an
    idle loop are shared by every session of the process, so they are cut once.
    """

    data: bytes
    keyframe: bool
    packed: object | None = field(default=None, repr=False)


@dataclass(slots=True, eq=False, weakref_slot=True)
class IdleLoop:
    """The loop that an avatar plays while it is silent; the index of a picture is its motion phase.

    Raises `ValueError` when the loop cannot be entered at its start.
    """

    units: tuple[AccessUnit, ...]
    entries: tuple[int, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.units or not self.units[0].keyframe:
            raise ValueError("an idle loop opens with an IDR frame")
        self.entries = _nearest([unit.keyframe for unit in self.units])

    def __len__(self) -> int:
        return len(self.units)

    def entry(self, phase: int) -> int:
        """Return the IDR frame nearest in motion to `phase`, which may be of any size."""
        return self.entries[phase % len(self.units)]


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """One fragment with its sound: `PACKETS_PER_FRAME` packets to each picture.

    `start_phase` is the motion phase of the first picture, which is an IDR frame. `index` counts
    the fragments of the utterance, `last` marks the final one. `tag` is the caller's own and comes
    back in `PlayedRun`. Raises `ValueError` for parts that do not belong together.
    """

    epoch: int
    utterance: int
    index: int
    start_phase: int
    units: tuple[AccessUnit, ...]
    packets: tuple[bytes, ...]
    last: bool
    tag: object = None

    def __post_init__(self) -> None:
        if not self.units or not self.units[0].keyframe:
            raise ValueError("a segment opens with an IDR frame")
        if len(self.packets) != PACKETS_PER_FRAME * len(self.units):
            raise ValueError(f"{len(self.packets)} packets of sound for {len(self.units)} pictures")


@dataclass(frozen=True, slots=True)
class Tick:
    """What leaves at one frame. `speaking` says whether it is of an utterance or of the idle loop."""

    frame: int
    video: AccessUnit
    audio: tuple[bytes, bytes]
    epoch: int
    speaking: bool


@dataclass(frozen=True, slots=True)
class PlayedRun:
    """Frames that were really presented one after the other: `frame` to `frame + frames - 1`.

    `offset` is where they begin: the motion phase in the idle loop, or the picture in the segment
    that `tag` names. Frame numbers that no run holds were not presented: the process stood still.
    """

    frame: int
    frames: int
    kind: Kind
    offset: int
    tag: object
    epoch: int


@dataclass(frozen=True, slots=True)
class Position:
    """What was heard: `samples` (48 kHz) of an utterance, which is None while there is none."""

    epoch: int
    utterance: int | None
    samples: int


def _nearest(keyframes: Sequence[bool]) -> tuple[int, ...]:
    """For each index of a circle, the nearest marked one; the one ahead where two are as near."""
    size = len(keyframes)
    reach = range(size // 2 + 1)
    return tuple(
        next(
            (phase + step) % size
            for distance in reach
            for step in (distance, -distance)
            if keyframes[(phase + step) % size]
        )
        for phase in range(size)
    )
