"""One outgoing RTP stream: headers, sequence numbers, retransmission, and what its reports say.

Nothing here waits or allocates more than the packets themselves; the payloads of an idle loop are
shared by all who send it, and the retransmission history only points at them.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

HEADER = struct.Struct("!BBHII")
VERSION_AND_EXTENSION = 0x90
VERSION = 0x80
ONE_BYTE_PROFILE = 0xBEDE
VIDEO_CLOCK = 90_000  # RTP ticks a second
VIDEO_TICKS_PER_FRAME = VIDEO_CLOCK // 25
HISTORY = 512  # packets; about 3 s of video
# A client may ask for anything as often as it likes; this much a second it gets.
RESENT_PER_SECOND = 400

_Sent = tuple[int, bytes, int, int]  # sequence number, payload, timestamp, marker bit and payload type


@dataclass(frozen=True, slots=True)
class Extensions:
    """Header extensions negotiated for a stream: ids of 1 to 14, or 0 for none."""

    mid: str = ""
    mid_id: int = 0
    abs_send_time_id: int = 0

    def header(self) -> tuple[bytes, bytes]:
        """Everything that is the same for each packet: what stands before the send time, and behind it."""
        elements = b""
        if self.mid_id and 0 < len(self.mid) <= 16:
            elements = bytes((self.mid_id << 4 | len(self.mid) - 1,)) + self.mid.encode("ascii")
        if self.abs_send_time_id:
            elements += bytes((self.abs_send_time_id << 4 | 2,))
        size = len(elements) + (3 if self.abs_send_time_id else 0)
        words = -(-size // 4)
        head = struct.pack("!HH", ONE_BYTE_PROFILE, words) + elements if elements else b""
        return head, bytes(words * 4 - size)


@dataclass(frozen=True, slots=True)
class StreamConfig:
    """What offer and answer fixed for a stream.

    With `resend` lost packets are sent again: as they were, or by RTX where it has a payload type.
    """

    payload_type: int
    ticks_per_frame: int
    extensions: Extensions
    rtx_payload_type: int | None = None
    resend: bool = False


def new_ssrc() -> int:
    return secrets.randbelow(2**32 - 2) + 1


class RtpStream:
    """Numbers and stamps packets, and gives them to `send` (which says whether they left)."""

    def __init__(self, config: StreamConfig, send: Callable[[bytes], bool]) -> None:
        self.ssrc = new_ssrc()
        self.rtx_ssrc = new_ssrc()
        self.packets = 0
        self.octets = 0
        self.resent = 0
        self._config = config
        self._send = send
        # A lower half start keeps the first wrap away from the keys' first use (as browsers do).
        self._sequence = secrets.randbelow(2**15)
        self._rtx_sequence = secrets.randbelow(2**15)
        self._offset = secrets.randbelow(2**32)
        self._head, self._padding = config.extensions.header()
        self._timed = bool(config.extensions.abs_send_time_id)
        self._history: list[_Sent | None] = [None] * (HISTORY if config.resend else 0)
        self._allowance = RESENT_PER_SECOND

    def timestamp(self, frame: int, extra: int = 0) -> int:
        """RTP time of a frame (and `extra` ticks of the stream's clock into it)."""
        return (frame * self._config.ticks_per_frame + extra + self._offset) & 0xFFFFFFFF

    def send(self, payloads: Sequence[bytes], timestamp: int, send_time: int, *, marked: bool) -> None:
        """Send the packets of one picture or sound; the marker bit is on the last one.

        `send_time` is the abs-send-time of this moment: 24 bits, seconds in 6.18 fixed point.
        """
        header = self._extension_header(send_time)
        first = VERSION_AND_EXTENSION if header else VERSION
        kind, ssrc, history = self._config.payload_type, self.ssrc, self._history
        sequence, last = self._sequence, len(payloads) - 1
        for index, payload in enumerate(payloads):
            second = kind | 0x80 if marked and index == last else kind
            self._send(HEADER.pack(first, second, sequence, timestamp, ssrc) + header + payload)
            if history:
                history[sequence % HISTORY] = (sequence, payload, timestamp, second)
            sequence = (sequence + 1) & 0xFFFF
            self.octets += len(payload)
        self._sequence = sequence
        self.packets += len(payloads)

    def _extension_header(self, send_time: int) -> bytes:
        if self._timed:
            return self._head + send_time.to_bytes(3, "big") + self._padding
        return self._head + self._padding

    def resend(self, lost: Iterable[int], send_time: int) -> None:
        """Send again what a receiver misses and we still have."""
        if not self._history:
            return
        for sequence in lost:
            entry = self._history[sequence % HISTORY]
            if entry is None or entry[0] != sequence & 0xFFFF or self._allowance <= 0:
                continue
            self._allowance -= 1
            self.resent += 1
            self._send(self._again(entry, send_time))

    def _again(self, entry: _Sent, send_time: int) -> bytes:
        sequence, payload, timestamp, second = entry
        header = self._extension_header(send_time)
        first = VERSION_AND_EXTENSION if header else VERSION
        if (rtx := self._config.rtx_payload_type) is None:
            return HEADER.pack(first, second, sequence, timestamp, self.ssrc) + header + payload
        number, self._rtx_sequence = self._rtx_sequence, (self._rtx_sequence + 1) & 0xFFFF
        original = sequence.to_bytes(2, "big")
        packed = HEADER.pack(first, second & 0x80 | rtx, number, timestamp, self.rtx_ssrc)
        return packed + header + original + payload

    def second_passed(self) -> None:
        self._allowance = RESENT_PER_SECOND
