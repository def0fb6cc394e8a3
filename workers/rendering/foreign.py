"""Films that a model's service made: passed through where they are fragments already, else encoded once.

A fragment joins others only if it carries the very parameter sets that our encoder writes for its
size. Services that encode with our `FragmentEncoder` (`manage.py flashhead_service`) do; whatever
container such samples come in, they get the tables of a fragment here, and not one of them changes.
"""

from __future__ import annotations

import hashlib
import struct
from array import array
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from av.video.stream import VideoStream

from workers.adapters.avatar import film
from workers.adapters.avatar.base import I420
from workers.adapters.avatar.film import MAX_BYTES, Limits
from workers.adapters.errors import AdapterError
from workers.rendering.boxes import MalformedMedia
from workers.rendering.demux import avc_config, read_fragment
from workers.rendering.encode import EncodedFragment, encode_fragment, units, video_file
from workers.rendering.movie import FPS, avc_entry

_SLICE, _IDR, _SEI, _SPS, _PPS, _DELIMITER = 1, 5, 6, 7, 8, 9


class _Foreign(Exception):
    """These samples are not those of a fragment."""


def admit(data: bytes, *, frames: int, width: int, height: int) -> EncodedFragment | None:
    """Return the film as a fragment of this size, its samples unchanged; None where it is none.

    It has to hold exactly `frames` pictures of 40 ms, without B-frames, opening with an IDR frame,
    under our own parameter sets, and to decode without damage.
    """
    try:
        sps, pps = parameter_sets(width, height)
        samples, sync = _samples(data, sps, pps)
        if len(samples) != frames:
            return None
        made = video_file(samples, sync, avc_entry(width, height, sps, pps), width, height)
        shown = sum(1 for _ in film.pictures(made, Limits(frames, width, height)))
    except (_Foreign, AdapterError, MalformedMedia, ValueError, struct.error, IndexError):
        return None
    if shown != frames:
        return None
    return EncodedFragment(made, frames, hashlib.sha256(made).hexdigest())


def decode(data: bytes, *, limits: Limits, provider: str = "film") -> Iterator[I420]:
    """Yield the pictures of any other film, to be encoded once; see `film.pictures`."""
    return film.pictures(data, limits, provider=provider)


@lru_cache(maxsize=64)
def parameter_sets(width: int, height: int) -> tuple[bytes, bytes]:
    """The SPS and the PPS of every fragment of this size."""
    grey = np.full((height * 3 // 2, width), 128, np.uint8)
    made = encode_fragment([grey], width=width, height=height, preset="ultrafast")
    return avc_config(read_fragment(made.data).entry)


def _samples(data: bytes, sps: bytes, pps: bytes) -> tuple[list[bytes], array[int]]:
    """The samples with four-byte lengths, and the numbers of those that stand alone, from 1."""
    samples: list[bytes] = []
    sync = array("I")
    with film.opened(data, MAX_BYTES, "film") as (container, stream):
        _check_track(stream, sps, pps)
        for number, packet in enumerate(p for p in container.demux(stream) if p.size):
            if packet.pts is None or packet.pts != packet.dts:
                raise _Foreign("B-frames")
            if number == 0:
                begun = packet.pts
            if (packet.pts - begun) * packet.time_base * FPS != number:
                raise _Foreign("not 25 frames a second")
            sample, alone = _sample(bytes(packet), sps, pps)
            if number == 0 and not alone:
                raise _Foreign("no IDR frame")
            if alone:
                sync.append(number + 1)
            samples.append(sample)
    return samples, sync


def _check_track(stream: VideoStream, sps: bytes, pps: bytes) -> None:
    """The header has to say the same as our own would, lengths of four bytes included."""
    extra = stream.codec_context.extradata or b""
    if stream.codec_context.name != "h264" or extra[:1] != b"\x01":
        raise _Foreign("not H.264 with a header of its own")
    one = struct.pack(">BH", 0xE1, len(sps)) + sps + struct.pack(">BH", 1, len(pps)) + pps
    if extra[4] & 3 != 3 or bytes((extra[5] | 0xE0,)) + extra[6 : 5 + len(one)] != one:
        raise _Foreign("other parameter sets")


def _sample(data: bytes, sps: bytes, pps: bytes) -> tuple[bytes, bool]:
    """Keep the slices; every picture that stands alone gets the parameter sets in front."""
    kept, alone = [], False
    for unit in units(data):
        kind = unit[0] & 31
        if kind in (_SPS, _PPS):
            if unit != (sps if kind == _SPS else pps):
                raise _Foreign("other parameter sets")
        elif kind in (_SLICE, _IDR):
            alone |= kind == _IDR
            kept.append(unit)
        elif kind not in (_SEI, _DELIMITER):
            raise _Foreign(f"NAL units of type {kind}")
    if not kept:
        raise _Foreign("a sample without a picture")
    kept = [sps, pps, *kept] if alone else kept
    return b"".join(struct.pack(">I", len(unit)) + unit for unit in kept), alone
