"""The binary messages that all realtime avatar services share.

Sound goes out as `AUDI` and 16 kHz mono PCM (s16le) to the end of the message; pictures come back as
`VIDX`, their number (u32le) and for each its length (u32le) and JPEG bytes; a driving picture is `FRAM`
and one JPEG or PNG. One WebSocket message is one whole envelope: nothing numbers them but their order.
"""

import struct

import numpy as np

from workers.adapters.avatar.base import Pcm

AUDIO, VIDEO, DRIVING = b"AUDI", b"VIDX", b"FRAM"
MAX_MESSAGE_BYTES = 50 * 1024 * 1024
HEADER = struct.Struct("<4sI")
LENGTH = struct.Struct("<I")


class FramingError(ValueError):
    """The message is no envelope, or not all of one."""


def audio(pcm: Pcm) -> bytes:
    """The envelope of one chunk of sound: int16, shape (samples,)."""
    return AUDIO + pcm.astype("<i2", copy=False).tobytes()


def sound(message: bytes) -> Pcm:
    """What `audio` wrapped. Raises `FramingError`."""
    if message[:4] != AUDIO:
        raise FramingError("no sound where sound is expected")
    if len(message) % 2:
        raise FramingError("half a sample at the end")
    return np.frombuffer(message, "<i2", offset=4).astype(np.int16, copy=False)


def video(pictures: list[bytes]) -> bytes:
    """The envelope of these JPEGs."""
    parts = [HEADER.pack(VIDEO, len(pictures))]
    for picture in pictures:
        parts += (LENGTH.pack(len(picture)), picture)
    return b"".join(parts)


def pictures(message: bytes, *, most: int) -> list[bytes]:
    """The JPEGs of an envelope, at most so many; none is a legal answer. Raises `FramingError`."""
    if len(message) > MAX_MESSAGE_BYTES:
        raise FramingError("the message is too long")
    if len(message) < HEADER.size:
        raise FramingError("the message is too short")
    magic, count = HEADER.unpack_from(message)
    if magic != VIDEO:
        raise FramingError("no pictures where pictures are expected")
    if count > most:
        raise FramingError(f"{count} pictures where at most {most} are expected")
    return _cut(message, count)


def driving(picture: bytes) -> bytes:
    """The envelope of one picture that drives a face."""
    return DRIVING + picture


def _cut(message: bytes, count: int) -> list[bytes]:
    found, at, end = [], HEADER.size, len(message)
    for _ in range(count):
        if at + LENGTH.size > end:
            raise FramingError("the message ends before a picture's length")
        (size,) = LENGTH.unpack_from(message, at)
        at += LENGTH.size
        if size > end - at:
            raise FramingError("the message ends inside a picture")
        found.append(message[at : at + size])
        at += size
    if at != end:
        raise FramingError("something follows the last picture")
    return found
