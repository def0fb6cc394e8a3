"""What leaves for a frame, and what the reports say about it."""

from fractions import Fraction
from typing import cast

from aiortc.rtp import RtcpPacket, RtcpSrPacket, RtpPacket

from rtc.comfort import COMFORT
from rtc.frames import Tick
from rtc.outbound import Outbound
from rtc.sdp import read_offer
from rtc.transport import MediaTransport
from tests.support.offers import CHROMIUM
from tests.support.rtc import idle_units


class Wire:
    """In the place of a transport: keeps what was sent."""

    state = "connected"

    def __init__(self) -> None:
        self.packets: list[RtpPacket] = []
        self.reports: list[RtcpSrPacket] = []
        self.control: list[bytes] = []

    def send(self, packet: bytes) -> bool:
        self.packets.append(RtpPacket.parse(packet))
        return True

    def send_control(self, packet: bytes) -> bool:
        self.control.append(packet)
        self.reports += [each for each in RtcpPacket.parse(packet) if isinstance(each, RtcpSrPacket)]
        return True


def outbound(offer: str = CHROMIUM) -> tuple[Outbound, Wire]:
    wire = Wire()
    return Outbound(read_offer(offer), cast("MediaTransport", wire)), wire


def tick(frame: int) -> Tick:
    units = idle_units()
    return Tick(frame, units[frame % len(units)], COMFORT, 0, speaking=False)


def moment(report: RtcpSrPacket, timestamp: int, clock: int) -> Fraction:
    """When the sender says that this media time is, in seconds."""
    behind = (timestamp - report.sender_info.rtp_timestamp + 2**31) % 2**32 - 2**31
    return Fraction(report.sender_info.ntp_timestamp, 2**32) + Fraction(behind, clock)


def test_a_frame_is_a_picture_and_two_sounds() -> None:
    out, wire = outbound()
    out.send(tick(0))
    sounds = [packet for packet in wire.packets if packet.payload_type == 111]
    assert [packet.payload for packet in sounds] == list(COMFORT)
    assert (sounds[1].timestamp - sounds[0].timestamp) % 2**32 == 960
    assert wire.packets[-1].payload_type == 106
    assert wire.packets[-1].marker


def test_both_reports_place_every_frame_at_the_same_moment_before_and_after_a_stall() -> None:
    out, wire = outbound()
    for frame in (100, 101, 126, 126 + 50, 10_000_000):  # one second, a stall of two, 4.6 days
        out.send(tick(frame))
        out.report(frame, None)
        picture, sound = wire.reports[-2:]
        for later in (0, 1, 25):
            seen = moment(picture, out.video.timestamp(frame + later), 90_000)
            heard = moment(sound, out.audio.timestamp(frame + later), 48_000)
            assert seen == heard
    first, last = wire.reports[0], wire.reports[-2]
    passed = Fraction(last.sender_info.ntp_timestamp - first.sender_info.ntp_timestamp, 2**32)
    assert abs(passed - Fraction(10_000_000 - 100, 25)) < Fraction(1, 10**6)


def test_without_a_key_frame_nothing_is_shown_yet_but_heard() -> None:
    out, wire = outbound()
    out.send(tick(1))
    assert {packet.payload_type for packet in wire.packets} == {111}
    out.send(tick(5))
    out.send(tick(6))
    assert {packet.payload_type for packet in wire.packets} == {111, 106}


def test_a_client_that_comes_in_between_is_shown_the_present_picture() -> None:
    out, wire = outbound()
    for frame in range(8):
        out.show(tick(frame))
    assert out.begin()
    starts = [packet for packet in wire.packets if packet.marker]
    assert len(starts) == 3, "frames 5, 6 and 7"
    assert (starts[-1].timestamp - starts[0].timestamp) % 2**32 == 180
    out.send(tick(8))
    assert wire.packets[-1].timestamp == out.video.timestamp(8)


def test_sound_of_a_client_that_only_speaks_is_not_sent() -> None:
    head, rest = CHROMIUM.split("m=video", 1)
    out, wire = outbound(head.replace("a=sendrecv", "a=sendonly") + "m=video" + rest)
    out.send(tick(0))
    assert {packet.payload_type for packet in wire.packets} == {106}


def test_how_far_sound_lies_behind_is_known() -> None:
    out, _ = outbound()
    out.send(tick(0))
    out.send(tick(1))
    assert out.av_offset_ms == 0


def test_goodbye_is_said() -> None:
    out, wire = outbound()
    out.close()
    assert RtcpPacket.parse(wire.control[-1])[-1].sources == [out.video.ssrc, out.audio.ssrc]  # type: ignore[union-attr]
