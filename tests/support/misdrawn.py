"""How the answers of a fake avatar server go wrong: other pictures than were asked for, bent envelopes."""

import struct
from collections.abc import Callable

import numpy as np

from tests.support import drawn_frames
from tests.support.drawn_frames import Session

STRANGER = drawn_frames.jpeg(np.random.default_rng(7).integers(0, 255, (64, 64, 3), dtype=np.uint8))
"""Somebody else's portrait."""

Pictures = list[bytes]

WRONG: dict[str, Callable[[Pictures, Session], Pictures]] = {
    "short": lambda made, session: made[: len(made) // 2],
    "few": lambda made, session: made[:-9],
    "many": lambda made, session: made * 3,
    "surplus": lambda made, session: [*made, made[-1], made[-1]],
    "empty": lambda made, session: [],
    "flat": lambda made, session: [drawn_frames.flat(session.width, session.height)] * len(made),
    "fake": lambda made, session: [drawn_frames.flat(session.width, session.height)],
    "resized": lambda made, session: [drawn_frames.flat(session.width * 2, session.height)] * len(made),
    "no_jpeg": lambda made, session: [b"GIF89a" + bytes(40)] * len(made),
    "half_jpeg": lambda made, session: [picture[:40] for picture in made],
}
BENT: dict[str, Callable[[bytes], bytes]] = {
    "garbage": lambda data: b"\x00\x01\x02garbage",
    "trailing": lambda data: data + b"x",
    "truncated": lambda data: data[:-7],
    "count": lambda data: data[:4] + struct.pack("<I", 4_000_000_000) + data[8:],
    "length": lambda data: data[:8] + struct.pack("<I", 4_000_000_000) + data[12:],
}
"""What becomes of an envelope."""
SAID = {
    "fail": "Generate failed: tensor of size /models/secret",
    "oom": "Generate failed: CUDA out of memory. Tried to allocate 2.00 GiB",
    "refuse": "Expected 1 bytes",
}
"""What the server says instead of drawing."""


def envelope(pictures: Pictures) -> bytes:
    parts = [b"VIDX", struct.pack("<I", len(pictures))]
    for picture in pictures:
        parts += [struct.pack("<I", len(picture)), picture]
    return b"".join(parts)


def answer(way: str, made: Pictures, session: Session) -> bytes:
    """The envelope of these pictures, or what goes out in its place."""
    if way in WRONG:
        made = WRONG[way](made, session)
    data = envelope(made)
    return BENT[way](data) if way in BENT else data
