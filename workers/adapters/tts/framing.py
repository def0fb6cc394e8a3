"""Frames of compressed sound, cut out of bytes that arrive in any pieces.

Each class is given bytes with `feed` and returns the whole frames in them; what is no frame yet is
kept. Sources: ISO/IEC 13818-3 (MPEG audio), ISO/IEC 13818-7 annex 1 (ADTS), RFC 3533 (Ogg).
"""

from typing import Protocol

MAX_JUNK_BYTES = 16 * 1024
"""So much that is no sound is skipped, in all; more is no stream of this kind."""
MAX_PACKET_BYTES = 256 * 1024
_MPEG_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_KBITS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBITS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)


class NotSound(ValueError):
    """These bytes are not what they were said to be."""


class Framer(Protocol):
    def feed(self, data: bytes) -> list[bytes]:
        """The frames that are whole by now; raises `NotSound`."""
        ...

    def flush(self) -> list[bytes]:
        """What only the end of the stream shows to be a frame."""
        ...


class Headers:
    """Frames that begin with a header which tells their length: MP3 and ADTS.

    Bytes between frames are skipped, tags of ID3 among them, and a header counts only where the next
    frame begins behind it: sound holds what looks like one.
    """

    def __init__(self) -> None:
        self._kept = b""
        self._junk = 0
        self._skip = 0
        self._in_step = False

    def feed(self, data: bytes) -> list[bytes]:
        self._kept += data
        frames: list[bytes] = []
        at = 0
        while (step := self._next(at)) is not None:
            start, end = step
            if end > start:
                frames.append(self._kept[start:end])
            at = end
        self._kept = self._kept[at:]
        return frames

    def flush(self) -> list[bytes]:
        """A last frame with nothing behind it that would prove it."""
        size = self.length(self._kept)
        return [self._kept[:size]] if 0 < size <= len(self._kept) else []

    def length(self, head: bytes) -> int:
        """Bytes of the frame that begins here; 0 for none."""
        raise NotImplementedError

    HEAD_BYTES = 4

    def _next(self, at: int) -> tuple[int, int] | None:
        """Where the next frame begins and ends; an empty one stands for bytes that were skipped."""
        kept = self._kept
        if self._skip or kept[at : at + 3] in (b"ID3", b"TAG"):
            return self._tag(at)
        if len(kept) < at + self.HEAD_BYTES:
            return None
        size = self.length(kept[at : at + self.HEAD_BYTES])
        if not size:
            return self._slip(at)
        if len(kept) < at + size + (0 if self._in_step else self.HEAD_BYTES):
            return None
        if not self._in_step and not self._begins(at + size):
            return self._slip(at)
        self._in_step = True
        return at, at + size

    def _begins(self, at: int) -> bool:
        return self._kept[at : at + 3] == b"TAG" or self.length(self._kept[at : at + self.HEAD_BYTES]) > 0

    def _slip(self, at: int) -> tuple[int, int]:
        self._in_step = False
        self._junk += 1
        if self._junk > MAX_JUNK_BYTES:
            raise NotSound
        return at + 1, at + 1

    def _tag(self, at: int) -> tuple[int, int] | None:
        if not self._skip:
            head = self._kept[at : at + 10]
            if len(head) < 10:
                return None
            self._skip = 128 if head[:3] == b"TAG" else 10 + _syncsafe(head[6:])
        gone = min(self._skip, len(self._kept) - at)
        self._skip -= gone
        return (at + gone, at + gone) if gone else None


class Mp3(Headers):
    """MPEG 1, 2 and 2.5, layer III."""

    def length(self, head: bytes) -> int:
        if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
            return 0
        version, bits, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
        if version == 1 or rate == 3 or bits in (0, 15):
            return 0
        kbits = (_KBITS_1 if version == 3 else _KBITS_2)[bits]
        size = (144 if version == 3 else 72) * kbits * 1000 // _MPEG_RATES[version][rate]
        return size + (head[2] >> 1 & 1)


class Adts(Headers):
    """AAC with a header on each frame."""

    HEAD_BYTES = 7

    def length(self, head: bytes) -> int:
        if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0 or head[2] >> 2 & 15 > 12:
            return 0
        size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
        return size if size > 7 else 0


class Ogg:
    """The packets of the only stream of an Ogg file, its headers among them."""

    def __init__(self) -> None:
        self._kept = b""
        self._packet = b""
        self.granule = -1
        """Samples up to the end of the last page, as its encoder counted."""
        self.ended = False

    def feed(self, data: bytes) -> list[bytes]:
        self._kept += data
        packets: list[bytes] = []
        while (page := self._page()) is not None:
            packets += self._packets(*page)
        if len(self._kept) > MAX_PACKET_BYTES:
            raise NotSound
        return packets

    def flush(self) -> list[bytes]:
        return []

    def _page(self) -> tuple[bytes, bytes] | None:
        """The sizes of a page's segments, and its bytes."""
        head = self._kept[:27]
        if head[:4] != b"OggS"[: len(head)]:
            raise NotSound
        if len(head) < 27 or len(self._kept) < 27 + head[26]:
            return None
        sizes = self._kept[27 : 27 + head[26]]
        start = 27 + len(sizes)
        end = start + sum(sizes)
        if len(self._kept) < end:
            return None
        body, self._kept = self._kept[start:end], self._kept[end:]
        self.granule = int.from_bytes(head[6:14], "little", signed=True)
        self.ended = self.ended or bool(head[5] & 4)
        return sizes, body

    def _packets(self, sizes: bytes, body: bytes) -> list[bytes]:
        """A segment of less than 255 bytes ends a packet; one may go on in the next page."""
        found: list[bytes] = []
        at = 0
        for size in sizes:
            self._packet += body[at : at + size]
            at += size
            if size < 255:
                found.append(self._packet)
                self._packet = b""
            elif len(self._packet) > MAX_PACKET_BYTES:
                raise NotSound
        return found


def _syncsafe(data: bytes) -> int:
    size = 0
    for byte in data[:4]:
        size = size << 7 | byte & 0x7F
    return size
