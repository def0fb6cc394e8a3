"""From what was played to what is shown: which pictures follow each other, and for how long each stands.

Nothing is encoded again, so every shot has to begin with an IDR frame. Frames in which nothing was
presented are filled: while the process stood still the viewer saw the last picture, so it stays; while
nobody hosted the session the idle loop plays.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sessions.recording.parts import Run

IDLE = -1


class Source(NamedTuple):
    """The idle loop (`take` is `IDLE`), or a fragment of one host."""

    fence: int
    take: int


LOOP = Source(0, IDLE)


@dataclass(frozen=True, slots=True)
class Played:
    """A run and the host that told it."""

    fence: int
    run: Run

    @property
    def source(self) -> Source:
        return LOOP if self.run.take == IDLE else Source(self.fence, self.run.take)


@dataclass(slots=True)
class Shot:
    """`frames` pictures of a source from `first` on; `held` as in `workers.rendering.assemble.Piece`."""

    source: Source
    first: int
    frames: int
    held: dict[int, int] = field(default_factory=dict)

    @property
    def shown(self) -> int:
        """For how many frames it is seen."""
        return self.frames + sum(self.held.values())


def in_order(told: Iterable[Played]) -> list[Played]:
    """Put the runs of all hosts in order. Where two hosts told of a frame, the newer one is right.

    A host whose clock is behind that of the first one may tell of frames before 0: they are left out.
    """
    by_host: dict[int, list[Played]] = {}
    for played in told:
        by_host.setdefault(played.fence, []).append(played)
    kept: list[Played] = []
    limit: int | None = None
    for fence in sorted(by_host, reverse=True):
        runs = sorted(by_host[fence], key=lambda played: played.run.frame)
        if shown := [cut for played in runs if (cut := _within(played, limit)) is not None]:
            limit = shown[0].run.frame
        kept += shown
    return sorted(kept, key=lambda played: played.run.frame)


def _within(played: Played, limit: int | None) -> Played | None:
    """What is left of a run from frame 0 up to `limit`, if anything."""
    run = played.run
    first, end = max(run.frame, 0), run.frame + run.frames
    if limit is not None:
        end = min(end, limit)
    if first >= end:
        return None
    return Played(played.fence, Run(first, end - first, run.take, run.offset + first - run.frame))


def end_of(runs: Sequence[Played]) -> int:
    """The length of the timeline in frames: the last one that was presented is its last."""
    return max((played.run.frame + played.run.frames for played in runs), default=0)


class Cutter:
    """Lays shots one after the other. `keyframes` says of each picture of the loop whether it is an IDR.

    `takes` are the fragments that can be shown, and how many pictures each has.
    """

    def __init__(self, keyframes: Sequence[bool], takes: Mapping[Source, int]) -> None:
        self._entries = [number for number, key in enumerate(keyframes) if key]
        self._loop = len(keyframes)
        self._takes = takes
        self._phase = 0
        self._at = 0
        self.shots: list[Shot] = []

    def cut(self, runs: Iterable[Played]) -> list[Shot]:
        """Return what is shown from frame 0 to the last one of `runs`, which are in order."""
        for played in runs:
            self._fill(played)
            self._add(played)
        return self.shots

    def _fill(self, played: Played) -> None:
        missing = played.run.frame - self._at
        if missing <= 0:
            return
        last = self.shots[-1] if self.shots else None
        if last is not None and _goes_on(last, played):
            last.held[last.frames - 1] = last.held.get(last.frames - 1, 0) + missing
        else:
            self._idle(self._phase, missing)
        self._at += missing

    def _add(self, played: Played) -> None:
        run, last = played.run, self.shots[-1] if self.shots else None
        if last is not None and _goes_on(last, played) and self._reaches(played):
            last.frames += run.frames
            self._phase = (self._phase + run.frames) % self._loop
        elif played.source == LOOP and run.offset % self._loop in self._entries:
            self._idle(run.offset, run.frames)
        elif run.offset == 0 and played.source != LOOP and self._reaches(played):
            self.shots.append(Shot(played.source, 0, run.frames))
            self._phase = (self._phase + run.frames) % self._loop
        else:  # what it needs is not there, so that no decoder could show it
            self._idle(run.offset if played.source == LOOP else self._phase, run.frames)
        self._at += run.frames

    def _reaches(self, played: Played) -> bool:
        """Whether the source has all the pictures of a run."""
        there = self._loop if played.source == LOOP else self._takes.get(played.source, 0)
        return played.run.offset + played.run.frames <= there

    def _idle(self, phase: int, frames: int) -> None:
        """Show the loop for so long, from the IDR frame that is nearest to `phase`."""
        first = min(self._entries, key=lambda entry: self._apart(entry, phase % self._loop))
        while frames > 0:
            shown = min(frames, self._loop - first)
            self.shots.append(Shot(LOOP, first, shown))
            self._phase = (first + shown) % self._loop
            frames, first = frames - shown, 0

    def _apart(self, one: int, other: int) -> int:
        apart = (one - other) % self._loop
        return min(apart, self._loop - apart)


def _goes_on(last: Shot, played: Played) -> bool:
    """Whether the run continues the shot with the very next picture."""
    return last.source == played.source and last.first + last.frames == played.run.offset
