"""Cuts encoded pictures into RTP payloads: H.264 by RFC 6184 (mode 1), VP8 by RFC 7741."""

from __future__ import annotations

from collections.abc import Iterator

from rtc.frames import AccessUnit

# With 12 bytes of header, 12 of extensions, 16 of SRTP, 4 of a TURN channel and 48 of IPv6 and UDP
# a packet stays below 1280 bytes, which every path carries.
MAX_PAYLOAD = 1160

SPS, PPS, SEI, DELIMITER, FILLER, STAP_A, FU_A = 7, 8, 6, 9, 12, 24, 28
# They say nothing that a decoder needs; the encoder's own note is 700 bytes at every key frame.
DROPPED = frozenset((SEI, DELIMITER, FILLER))


def payloads_of(unit: AccessUnit) -> tuple[bytes, ...]:
    """Return the RTP payloads of a picture; cut once, and kept on the unit for all who share it."""
    if unit.packed is None:
        unit.packed = tuple(h264_payloads(unit.data))
    return unit.packed  # type: ignore[return-value]  # nobody else writes it


def h264_payloads(data: bytes) -> Iterator[bytes]:
    """Cut one access unit in Annex B: parameter sets share a packet, slices are cut into equal parts."""
    small: list[bytes] = []
    for nal in nal_units(data):
        if nal[0] & 0x1F in (SPS, PPS):
            small.append(nal)
            continue
        yield from _aggregated(small)
        small = []
        if len(nal) <= MAX_PAYLOAD:
            yield nal
        else:
            yield from _fragmented(nal)
    yield from _aggregated(small)


def nal_units(data: bytes) -> Iterator[bytes]:
    """Yield the NAL units of an Annex B stream without their start codes, but not what is dropped."""
    start = data.find(b"\0\0\1")
    while start >= 0:
        start += 3
        end = data.find(b"\0\0\1", start)
        nal = (data[start:end] if end >= 0 else data[start:]).rstrip(b"\0")
        if nal and nal[0] & 0x1F not in DROPPED:
            yield nal
        start = end


def _aggregated(nals: list[bytes]) -> Iterator[bytes]:
    if len(nals) == 1 or sum(map(len, nals)) > MAX_PAYLOAD - 16:
        yield from nals
    elif nals:
        importance = max(nal[0] & 0x60 for nal in nals)
        parts = (len(nal).to_bytes(2, "big") + nal for nal in nals)
        yield bytes([importance | STAP_A]) + b"".join(parts)


def _fragmented(nal: bytes) -> Iterator[bytes]:
    body = memoryview(nal)[1:]
    count = -(-len(body) // (MAX_PAYLOAD - 2))
    size = -(-len(body) // count)
    indicator, kind = nal[0] & 0xE0 | FU_A, nal[0] & 0x1F
    for offset in range(0, len(body), size):
        first = 0x80 if offset == 0 else 0
        last = 0x40 if offset + size >= len(body) else 0
        yield bytes((indicator, first | last | kind)) + body[offset : offset + size]


def vp8_payloads(data: bytes, picture_id: int) -> Iterator[bytes]:
    """Cut one VP8 frame; `picture_id` is 15 bits and grows by one a frame."""
    extension = b"\x80" + (0x8000 | picture_id & 0x7FFF).to_bytes(2, "big")
    size = MAX_PAYLOAD - 4
    for offset in range(0, len(data), size):
        start = 0x90 if offset == 0 else 0x80
        yield bytes((start,)) + extension + data[offset : offset + size]
