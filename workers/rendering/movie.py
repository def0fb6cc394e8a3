"""Movie headers (`moov`) for H.264 and AAC: sample tables, sample entries, edit lists.

Sources: ISO/IEC 14496-12 (tables), 14496-15 (`avcC`), 14496-1 (`esds`).
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np

from workers.rendering.boxes import MATRIX, box, full_box

FPS = 25
VIDEO_TIMESCALE = 90_000  # RTP's clock for video, so that no use of a fragment has to round
FRAME_TICKS = VIDEO_TIMESCALE // FPS
SOUND_RATE = 48_000
SAMPLES_PER_FRAME = SOUND_RATE // FPS  # 1920
MOVIE_TIMESCALE = SOUND_RATE  # edit lists are told in it, and they have to be exact to the sample
AAC_SAMPLES = 1024
COLOUR = (1, 1, 6)  # primaries and transfer of BT.709 (sRGB pictures), matrix of BT.601

FILE_TYPE = box(b"ftyp", b"isom", struct.pack(">I", 0x200), b"isomiso2avc1mp41")


@dataclass(slots=True)
class Track:
    """One track. `chunks` are (offset into the media data, number of samples), in file order.

    `deltas` are runs of (samples, ticks each); `sync` numbers the random access samples from 1,
    None where all are; `edit` is (media time of the first moment shown in ticks of the track,
    length in `MOVIE_TIMESCALE`).
    """

    kind: str  # "video" or "audio"
    entry: bytes
    timescale: int
    width: int = 0
    height: int = 0
    sizes: array[int] = field(default_factory=lambda: array("I"))
    deltas: list[tuple[int, int]] = field(default_factory=list)
    sync: array[int] | None = None
    chunks: list[tuple[int, int]] = field(default_factory=list)
    edit: tuple[int, int] | None = None

    @property
    def ticks(self) -> int:
        return sum(count * delta for count, delta in self.deltas)

    @property
    def shown(self) -> int:
        """How long the track plays, in `MOVIE_TIMESCALE`."""
        return self.edit[1] if self.edit else self.ticks * MOVIE_TIMESCALE // self.timescale


def avc_entry(width: int, height: int, sps: bytes, pps: bytes) -> bytes:
    """Return the `avc1` sample entry; colours as `COLOUR`, limited range."""
    config = bytes((1, sps[1], sps[2], sps[3], 0xFF, 0xE1))
    config += struct.pack(">H", len(sps)) + sps + b"\x01" + struct.pack(">H", len(pps)) + pps
    return box(
        b"avc1",
        struct.pack(">6xH16xHHIIIH32xHh", 1, width, height, 0x480000, 0x480000, 0, 1, 24, -1),
        box(b"avcC", config),
        box(b"colr", b"nclx", struct.pack(">HHHB", *COLOUR, 0)),
        box(b"pasp", struct.pack(">II", 1, 1)),
    )


def aac_entry(config: bytes, channels: int, bit_rate: int) -> bytes:
    """Return the `mp4a` sample entry around an AudioSpecificConfig."""

    def descriptor(tag: int, payload: bytes) -> bytes:
        return bytes((tag, len(payload))) + payload

    decoder = struct.pack(">BB3xII", 0x40, 0x15, bit_rate, bit_rate) + descriptor(5, config)
    stream = struct.pack(">HB", 0, 0) + descriptor(4, decoder) + descriptor(6, b"\x02")
    return box(
        b"mp4a",
        struct.pack(">6xH8xHH4xI", 1, channels, 16, SOUND_RATE << 16),
        full_box(b"esds", 0, 0, descriptor(3, stream)),
    )


def movie(tracks: Iterable[Track], media_start: int = 0) -> bytes:
    """Return the `moov` box; chunk offsets are counted from `media_start` in the file.

    The length of the result does not depend on `media_start` below 4 GiB.
    """
    traks = [_trak(number, track, media_start) for number, track in enumerate(tracks, 1)]
    length = max(track.shown for track in tracks)
    return box(b"moov", movie_header(length, len(traks) + 1), *traks)


def movie_header(length: int, next_track: int) -> bytes:
    times = struct.pack(">4I", 0, 0, MOVIE_TIMESCALE, length)
    return full_box(
        b"mvhd", 0, 0, times, struct.pack(">IH10x", 0x10000, 0x100), MATRIX, bytes(24), _u32(next_track)
    )


def _trak(number: int, track: Track, media_start: int) -> bytes:
    edits = [box(b"edts", edit_list(*track.edit))] if track.edit else []
    tables = (_time_table(track), _sync_table(track), _chunk_runs(track), _size_table(track))
    table = box(
        b"stbl", sample_entries(track.entry), *tables, _chunk_offsets(track, media_start), _preroll(track)
    )
    return box(b"trak", track_header(number, track), *edits, track_media(track, table, track.ticks))


def track_header(number: int, track: Track) -> bytes:
    head = struct.pack(">5I8x", 0, 0, number, 0, track.shown)
    kind = struct.pack(">HHHH", 0, 0, 0x100 if track.kind == "audio" else 0, 0)
    return full_box(
        b"tkhd", 0, 3, head, kind, MATRIX, struct.pack(">II", track.width << 16, track.height << 16)
    )


def track_media(track: Track, table: bytes, ticks: int) -> bytes:
    video = track.kind == "video"
    header = full_box(b"mdhd", 0, 0, struct.pack(">4IHH", 0, 0, track.timescale, ticks, 0x55C4, 0))
    handler = full_box(b"hdlr", 0, 0, bytes(4), b"vide" if video else b"soun", bytes(12), b"Parley\0")
    kind = full_box(b"vmhd", 0, 1, bytes(8)) if video else full_box(b"smhd", 0, 0, bytes(4))
    place = box(b"dinf", full_box(b"dref", 0, 0, _u32(1), full_box(b"url ", 0, 1)))
    return box(b"mdia", header, handler, box(b"minf", kind, place, table))


def edit_list(media_time: int, length: int) -> bytes:
    return full_box(b"elst", 0, 0, struct.pack(">3IHH", 1, length, media_time, 1, 0))


def sample_entries(entry: bytes) -> bytes:
    return full_box(b"stsd", 0, 0, _u32(1), entry)


def _time_table(track: Track) -> bytes:
    rows = b"".join(struct.pack(">II", *run) for run in track.deltas)
    return full_box(b"stts", 0, 0, _u32(len(track.deltas)), rows)


def _sync_table(track: Track) -> bytes:
    if track.sync is None:
        return b""
    return full_box(b"stss", 0, 0, _u32(len(track.sync)), _big_endian(track.sync))


def _size_table(track: Track) -> bytes:
    return full_box(b"stsz", 0, 0, struct.pack(">II", 0, len(track.sizes)), _big_endian(track.sizes))


def _chunk_runs(track: Track) -> bytes:
    rows, number = [], 1
    for count, run in groupby(count for _, count in track.chunks):
        rows.append(struct.pack(">3I", number, count, 1))
        number += sum(1 for _ in run)
    return full_box(b"stsc", 0, 0, _u32(len(rows)), *rows)


def _chunk_offsets(track: Track, media_start: int) -> bytes:
    offsets = np.fromiter((media_start + offset for offset, _ in track.chunks), np.uint64)
    if len(offsets) and offsets[-1] >= 1 << 32:
        return full_box(b"co64", 0, 0, _u32(len(offsets)), offsets.astype(">u8").tobytes())
    return full_box(b"stco", 0, 0, _u32(len(offsets)), offsets.astype(">u4").tobytes())


def _preroll(track: Track) -> bytes:
    """Say that sound decoded from the middle is right only after one more packet."""
    if track.kind != "audio":
        return b""
    roll = full_box(b"sgpd", 1, 0, b"roll", struct.pack(">IIh", 2, 1, -1))
    return roll + full_box(b"sbgp", 0, 0, b"roll", struct.pack(">3I", 1, len(track.sizes), 1))


def _big_endian(values: array[int]) -> bytes:
    return np.frombuffer(values, np.uint32).astype(">u4").tobytes()


def _u32(value: int) -> bytes:
    return struct.pack(">I", value)
