"""The boxes of the ISO base media file format (ISO/IEC 14496-12), read and written.

Fragments, clips and preview segments hold the same compressed samples under different tables, so
turning one into another is writing tables. Doing that here, instead of through a muxer, costs no
work per sample, gives the same bytes for the same input on every release of FFmpeg, and leaves
decode times and edit lists to us.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)  # identity


class MalformedMedia(ValueError):
    """These bytes are not the media file that they claim to be."""


@dataclass(frozen=True, slots=True)
class Box:
    """Where one box lies; `start` to `end` is its payload."""

    kind: bytes
    start: int
    end: int


def box(kind: bytes, *parts: bytes) -> bytes:
    return struct.pack(">I4s", 8 + sum(map(len, parts)), kind) + b"".join(parts)


def full_box(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def boxes(data: bytes | memoryview, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """Walk the boxes of one level. Raises `MalformedMedia` where sizes contradict each other."""
    end = len(data) if end is None else end
    while start < end:
        if end - start < 8:
            raise MalformedMedia("a box header is cut off")
        size, kind = struct.unpack_from(">I4s", data, start)
        header = 8
        if size == 1:
            if end - start < 16:
                raise MalformedMedia("a box header is cut off")
            size, header = struct.unpack_from(">Q", data, start + 8)[0], 16
        if size < header or start + size > end:
            raise MalformedMedia(f"box {kind!r} does not fit into its parent")
        yield Box(kind, start + header, start + size)
        start += size


def find(data: bytes | memoryview, path: str) -> Box | None:
    """Return the first box at a path such as `moov/trak/mdia`, or None."""
    start, end = 0, len(data)
    found = None
    for name in path.split("/"):
        kind = name.encode()
        found = next((each for each in boxes(data, start, end) if each.kind == kind), None)
        if found is None:
            return None
        start, end = found.start, found.end
    return found


def need(data: bytes | memoryview, path: str) -> memoryview:
    """Return the payload of the box at `path`. Raises `MalformedMedia` if it is not there."""
    found = find(data, path)
    if found is None:
        raise MalformedMedia(f"there is no {path} box")
    return memoryview(data)[found.start : found.end]
