"""One clock for every session of a process: who is due when, on a common grid of 40 ms."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Protocol

from rtc.frames import FRAME_SECONDS

SLOTS = 4  # sessions take turns, so that they do not all send in the same millisecond
SLOT_SECONDS = FRAME_SECONDS / SLOTS
STALL_FRAMES = 2  # a process that is later than this skips the frames it missed: no burst

Drive = Callable[[int], None]

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Driven:
    """One session on the clock. `first` is what its frame numbers are ahead of the grid's."""

    drive: Drive
    slot: int
    first: int
    going: bool = True
    failing: bool = False
    context: Context = field(default_factory=copy_context)  # of whoever had it driven


class Timers(Protocol):
    """What is needed of an event loop."""

    def time(self) -> float: ...

    def call_at(self, when: float, callback: Callable[[], None]) -> asyncio.TimerHandle: ...


class Grid:
    """Says what is due; a plain object whose clock is the caller's, in seconds.

    Frame n of the grid in slot s is due at `origin + n * 40 ms + s * 10 ms`.
    """

    def __init__(self, origin: float) -> None:
        self._origin = origin
        self._slots: list[dict[Driven, None]] = [{} for _ in range(SLOTS)]
        self._next = [0] * SLOTS  # the frame of the grid that comes next in each slot
        self.stalls = 0

    def __len__(self) -> int:
        return sum(map(len, self._slots))

    def add(self, drive: Drive, origin: float, now: float) -> Driven:
        """Take in a session whose frame 0 is, or was, at `origin`: in the emptiest slot.

        Its frames fall on the grid, at most 20 ms from where they belong.
        """
        slot = min(range(SLOTS), key=lambda each: len(self._slots[each]))
        if not self._slots[slot]:
            self._next[slot] = self._last(slot, now) + 1
        first = round((self._time(slot, 0) - origin) / FRAME_SECONDS)
        driven = Driven(drive, slot, first)
        self._slots[slot][driven] = None
        return driven

    def remove(self, driven: Driven) -> None:
        """Let a session go; harmless when it went before."""
        driven.going = False
        self._slots[driven.slot].pop(driven, None)

    def frame(self, driven: Driven, now: float) -> int:
        """Return the frame that was due last."""
        return self._last(driven.slot, now) + driven.first

    def next_at(self) -> float:
        """Return when the next session is due; infinity without any."""
        due = (self._time(slot, self._next[slot]) for slot in range(SLOTS) if self._slots[slot])
        return min(due, default=math.inf)

    def take(self, now: float) -> list[tuple[Driven, int]]:
        """Return every session that is due with its frame, in the order in which they are due."""
        found: list[tuple[Driven, int]] = []
        frames = {slot: self._due(slot, now) for slot in range(SLOTS) if self._slots[slot]}
        for step in range(STALL_FRAMES):
            for slot, due in frames.items():
                if step < len(due):
                    found += ((driven, due[step] + driven.first) for driven in self._slots[slot])
        return found

    def _due(self, slot: int, now: float) -> range:
        """Take the frames of the grid that are due; after a stall, only the last of them."""
        start, last = self._next[slot], self._last(slot, now)
        if last - start >= STALL_FRAMES:
            start = last
            self.stalls += 1
        self._next[slot] = max(last + 1, start)
        return range(start, last + 1)

    def _time(self, slot: int, frame: int) -> float:
        return self._origin + slot * SLOT_SECONDS + frame * FRAME_SECONDS

    def _last(self, slot: int, now: float) -> int:
        # The clock and the product above round differently by less than a nanosecond.
        return math.floor((now - self._time(slot, 0)) / FRAME_SECONDS + 1e-6)


class Pump:
    """Drives the sessions of a process by one timer of the event loop; its clock is the loop's.

    `drive` is called with the frame that is due, from the loop, and has to be quick.
    """

    def __init__(self, loop: Timers | None = None) -> None:
        self._loop = loop or asyncio.get_running_loop()
        self._grid = Grid(self._loop.time())
        self._timer: asyncio.TimerHandle | None = None

    @property
    def stalls(self) -> int:
        """How often the process was so late that frames were skipped."""
        return self._grid.stalls

    def add(self, drive: Drive, origin: float) -> Driven:
        """Drive a session whose frame 0 is, or was, at `origin` on the clock of the loop."""
        driven = self._grid.add(drive, origin, self._loop.time())
        self._set_timer()
        return driven

    def remove(self, driven: Driven) -> None:
        """Stop driving, also from within `drive`; harmless when done before."""
        self._grid.remove(driven)

    def frame(self, driven: Driven) -> int:
        """Return the frame of this session that was due last."""
        return self._grid.frame(driven, self._loop.time())

    def close(self) -> None:
        """Stop the clock; sessions that are still on it stand still."""
        self._grid = Grid(self._loop.time())
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        due = self._grid.next_at()
        self._timer = None if math.isinf(due) else self._loop.call_at(due, self._fire)

    def _fire(self) -> None:
        for driven, frame in self._grid.take(self._loop.time()):
            if driven.going:
                driven.context.run(_call, driven, frame)
        self._set_timer()


def _call(driven: Driven, frame: int) -> None:
    try:
        driven.drive(frame)
    # Whatever is wrong with one session must not stop the clock of the others.
    except Exception:  # noqa: BLE001 - see above
        if not driven.failing:
            _log.exception("A session fails at frame %d; it is told once", frame)
        driven.failing = True
