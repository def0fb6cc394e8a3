"""Fragments and prepared sound to a finished MP4, by copying samples: nothing is encoded again.

Fragments are taken one at a time and only their sample sizes are remembered, four bytes a frame,
so memory does not grow with the media. The tables go in front of the media: their room is known
from the length of the sound before the first fragment comes, so the file is written once.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from struct import pack
from typing import BinaryIO

from workers.rendering.aac import AacFile, aac_track, open_aac
from workers.rendering.boxes import MalformedMedia
from workers.rendering.demux import Fragment, read_fragment
from workers.rendering.movie import (
    AAC_SAMPLES,
    FILE_TYPE,
    FPS,
    FRAME_TICKS,
    SAMPLES_PER_FRAME,
    VIDEO_TIMESCALE,
    Track,
    movie,
)

CHUNK_FRAMES = FPS  # pictures and sound take turns every second


class AssemblyError(ValueError):
    """These parts do not make one film; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Frames `first` to `first + frames - 1` of a fragment; `first` has to be an IDR frame.

    `held` names pictures, counted from `first`, that stand still, and for how many frames more.
    """

    data: bytes
    first: int = 0
    frames: int | None = None
    held: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Assembled:
    """A finished file; `frames` is its length in frames of 40 ms."""

    duration_ms: int
    frames: int
    bytes: int
    width: int
    height: int


def assemble(
    fragments: Iterable[bytes | Piece],
    aac_path: Path,
    out: Path,
    *,
    progress: Callable[[int], None] | None = None,
) -> Assembled:
    """Join fragments in playing order with the sound of `AacEncoder` and write `out`.

    `progress` is told the frames written so far, after each fragment. Raises `AssemblyError` when
    a fragment has other parameters than the first, or when sound and pictures differ by more than
    one frame; `out` is then left as it was.
    """
    part = out.with_name(out.name + ".part")
    try:
        with part.open("wb") as file:
            film = _Film(file, _open_sound(aac_path))
            for number, item in enumerate(fragments):
                film.add(number, item if isinstance(item, Piece) else Piece(item))
                if progress:
                    progress(film.frames)
            film.finish()
        part.replace(out)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()
    assert film.video  # noqa: S101 - a film without pictures was refused
    size = out.stat().st_size
    return Assembled(film.frames * 1000 // FPS, film.frames, size, film.video.width, film.video.height)


class _Film:
    """The file being written: media as it comes, tables at the end into the room kept for them."""

    def __init__(self, file: BinaryIO, sound: AacFile) -> None:
        self._file, self._sound = file, sound
        self._packets = sound.packets()
        self._audio = aac_track(sound.entry, sound.sizes, sound.priming, sound.samples)
        self._audio.chunks = []
        self._sent = 0
        expected = -(-sound.samples // SAMPLES_PER_FRAME) + 1
        # Sizes and sync numbers of pictures, sizes of packets, a row of tables for each chunk.
        self._room = 4096 + 8 * expected + 4 * len(sound.sizes) + 40 * (2 + expected // 8)
        self._media_start = len(FILE_TYPE) + self._room + 16
        file.seek(self._media_start)
        self._at = 0
        self.video: Track | None = None
        self.frames = 0

    def add(self, number: int, piece: Piece) -> None:
        fragment = _open_fragment(number, piece)
        if self.video is None:
            self.video = Track("video", fragment.entry, VIDEO_TIMESCALE, fragment.width, fragment.height)
            self.video.sync = array("I")
        elif fragment.entry != self.video.entry:
            raise AssemblyError(
                f"fragment {number} ({fragment.width}x{fragment.height}) has other parameters than "
                f"the first ({self.video.width}x{self.video.height}): they cannot be joined"
            )
        for start in range(0, len(fragment.samples), CHUNK_FRAMES):
            self._add_pictures(self.video, fragment, start, piece.held)
            self._add_sound(until=(self.frames * SAMPLES_PER_FRAME + self._sound.priming) // AAC_SAMPLES)

    def _add_pictures(self, video: Track, fragment: Fragment, start: int, held: Mapping[int, int]) -> None:
        samples = fragment.samples[start : start + CHUNK_FRAMES]
        assert video.sync is not None  # noqa: S101 - set with the track
        for number, sample in enumerate(samples, start):
            video.sizes.append(len(sample.data))
            self._show(video, 1 + held.get(number, 0))
            if sample.sync:
                video.sync.append(len(video.sizes))
        self._write(video, b"".join(sample.data for sample in samples), len(samples))

    def _show(self, video: Track, frames: int) -> None:
        """Say for how long the picture is seen."""
        self.frames += frames
        count, ticks = video.deltas[-1] if video.deltas else (0, frames * FRAME_TICKS)
        if ticks == frames * FRAME_TICKS:
            video.deltas[-1:] = [(count + 1, ticks)]
        else:
            video.deltas.append((1, frames * FRAME_TICKS))

    def _add_sound(self, until: int) -> None:
        packets = list(islice(self._packets, max(0, until - self._sent)))
        self._sent += len(packets)
        if packets:
            self._write(self._audio, b"".join(packets), len(packets))

    def _write(self, track: Track, data: bytes, samples: int) -> None:
        track.chunks.append((self._at, samples))
        self._file.write(data)
        self._at += len(data)

    def finish(self) -> None:
        video = self.video
        if video is None:
            raise AssemblyError("there is no fragment to assemble")
        length = self.frames * SAMPLES_PER_FRAME
        if abs(length - self._sound.samples) > SAMPLES_PER_FRAME:
            raise AssemblyError(
                f"the pictures last {self.frames * 1000 // FPS} ms and the sound "
                f"{self._sound.samples * 1000 // (SAMPLES_PER_FRAME * FPS)} ms"
            )
        self._add_sound(until=len(self._sound.sizes))
        video.edit = (0, length)
        self._audio.edit = (self._sound.priming, min(length, self._sound.samples))
        self._write_tables([video, self._audio])

    def _write_tables(self, tracks: list[Track]) -> None:
        tables = movie(tracks, self._media_start)
        rest = self._room - len(tables)
        if rest < 8:
            raise AssemblyError("the fragments have more entry points than there is room for")
        self._file.seek(0)
        self._file.write(FILE_TYPE + tables + pack(">I4s", rest, b"free") + bytes(rest - 8))
        self._file.write(pack(">I4sQ", 1, b"mdat", self._at + 16))


def _open_sound(path: Path) -> AacFile:
    try:
        return open_aac(path)
    except MalformedMedia as error:
        raise AssemblyError(str(error)) from error


def _open_fragment(number: int, piece: Piece) -> Fragment:
    try:
        fragment = read_fragment(piece.data)
    except MalformedMedia as error:
        raise AssemblyError(f"fragment {number} cannot be used: {error}") from error
    end = None if piece.frames is None else piece.first + piece.frames
    samples = fragment.samples[piece.first : end]
    if not samples or not samples[0].sync:
        raise AssemblyError(f"fragment {number} has no IDR frame at {piece.first}")
    return Fragment(fragment.width, fragment.height, fragment.entry, samples)
