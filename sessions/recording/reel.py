"""All parts of one session in a folder, and what film and sound are made of."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path

from sessions.recording.parts import Blob, Part, PartMalformed, Run, open_part
from sessions.recording.recorder import FRAME_BYTES
from sessions.recording.soundtrack import Speech, Strip
from sessions.recording.timeline import IDLE, LOOP, Cutter, Played, Source, end_of, in_order
from storage import keys, recordings
from storage.errors import ObjectDamaged
from workers.rendering.assemble import Piece
from workers.rendering.boxes import MalformedMedia
from workers.rendering.demux import Fragment, read_fragment

END = Played(0, Run(-1, 0, IDLE, 0))

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Cutting:
    """Bytes of a part."""

    part: Part
    blob: Blob

    def read(self, size: int | None = None) -> bytes:
        return self.part.read(self.blob)[:size]


@dataclass(slots=True)
class Reel:
    """What was played, in order, and where its pictures and sounds are."""

    played: list[Played]
    takes: dict[Source, Cutting] = field(default_factory=dict)
    sounds: dict[tuple[int, int], Cutting] = field(default_factory=dict)  # by host and frame
    microphone: list[tuple[int, Cutting]] = field(default_factory=list)

    @classmethod
    def read(cls, session_id: str, folder: Path, check: Callable[[], None]) -> Reel:
        """Fetch the parts into `folder`. Raises StorageError; parts that are damaged are left out."""
        reel, told = cls([]), []
        for number, key in enumerate(recordings.part_keys(session_id)):
            check()
            path = folder / f"{number:06d}.part"
            try:
                recordings.read_part(key, path)
                part = open_part(path)
            except (ObjectDamaged, PartMalformed) as error:
                _log.error("a part of %s is left out: %s", session_id, error)
                continue
            fence, _ = keys.part_of(key)
            reel._index(fence, part)
            told += [Played(fence, run) for run in part.header.runs]
        reel.played = in_order(told)
        reel.microphone.sort(key=lambda found: found[0])
        return reel

    @staticmethod
    def is_whole(session_id: str, fence: int) -> bool:
        """Whether the last host has stored its last part."""
        last = max(recordings.part_keys(session_id), default=None)
        if last is None or keys.part_of(last)[0] != fence:
            return False
        with tempfile.TemporaryDirectory(prefix="parley-part-") as folder:
            path = Path(folder) / "last.part"
            try:
                recordings.read_part(last, path)
                return open_part(path).header.closed
            except (ObjectDamaged, PartMalformed):
                return True  # there is no better one to wait for

    @property
    def frames(self) -> int:
        """The length of the session's timeline."""
        return end_of(self.played)

    def speech(self) -> Iterator[Speech]:
        """The sound of the avatar, as far as it was played."""
        for played, following in pairwise([*self.played, END]):
            run = played.run
            found = self.sounds.get((played.fence, run.frame))
            if run.take != IDLE and found is not None:
                read = partial(found.read, run.frames * FRAME_BYTES)
                yield Speech(run.frame, run.frames, read, _goes_on(played, following))

    def strips(self) -> Iterator[Strip]:
        """The sound of the customer."""
        for sample, found in self.microphone:
            yield Strip(sample, found.blob.size // 2, found.read)

    def pieces(self, loop: bytes) -> Iterator[Piece]:
        """The pictures, from frame 0 to the end. Raises `MalformedMedia` for a loop that is none."""
        idle = read_fragment(loop)
        cutter = Cutter([sample.sync for sample in idle.samples], dict(self._usable(idle)))
        for shot in cutter.cut(self.played):
            data = loop if shot.source == LOOP else self.takes[shot.source].read()
            yield Piece(data, shot.first, shot.frames, shot.held)

    def _usable(self, idle: Fragment) -> Iterator[tuple[Source, int]]:
        """The fragments that can be joined with the loop, and how many pictures they have."""
        for source, found in self.takes.items():
            try:
                fragment = read_fragment(found.read())
            except MalformedMedia as error:
                _log.error("fragment %d of host %d cannot be shown: %s", source.take, source.fence, error)
                continue
            if fragment.entry == idle.entry:
                yield source, len(fragment.samples)
            else:
                _log.error("fragment %d of host %d has other parameters", source.take, source.fence)

    def _index(self, fence: int, part: Part) -> None:
        header = part.header
        self.takes |= {Source(fence, blob.at): Cutting(part, blob) for blob in header.takes}
        self.sounds |= {(fence, blob.at): Cutting(part, blob) for blob in header.speech}
        self.microphone += [(blob.at, Cutting(part, blob)) for blob in header.microphone]


def _goes_on(played: Played, following: Played) -> bool:
    """Whether the next run continues the sound of this one without a seam."""
    one, other = played.run, following.run
    if other.take == IDLE or played.fence != following.fence or one.frame + one.frames != other.frame:
        return False
    return other.offset == (one.offset + one.frames if one.take == other.take else 0)
