"""What a client that has just connected is shown first.

A picture can only be decoded from a key frame on. Rather than wait for the next one, a new client
gets the last one and the pictures since, all at once and almost at the same media time: it decodes
them as fast as it can and shows the newest, in step with everything that follows.
"""

from __future__ import annotations

from collections.abc import Iterator

from rtc.frames import FRAME_SECONDS, AccessUnit, Tick
from rtc.sender import VIDEO_CLOCK, VIDEO_TICKS_PER_FRAME

# More than this many pictures are not worth their burst of packets: the next key frame is near.
MAX_PICTURES = 12
TICKS_BETWEEN = VIDEO_CLOCK // 1000


class Opening:
    """Remembers the pictures since the last key frame; they are only pointed at."""

    def __init__(self) -> None:
        self._pictures: list[AccessUnit] = []
        self._frame = 0
        self._presented_at = 0.0

    def presented(self, tick: Tick, now: float) -> None:
        if tick.video.keyframe:
            self._pictures = [tick.video]
        elif self._pictures:
            self._pictures.append(tick.video)
            if len(self._pictures) > MAX_PICTURES:
                self._pictures = []
        self._frame = tick.frame
        self._presented_at = now

    def pictures(self, now: float) -> Iterator[tuple[AccessUnit, int]]:
        """Yield pictures with their time on the video clock (from frame 0); nothing when it is too late."""
        late = now - self._presented_at
        if not self._pictures or not 0 <= late < FRAME_SECONDS:
            return
        newest = self._frame * VIDEO_TICKS_PER_FRAME + int(late * VIDEO_CLOCK)
        for back, unit in zip(range(len(self._pictures) - 1, -1, -1), self._pictures, strict=True):
            yield unit, newest - back * TICKS_BETWEEN
