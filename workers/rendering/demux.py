"""Reads fragments back: their parameters and their compressed samples, without copying."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from workers.rendering.boxes import MalformedMedia, boxes, need
from workers.rendering.movie import FRAME_TICKS, VIDEO_TIMESCALE


@dataclass(frozen=True, slots=True)
class Sample:
    """One compressed picture: NAL units with four-byte lengths."""

    data: memoryview
    sync: bool


@dataclass(frozen=True, slots=True)
class Fragment:
    """What a fragment holds; `entry` is its `avc1` sample entry, parameter sets included."""

    width: int
    height: int
    entry: bytes
    samples: list[Sample]


def read_fragment(data: bytes) -> Fragment:
    """Take a fragment apart.

    Raises `MalformedMedia` for anything that is not H.264 at 25 frames a second which opens with
    an IDR frame: what `FragmentEncoder` makes.
    """
    try:
        return _read(data)
    except (struct.error, IndexError, ValueError) as error:
        if isinstance(error, MalformedMedia):
            raise
        raise MalformedMedia("the tables of the fragment are cut") from error


def _read(data: bytes) -> Fragment:
    media = need(data, "moov/trak/mdia")
    table = need(media, "minf/stbl")
    entry = bytes(need(table, "stsd")[8:])
    if entry[4:8] != b"avc1":
        raise MalformedMedia("the fragment is not H.264")
    sizes = _table(need(table, "stsz")[8:])
    _check_pace(media, need(table, "stts"), len(sizes))
    sync = set(_table(need(table, "stss")[4:]))
    if 1 not in sync:
        raise MalformedMedia("the fragment does not open with an IDR frame")
    width, height = struct.unpack_from(">HH", entry, 32)
    view, samples = memoryview(data), []
    for number, (offset, size) in enumerate(zip(_offsets(table, sizes), sizes, strict=True), 1):
        if offset + size > len(data):
            raise MalformedMedia("the fragment is cut short")
        samples.append(Sample(view[offset : offset + size], number in sync))
    return Fragment(width, height, entry, samples)


def _check_pace(media: memoryview, stts: memoryview, frames: int) -> None:
    (timescale,) = struct.unpack_from(">I", need(media, "mdhd"), 12)
    runs, count, delta = struct.unpack_from(">3I", stts, 4)
    if (timescale, runs, count, delta) != (VIDEO_TIMESCALE, 1, frames, FRAME_TICKS) or not frames:
        raise MalformedMedia("the fragment does not run at 25 frames a second")


def _offsets(table: memoryview, sizes: list[int]) -> list[int]:
    """Return where each sample lies. Fragments have one chunk."""
    chunks = _table(need(table, "stco")[4:])
    if len(chunks) != 1:
        raise MalformedMedia("the fragment has more than one chunk")
    starts = np.cumsum([chunks[0], *sizes[:-1]])
    return [int(start) for start in starts]


def _table(payload: memoryview) -> list[int]:
    (count,) = struct.unpack_from(">I", payload)
    return [int(value) for value in np.frombuffer(payload[4 : 4 + 4 * count], ">u4", count)]


def avc_config(entry: bytes) -> tuple[bytes, bytes]:
    """Return the SPS and the PPS of an `avc1` sample entry."""
    config = next((each for each in boxes(entry, 8 + 78) if each.kind == b"avcC"), None)
    if config is None:
        raise MalformedMedia("there is no avcC box")
    payload = entry[config.start : config.end]
    (size,) = struct.unpack_from(">H", payload, 6)
    sps = payload[8 : 8 + size]
    (length,) = struct.unpack_from(">H", payload, 9 + size)
    return sps, payload[11 + size : 11 + size + length]
