"""RTCP: our sender reports, and what a client's feedback says.

A sender report tells which moment of the wall clock a media time belongs to. Both streams count
the same frames, and the reports place frame `f` at `origin + f * 40 ms` exactly: a receiver that
maps both to the wall clock finds lips and voice together, also after a stall, when frame numbers
and the clock jump alike. When a report really left is kept here for measuring the round trip.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from aiortc.rtp import (
    RTCP_PSFB_APP,
    RTCP_PSFB_FIR,
    RTCP_PSFB_PLI,
    RTCP_RTPFB_NACK,
    AnyRtcpPacket,
    RtcpPacket,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSrPacket,
    unpack_remb_fci,
)

NTP_UNIX_SECONDS = 2_208_988_800  # from 1900 to 1970
MAX_PENDING_REPORTS = 8


def ntp_time(seconds: float) -> int:
    """64-bit NTP time of a Unix time in seconds."""
    return int((seconds + NTP_UNIX_SECONDS) * 2**32)


def abs_send_time(seconds: float) -> int:
    """24 bits: seconds modulo 64 in 6.18 fixed point."""
    return int(seconds * 2**18) & 0xFFFFFF


@dataclass(frozen=True, slots=True)
class ReceiverBlock:
    """A report block about a stream that we receive."""

    ssrc: int
    fraction_lost: int
    packets_lost: int
    highest_sequence: int
    jitter: int
    last_report: int
    delay: int

    def __bytes__(self) -> bytes:
        lost = self.fraction_lost << 24 | max(-(2**23), min(2**23 - 1, self.packets_lost)) & 0xFFFFFF
        return struct.pack(
            "!IIIIII", self.ssrc, lost, self.highest_sequence, self.jitter, self.last_report, self.delay
        )


@dataclass(frozen=True, slots=True)
class SenderInfo:
    """What we sent, and which moment (64-bit NTP time) the stream's RTP time `rtp` belongs to."""

    ssrc: int
    ntp: int
    rtp: int
    packets: int
    octets: int

    def __bytes__(self) -> bytes:
        counts = self.packets & 0xFFFFFFFF, self.octets & 0xFFFFFFFF
        return struct.pack("!IQIII", self.ssrc, self.ntp, self.rtp, *counts)


def sender_report(info: SenderInfo, cname: str, block: ReceiverBlock | None = None) -> bytes:
    """A compound packet: sender report (with one report block at most) and source description."""
    blocks = bytes(block) if block is not None else b""
    return _packet(200, 1 if blocks else 0, bytes(info) + blocks) + _description(info.ssrc, cname)


def goodbye(*ssrcs: int) -> bytes:
    """A compound packet that ends these streams."""
    empty_report = _packet(201, 0, struct.pack("!I", ssrcs[0]))
    return empty_report + _packet(203, len(ssrcs), struct.pack(f"!{len(ssrcs)}I", *ssrcs))


def _description(ssrc: int, cname: str) -> bytes:
    item = b"\1" + bytes((len(cname),)) + cname.encode("ascii") + b"\0"
    body = struct.pack("!I", ssrc) + item
    return _packet(202, 1, body + bytes(-len(body) % 4))


def _packet(kind: int, count: int, body: bytes) -> bytes:
    return struct.pack("!BBH", 0x80 | count, kind, len(body) // 4) + body


@dataclass(slots=True)
class Feedback:
    """What one compound packet of a client says about our streams."""

    keyframe: bool = False
    lost: list[int] = field(default_factory=list)
    estimate_bps: int | None = None
    reports: list[RtcpReceiverInfo] = field(default_factory=list)
    sender: RtcpSrPacket | None = None


def read_feedback(data: bytes, video_ssrc: int) -> Feedback:
    """Raises `ValueError` for what is not RTCP."""
    feedback = Feedback()
    for packet in RtcpPacket.parse(data):
        _read(packet, video_ssrc, feedback)
    return feedback


def _read(packet: AnyRtcpPacket, video_ssrc: int, feedback: Feedback) -> None:
    if isinstance(packet, RtcpSrPacket):
        feedback.sender = packet
        feedback.reports += packet.reports
    elif isinstance(packet, RtcpRrPacket):
        feedback.reports += packet.reports
    elif isinstance(packet, RtcpRtpfbPacket):
        if packet.fmt == RTCP_RTPFB_NACK and packet.media_ssrc == video_ssrc:
            feedback.lost += packet.lost
    elif isinstance(packet, RtcpPsfbPacket):
        if packet.fmt in (RTCP_PSFB_PLI, RTCP_PSFB_FIR):
            feedback.keyframe = True
        elif packet.fmt == RTCP_PSFB_APP and packet.fci[:4] == b"REMB":
            feedback.estimate_bps = unpack_remb_fci(packet.fci)[0]


class RoundTrip:
    """Measures the round trip from report blocks that answer our sender reports."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.milliseconds: float | None = None
        self._now = now
        self._sent: dict[int, float] = {}

    def reported(self, ntp: int) -> None:
        """A sender report with this NTP time leaves now."""
        self._sent[ntp >> 16 & 0xFFFFFFFF] = self._now()
        while len(self._sent) > MAX_PENDING_REPORTS:
            del self._sent[next(iter(self._sent))]

    def answered(self, block: RtcpReceiverInfo) -> None:
        sent = self._sent.get(block.lsr)
        if sent is None:
            return
        measured = max(0.0, (self._now() - sent - block.dlsr / 65536) * 1000)
        before = self.milliseconds
        self.milliseconds = measured if before is None else 0.8 * before + 0.2 * measured
