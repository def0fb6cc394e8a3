"""Decides what leaves at each frame: the idle loop, or the next picture and sound of an utterance.

A plain object: no task, no clock, nothing that waits. Whoever owns it calls `tick` once for each
frame; its listener is told what became of the utterances and what was really presented.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rtc.comfort import COMFORT
from rtc.frames import (
    PACKETS_PER_FRAME,
    SAMPLES_PER_FRAME,
    AccessUnit,
    IdleLoop,
    Kind,
    PlayedRun,
    Position,
    Segment,
    Tick,
)

RUN_FRAMES = 50  # what was played is told at least every two seconds


class PlayoutListener(Protocol):
    """Told from within `tick`, `interrupt` and `hold`: must neither wait, nor raise, nor call back.

    `frame` is the first frame of the new state: the one that presents an utterance's first picture,
    or the first one after its last. `samples` were heard, at 48 kHz.
    """

    def started(self, epoch: int, utterance: int, frame: int) -> None: ...

    def ended(self, epoch: int, utterance: int, frame: int, samples: int, *, interrupted: bool) -> None: ...

    def underrun(self, epoch: int, utterance: int, frame: int) -> None: ...

    def resumed(self, epoch: int, utterance: int, frame: int) -> None: ...

    def run(self, run: PlayedRun) -> None: ...


@dataclass(slots=True)
class _Utterance:
    """The utterance that has the floor; `frames` counts those of segments that are over."""

    number: int
    frames: int = 0
    waiting: bool = False  # its next segment was not there in time


class Playout:
    """Plays segments in order of (utterance, index), whatever order they come in.

    An epoch is one reply: its utterances are numbered from 0, its sound is of one encoder. The last
    segment of an utterance lets the next utterance follow without idle between. A picture
    leaves only if the receiver can decode it: segments are played from their start, and the idle
    loop is entered at an IDR frame, the nearest in motion.
    """

    def __init__(self, idle: IdleLoop, *, listener: PlayoutListener, first_frame: int = 0) -> None:
        self.epoch = 0
        self.frame = first_frame  # the next to be presented
        self.phase = 0  # the motion phase that comes next
        self._idle, self._next_idle = idle, idle
        self._listener = listener
        self._queue: dict[tuple[int, int], Segment] = {}
        self._next = (0, 0)  # (utterance, index) of the segment that comes next
        self._current: Segment | None = None
        self._offset = 0  # the picture of the current segment that comes next
        self._utterance: _Utterance | None = None
        self._held = False
        self._must_enter = True  # the next idle picture has to be an IDR frame
        self._pause = False  # one silent frame comes first: the encoder of each reply begins after one
        self._run = _Run()

    @property
    def speaking(self) -> bool:
        """An utterance has begun and neither ended nor been cut; also while it waits for pictures."""
        return self._utterance is not None

    def push(self, segment: Segment) -> bool:
        """Queue a segment. False when it is of an older epoch, or was played or queued before."""
        place = (segment.utterance, segment.index)
        over = place <= self._next if self._current else place < self._next
        if segment.epoch != self.epoch or over or place in self._queue:
            return False
        self._queue[place] = segment
        return True

    def queued_frames(self) -> int:
        """Count the pictures of speech that are yet to be presented."""
        left = len(self._current.units) - self._offset if self._current else 0
        return left + sum(len(segment.units) for segment in self._queue.values())

    def position(self) -> Position:
        """Say what was heard of the utterance that has the floor."""
        if self._utterance is None:
            return Position(self.epoch, None, 0)
        return Position(self.epoch, self._utterance.number, self._heard(self._utterance))

    def interrupt(self) -> int:
        """Drop all speech at once and return the new epoch; the next tick is of the idle loop.

        An utterance whose last frame was presented is told as ended, not as interrupted.
        """
        self._end_utterance()
        utterance, self._utterance = self._utterance, None
        if utterance is not None:
            self._listener.ended(
                self.epoch, utterance.number, self.frame, self._heard(utterance), interrupted=True
            )
        self._leave_speech()
        self._queue.clear()
        self._next = (0, 0)
        self._pause = self._run.kind == "speech"
        self.epoch += 1
        return self.epoch

    def hold(self, on: bool) -> None:
        """Keep speech back while nobody is there to hear it.

        A segment that was cut is played again from its start, where it can be decoded.
        """
        self._held = on
        self._end_utterance()
        if on and self._current is not None:
            self._queue[self._next] = self._current
            self._leave_speech()

    def refresh(self) -> None:
        """Somebody new watches: the next picture of the idle loop has to be an IDR frame."""
        self._must_enter = True

    def replace_idle(self, loop: IdleLoop) -> None:
        """Play another rendition of the idle loop, from its next IDR frame on."""
        self._next_idle = loop

    def tick(self, frame: int) -> Tick:
        """Present one frame. `frame` may lie ahead of `self.frame`: then the process stood still,
        and sound and picture alike go on where they were. Raises `ValueError` for a frame that is
        over.
        """
        if frame < self.frame:
            raise ValueError(f"frame {frame} is over: {self.frame} comes next")
        self.frame = frame
        self._end_utterance()
        if self._current is None and not self._held and not self._pause:
            self._take_segment()
        made = self._speech() if self._current is not None else self._silence()
        self.frame = frame + 1
        return made

    def flush(self) -> None:
        """Tell the listener what was played so far, though the run goes on."""
        self._run.finish(self._listener)

    def _end_utterance(self) -> None:
        """Close the current segment and utterance when all of it was presented."""
        segment, utterance = self._current, self._utterance
        if segment is None or utterance is None or self._offset < len(segment.units):
            return
        utterance.frames += len(segment.units)
        self._current, self._offset = None, 0
        self._must_enter = True
        self._next = (segment.utterance, segment.index + 1)
        if segment.last:
            self._next = (segment.utterance + 1, 0)
            self._utterance = None
            samples = utterance.frames * SAMPLES_PER_FRAME
            self._listener.ended(self.epoch, utterance.number, self.frame, samples, interrupted=False)

    def _take_segment(self) -> None:
        segment = self._queue.get(self._next)
        if segment is None:
            self._note_underrun()
        else:
            # At once: motion that is a few frames off cannot be seen, a wait can be felt.
            del self._queue[self._next]
            self._current, self._offset = segment, 0
            self._floor_to(segment)

    def _note_underrun(self) -> None:
        utterance = self._utterance
        if utterance is not None and not utterance.waiting:
            utterance.waiting = True
            self._listener.underrun(self.epoch, utterance.number, self.frame)

    def _floor_to(self, segment: Segment) -> None:
        utterance = self._utterance
        if utterance is None:
            self._utterance = _Utterance(segment.utterance)
            self._listener.started(self.epoch, segment.utterance, self.frame)
        elif utterance.waiting:
            utterance.waiting = False
            self._listener.resumed(self.epoch, utterance.number, self.frame)

    def _speech(self) -> Tick:
        segment, offset = self._current, self._offset
        assert segment is not None  # noqa: S101 - the caller looked
        self._note("speech", offset, segment.tag)
        self._offset = offset + 1
        self.phase = (segment.start_phase + self._offset) % len(self._idle)
        at = offset * PACKETS_PER_FRAME
        sound = (segment.packets[at], segment.packets[at + 1])
        return Tick(self.frame, segment.units[offset], sound, self.epoch, speaking=True)

    def _silence(self) -> Tick:
        self._pause = False
        picture = self._idle_picture()
        self.phase = (self.phase + 1) % len(self._idle)
        return Tick(self.frame, picture, COMFORT, self.epoch, speaking=False)

    def _idle_picture(self) -> AccessUnit:
        if self._next_idle is not self._idle:
            self._change_idle()
        if self._must_enter:
            self.phase = self._idle.entry(self.phase)
            self._must_enter = False
        self._note("idle", self.phase, None)
        return self._idle.units[self.phase]

    def _change_idle(self) -> None:
        """Change over where the new loop can be entered without a jump, or has to be entered."""
        phase = self.phase % len(self._next_idle)
        if self._must_enter or self._next_idle.units[phase].keyframe:
            self._idle, self.phase = self._next_idle, phase

    def _leave_speech(self) -> None:
        if self._current is not None:
            self._current, self._offset = None, 0
            self._must_enter = True

    def _heard(self, utterance: _Utterance) -> int:
        current = self._offset if self._current else 0
        return (utterance.frames + current) * SAMPLES_PER_FRAME

    def _note(self, kind: Kind, offset: int, tag: object) -> None:
        """Write down one presented frame."""
        run = self._run
        if not run.continued_by(self.frame, kind, offset, tag, self.epoch) or run.frames >= RUN_FRAMES:
            run.finish(self._listener)
            run.begin(self.frame, kind, offset, tag, self.epoch)
        run.frames += 1


class _Run:
    """The run of frames that is being played."""

    __slots__ = ("epoch", "first", "frame", "frames", "kind", "offset", "tag")

    def __init__(self) -> None:
        self.kind: Kind = "idle"
        self.frames = self.frame = self.offset = self.epoch = 0
        self.tag: object = None

    def begin(self, frame: int, kind: Kind, offset: int, tag: object, epoch: int) -> None:
        self.frame, self.kind, self.offset = frame, kind, offset
        self.tag, self.epoch, self.frames = tag, epoch, 0

    def continued_by(self, frame: int, kind: Kind, offset: int, tag: object, epoch: int) -> bool:
        return (
            self.frame + self.frames == frame
            and self.offset + self.frames == offset
            and self.kind == kind
            and self.tag is tag
            and self.epoch == epoch
        )

    def finish(self, listener: PlayoutListener) -> None:
        """Hand the run over; the frames that follow begin another one."""
        if self.frames:
            listener.run(PlayedRun(self.frame, self.frames, self.kind, self.offset, self.tag, self.epoch))
        self.frame, self.offset, self.frames = self.frame + self.frames, self.offset + self.frames, 0
