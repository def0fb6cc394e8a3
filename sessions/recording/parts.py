"""A few seconds of a session as one object: what was played, with its pictures and sounds.

A part is a JSON header and the bytes it points to: `PRT1`, the header's length (u32, big endian), the
header, the bytes. Positions count from the end of the header.
"""

import json
import struct
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

MAGIC = b"PRT1"
LIMIT_BYTES = 16 * 1024 * 1024  # a header is a few kilobytes


class PartMalformed(ValueError):
    """This object is not a part that `pack` made."""


@dataclass(frozen=True, slots=True)
class Run:
    """Frames that were presented one after the other. `take` names the fragment; -1 is the idle loop.

    `offset` is the motion phase in the loop, or the picture in the fragment.
    """

    frame: int
    frames: int
    take: int
    offset: int


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes of a part. `at` is what they belong to: the number of a take, the frame at which the sound
    of an avatar began (48 kHz mono s16le), or the sample, counted at 16 kHz, of the customer's.
    """

    at: int
    start: int
    size: int


@dataclass(slots=True)
class Header:
    """What is in a part. `lost` counts bytes that were dropped because nobody could store them."""

    closed: bool = False
    lost: int = 0
    runs: list[Run] = field(default_factory=list)
    takes: list[Blob] = field(default_factory=list)
    speech: list[Blob] = field(default_factory=list)
    microphone: list[Blob] = field(default_factory=list)


@dataclass(slots=True)
class Sheet:
    """A part that is being written: three lists of (at, bytes), and the runs."""

    runs: list[Run] = field(default_factory=list)
    takes: list[tuple[int, bytes]] = field(default_factory=list)
    speech: list[tuple[int, bytes]] = field(default_factory=list)
    microphone: list[tuple[int, bytes]] = field(default_factory=list)
    lost: int = 0
    closed: bool = False

    @property
    def empty(self) -> bool:
        return not (self.runs or self.microphone or self.closed)

    @property
    def size(self) -> int:
        return sum(len(data) for _, data in (*self.takes, *self.speech, *self.microphone))


def pack(sheet: Sheet) -> bytes:
    """Return the object of a part."""
    header, blobs, at = Header(sheet.closed, sheet.lost, sheet.runs), [], 0
    for target, found in (
        (header.takes, sheet.takes),
        (header.speech, sheet.speech),
        (header.microphone, sheet.microphone),
    ):
        for place, data in found:
            target.append(Blob(place, at, len(data)))
            blobs.append(data)
            at += len(data)
    told = json.dumps(_plain(header), separators=(",", ":")).encode()
    return b"".join((MAGIC, struct.pack(">I", len(told)), told, *blobs))


@dataclass(frozen=True, slots=True)
class Part:
    """A part in a file."""

    path: Path
    header: Header
    start: int

    def read(self, blob: Blob) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self.start + blob.start)
            return file.read(blob.size)


def open_part(path: Path) -> Part:
    """Read the header of a part. Raises `PartMalformed`."""
    with path.open("rb") as file:
        head = file.read(8)
        if len(head) < 8 or head[:4] != MAGIC:
            raise PartMalformed(f"{path.name} is not a part of a recording")
        (size,) = struct.unpack(">I", head[4:])
        if size > LIMIT_BYTES:
            raise PartMalformed(f"{path.name} has a header of {size} bytes")
        try:
            header = _header(json.loads(file.read(size)))
        except (ValueError, TypeError, KeyError) as error:
            raise PartMalformed(f"{path.name} has a header that cannot be read") from error
    whole = 8 + size + sum(blob.size for blob in _blobs(header))
    if path.stat().st_size != whole:
        raise PartMalformed(f"{path.name} is {path.stat().st_size} bytes long in place of {whole}")
    return Part(path, header, 8 + size)


def _plain(header: Header) -> dict[str, object]:
    rows = {name: [list(asdict(row).values()) for row in getattr(header, name)] for name in _ROWS}
    return {"closed": header.closed, "lost": header.lost, **rows}


def _header(told: dict[str, list[list[int]]]) -> Header:
    rows = {name: [kind(*map(int, row)) for row in told[name]] for name, kind in _ROWS.items()}
    return Header(bool(told["closed"]), int(told["lost"]), **rows)  # type: ignore[arg-type, call-overload]


def _blobs(header: Header) -> Iterator[Blob]:
    lists: Iterable[list[Blob]] = (header.takes, header.speech, header.microphone)
    for each in lists:
        yield from each


_ROWS: dict[str, type[Run] | type[Blob]] = {"runs": Run, "takes": Blob, "speech": Blob, "microphone": Blob}
