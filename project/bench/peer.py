"""A WebRTC client that costs next to nothing: it connects, counts what arrives, and sends a microphone.

It decodes nothing. Dozens of them fit into one process beside the service they put under load. It is
built on the transport of rtc/, so whoever must not trust that uses an aiortc client or a browser.
"""

import asyncio
import contextlib
import math
import random
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from aiortc.rtcdtlstransport import RTCDtlsFingerprint, RTCDtlsParameters
from aiortc.rtcicetransport import RTCIceParameters
from aiortc.rtp import is_rtcp

from rtc.ice import IceConfig
from rtc.payloads import FU_A, STAP_A
from rtc.sdp import read_candidate
from rtc.sender import new_ssrc
from rtc.transport import IceConnection, MediaTransport

AUDIO, VIDEO, RTX = 111, 102, 103
MID, SEND_TIME = 4, 2
Kind = Literal["audio", "video", "rtx"]
KINDS: dict[int, Kind] = {AUDIO: "audio", VIDEO: "video", RTX: "rtx"}
REPORT_SECONDS = 1.0
MOST_MISSING = 64
ASKED_TIMES = 5  # in all
ASK_SECONDS = 0.15
TAG_BYTES = 16  # what AES-GCM adds
IDR, SPS = 5, 7


@dataclass(slots=True)
class Arrival:
    """One RTP packet: when it came (monotonic seconds), and what its header says.

    `payload` is empty where nobody needed it; `size` is its size all the same.
    """

    at: float
    kind: Kind
    sequence: int
    timestamp: int
    marker: bool
    payload: bytes
    size: int
    repaired: bool = False  # lost at first, and sent again

    @property
    def keyframe(self) -> bool:
        """Whether this packet begins an H.264 key frame."""
        if not self.payload:
            return False
        kind = self.payload[0] & 0x1F
        if kind == FU_A:
            return bool(self.payload[1] & 0x80) and self.payload[1] & 0x1F == IDR
        if kind == STAP_A:
            return self.payload[3] & 0x1F == SPS
        return kind in (IDR, SPS)


@dataclass(slots=True)
class Received:
    """Counts of one kind of stream."""

    packets: int = 0
    octets: int = 0
    lost: int = 0
    frames: int = 0  # distinct media times
    first_at: float = 0.0
    last_at: float = 0.0
    longest_gap: float = 0.0  # seconds between the first packets of two media times
    last_sequence: int = -1
    last_timestamp: int = -1
    cycles: int = 0
    ssrc: int = 0
    sender_report: tuple[int, int, float] | None = None  # NTP, RTP time, when it came
    _reported: tuple[int, int] = (0, 0)

    def add(self, at: float, sequence: int, timestamp: int, size: int) -> None:
        if not self.packets:
            self.first_at, self.last_sequence = at, (sequence - 1) & 0xFFFF
        step = (sequence - self.last_sequence) & 0xFFFF
        if step < 0x8000:
            self.lost += step - 1
            self.cycles += sequence < self.last_sequence
            self.last_sequence = sequence
        if timestamp != self.last_timestamp:
            if self.frames:
                self.longest_gap = max(self.longest_gap, at - self.last_at)
            self.frames += 1
            self.last_at, self.last_timestamp = at, timestamp
        self.packets += 1
        self.octets += size

    def report_block(self) -> bytes:
        packets, lost = self.packets - self._reported[0], self.lost - self._reported[1]
        self._reported = (self.packets, self.lost)
        fraction = max(0, min(255, lost * 256 // max(1, packets + lost)))
        last, delay = 0, 0
        if self.sender_report is not None:
            last = self.sender_report[0] >> 16 & 0xFFFFFFFF
            delay = int((time.monotonic() - self.sender_report[2]) * 65536)
        highest = self.cycles << 16 | self.last_sequence & 0xFFFF
        return struct.pack(
            "!IIIIII", self.ssrc, fraction << 24 | self.lost & 0xFFFFFF, highest, 0, last, delay
        )


class Missing:
    """The video packets that did not come, and when to ask for them (again)."""

    def __init__(self) -> None:
        self._highest: int | None = None
        self._asked: dict[int, tuple[int, float]] = {}  # how often, and when next

    def came(self, sequence: int, at: float) -> None:
        self._asked.pop(sequence, None)
        if self._highest is None:
            self._highest = sequence
        step = (sequence - self._highest) & 0xFFFF
        if step < 0x8000:
            for lost in range(1, min(step, MOST_MISSING)):
                self._asked[(sequence - lost) & 0xFFFF] = (0, at)
            self._highest = sequence
        while len(self._asked) > MOST_MISSING:
            del self._asked[next(iter(self._asked))]

    def to_ask(self, at: float) -> list[int]:
        """What to ask for now: at once, and a few times more."""
        due = [(lost, often) for lost, (often, when) in self._asked.items() if when <= at]
        for lost, often in due:
            if often + 1 >= ASKED_TIMES:
                del self._asked[lost]
            else:
                self._asked[lost] = (often + 1, at + ASK_SECONDS)
        return [lost for lost, _ in due]

    def expect(self, sequence: int) -> None:
        """Somebody asks for this one of his own accord."""
        self._asked.setdefault(sequence, (ASKED_TIMES - 2, math.inf))

    def repaired(self, sequence: int) -> bool:
        """Whether this packet was missing until now."""
        return self._asked.pop(sequence, None) is not None


@dataclass
class LightPeer:
    """`offer()`, then `accept(answer)`; `on_packet` sees each packet as it comes.

    A packet of whose kind and size `needs` says no is counted without being decrypted: RTP headers
    are readable. That saves half of what a client costs.
    """

    on_packet: Callable[[Arrival], None] | None = None
    needs: Callable[[str, int], bool] = lambda _kind, _size: True
    video: str = "H264"  # or "VP8"
    estimate_bps: int | None = None  # told to the sender once a second (REMB)
    streams: dict[str, Received] = field(default_factory=lambda: {k: Received() for k in KINDS.values()})

    def __post_init__(self) -> None:
        self.connection = IceConnection(IceConfig(), "light")
        self.connection.ice_controlling = True
        self.transport = _Transport(self.connection, self)
        self.connected_at = 0.0
        self.ssrc = new_ssrc()
        self.repaired = 0
        self._missing = Missing()
        self._mic_sequence = random.randrange(2**15)
        self._mic_time = random.randrange(2**31)
        self._reports: asyncio.Task[None] | None = None

    async def offer(self) -> str:
        await self.connection.gather_candidates()
        digests = self.transport.getLocalParameters().fingerprints
        digest = next(each.value for each in digests if each.algorithm == "sha-256")
        shared = [
            f"a=ice-ufrag:{self.connection.local_username}",
            f"a=ice-pwd:{self.connection.local_password}",
            f"a=fingerprint:sha-256 {digest}",
            *("a=setup:actpass", "a=rtcp-mux", f"a=extmap:{MID} urn:ietf:params:rtp-hdrext:sdes:mid"),
            *(f"a=candidate:{line}" for line in self.connection.candidate_lines()),
        ]
        fmtp = (
            [f"a=fmtp:{VIDEO} level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"]
            if self.video == "H264"
            else []
        )
        lines = [
            *("v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0", "a=group:BUNDLE 0 1"),
            *(f"m=audio 9 UDP/TLS/RTP/SAVPF {AUDIO}", "c=IN IP4 0.0.0.0", "a=mid:0", "a=sendrecv"),
            *(f"a=rtpmap:{AUDIO} opus/48000/2", f"a=ssrc:{self.ssrc} cname:light", *shared),
            *(f"m=video 9 UDP/TLS/RTP/SAVPF {VIDEO} {RTX}", "c=IN IP4 0.0.0.0", "a=mid:1", "a=recvonly"),
            *(f"a=rtpmap:{VIDEO} {self.video}/90000", *fmtp),
            *(f"a=rtcp-fb:{VIDEO} {kind}" for kind in ("nack", "nack pli", "goog-remb")),
            *(f"a=rtpmap:{RTX} rtx/90000", f"a=fmtp:{RTX} apt={VIDEO}"),
            f"a=extmap:{SEND_TIME} http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
            *shared,
        ]
        return "\r\n".join(lines) + "\r\n"

    async def accept(self, answer: str) -> None:
        """Connect; returns when media can flow. Raises `ConnectionError` when it cannot."""
        values: dict[str, str] = {}
        for line in answer.splitlines():
            name, _, value = line.removeprefix("a=").partition(":")
            if name == "candidate" and (candidate := read_candidate(value)) is not None:
                await self.connection.add(candidate)
            values.setdefault(name, value)
        await self.connection.add_remote_candidate(None)
        self.transport._set_role("server" if values["setup"] == "active" else "client")  # noqa: SLF001 - aiortc sets it from the answer, as we do
        ice = self.transport.transport
        await ice.start(RTCIceParameters(values["ice-ufrag"], values["ice-pwd"]))
        if ice.state != "completed":
            raise ConnectionError("ICE failed")
        fingerprint = RTCDtlsFingerprint(*values["fingerprint"].split())
        await self.transport.start(RTCDtlsParameters(fingerprints=[fingerprint]))
        if self.transport.state != "connected":
            raise ConnectionError("DTLS failed")
        self.connected_at = time.monotonic()
        self._reports = asyncio.create_task(self._report())

    async def close(self) -> None:
        if self._reports is not None:
            self._reports.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reports
        await self.transport.close()

    # --- In and out ---------------------------------------------------------------------------

    def readable(self, packet: bytes) -> bool:
        """Take an encrypted packet whose payload nobody needs; False when it has to be decrypted."""
        kind = KINDS.get(packet[1] & 0x7F)
        size = len(packet) - payload_start(packet) - TAG_BYTES
        if kind in (None, "rtx") or self.needs(kind, size):
            return False
        self._took(packet, b"", size)
        return True

    def rtp_received(self, packet: bytes) -> None:
        payload = packet[payload_start(packet) :]
        self._took(packet, payload, len(payload))

    def _took(self, packet: bytes, payload: bytes, size: int) -> None:
        at = time.monotonic()
        second, sequence, timestamp, ssrc = struct.unpack_from("!xBHII", packet)
        kind = KINDS.get(second & 0x7F)
        if kind is None:
            return
        stream = self.streams[kind]
        stream.ssrc = ssrc
        stream.add(at, sequence, timestamp, size + 12)
        arrival = Arrival(at, kind, sequence, timestamp, bool(second & 0x80), payload, size)
        if kind == "rtx":
            self._repair(arrival)
            return
        if kind == "video":
            self._missing.came(sequence, at)
            for lost in self._missing.to_ask(at):
                self.ask_again(lost)
        if self.on_packet is not None:
            self.on_packet(arrival)

    def _repair(self, again: Arrival) -> None:
        """Take a packet that was sent again (RFC 4588) for the one that was lost."""
        original = int.from_bytes(again.payload[:2], "big")
        if len(again.payload) < 3 or not self._missing.repaired(original):
            return
        self.repaired += 1
        if self.on_packet is not None:
            payload = again.payload[2:]
            self.on_packet(
                Arrival(
                    again.at, "video", original, again.timestamp, again.marker, payload, len(payload), True
                )
            )

    def rtcp_received(self, packet: bytes) -> None:
        if len(packet) >= 28 and packet[1] == 200:
            ssrc, ntp, rtp = struct.unpack_from("!IQI", packet, 4)
            for stream in self.streams.values():
                if stream.ssrc == ssrc:
                    stream.sender_report = (ntp, rtp, time.monotonic())

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            blocks = [
                s.report_block() for k, s in self.streams.items() if s.packets and k in ("audio", "video")
            ]
            body = struct.pack("!I", self.ssrc) + b"".join(blocks)
            self.transport.send_control(_rtcp(201, len(blocks), body) + self._estimate())

    def _estimate(self) -> bytes:
        if self.estimate_bps is None:
            return b""
        exponent = max(0, self.estimate_bps.bit_length() - 18)
        bits = exponent << 18 | self.estimate_bps >> exponent
        fci = b"REMB" + struct.pack("!II", 1 << 24 | bits, self.streams["video"].ssrc)
        return _rtcp(206, 15, struct.pack("!II", self.ssrc, 0) + fci)

    def ask_keyframe(self) -> None:
        """Report a picture loss (PLI)."""
        self.transport.send_control(_rtcp(206, 1, struct.pack("!II", self.ssrc, self.streams["video"].ssrc)))

    def ask_again(self, sequence: int) -> None:
        """Report a lost video packet (NACK)."""
        self._missing.expect(sequence & 0xFFFF)
        body = struct.pack("!IIHH", self.ssrc, self.streams["video"].ssrc, sequence & 0xFFFF, 0)
        self.transport.send_control(_rtcp(205, 1, body))

    def speak(self, opus: bytes, *, samples: int = 960) -> None:
        """Send one Opus packet as the microphone; `samples` at 48 kHz."""
        header = struct.pack("!BBHII", 0x80, AUDIO, self._mic_sequence, self._mic_time, self.ssrc)
        self.transport.send(header + opus)
        self._mic_sequence = (self._mic_sequence + 1) & 0xFFFF
        self._mic_time = (self._mic_time + samples) & 0xFFFFFFFF

    def offset_ms(self) -> float | None:
        """How much later sound is due than the picture of the same frame, by the sender's reports.

        Positive: sound behind the picture. None before both streams were reported.
        """
        places = []
        for kind, clock, ticks in (("video", 90_000, 3600), ("audio", 48_000, 1920)):
            report = self.streams[kind].sender_report
            if report is None:
                return None
            ntp, rtp, _ = report
            behind = (self.streams[kind].last_timestamp - rtp + 2**31) % 2**32 - 2**31
            places.append((ntp / 2**32 + behind / clock, ticks))
        return (places[1][0] - places[0][0]) * 1000


class _Transport(MediaTransport):
    """Asks the client before it decrypts."""

    def __init__(self, connection: IceConnection, client: LightPeer) -> None:
        super().__init__(connection, client)
        self._client = client

    def _media(self, data: bytes) -> None:
        if is_rtcp(data) or len(data) < 30 or not self._client.readable(data):
            super()._media(data)


def payload_start(packet: bytes) -> int:
    """Where the payload of an RTP packet without contributing sources begins."""
    return 16 + 4 * int.from_bytes(packet[14:16], "big") if packet[0] & 0x10 else 12


def _rtcp(kind: int, count: int, body: bytes) -> bytes:
    return struct.pack("!BBH", 0x80 | count, kind, len(body) // 4) + body
