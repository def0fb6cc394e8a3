"""Packets as they leave."""

import struct

from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from aiortc.rtp import HeaderExtensionsMap, RtpPacket, unwrap_rtx

from rtc.sdp import ABS_SEND_TIME, MID
from rtc.sender import HISTORY, RESENT_PER_SECOND, Extensions, RtpStream, StreamConfig


def known() -> HeaderExtensionsMap:
    known = HeaderExtensionsMap()
    pairs = ((4, MID), (2, ABS_SEND_TIME))
    known.configure(
        RTCRtpParameters(
            headerExtensions=[RTCRtpHeaderExtensionParameters(id=n, uri=uri) for n, uri in pairs]
        )
    )
    return known


class Wire:
    def __init__(self) -> None:
        self.packets: list[bytes] = []

    def __call__(self, packet: bytes) -> bool:
        self.packets.append(packet)
        return True

    def read(self) -> list[RtpPacket]:
        return [RtpPacket.parse(packet, known()) for packet in self.packets]


def stream(wire: Wire, *, rtx: int | None = 103, mid: str = "1") -> RtpStream:
    return RtpStream(StreamConfig(102, 3600, Extensions(mid, 4, 2), rtx_payload_type=rtx, resend=True), wire)


def test_a_picture_has_one_time_rising_numbers_and_a_marker_at_its_end() -> None:
    wire = Wire()
    video = stream(wire)
    video.send((b"one", b"two", b"three"), video.timestamp(10), 0x123456, marked=True)
    video.send((b"four",), video.timestamp(11), 0, marked=True)
    packets = wire.read()
    assert [packet.payload for packet in packets] == [b"one", b"two", b"three", b"four"]
    assert [packet.marker for packet in packets] == [0, 0, 1, 1]
    assert (packets[3].timestamp - packets[0].timestamp) % 2**32 == 3600
    first = packets[0].sequence_number
    assert [(packet.sequence_number - first) % 2**16 for packet in packets] == [0, 1, 2, 3]
    assert {packet.ssrc for packet in packets} == {video.ssrc}
    assert packets[0].extensions.mid == "1"
    assert packets[0].extensions.abs_send_time == 0x123456
    assert (video.packets, video.octets) == (4, 15)


def test_times_and_numbers_wrap() -> None:
    wire = Wire()
    video = stream(wire)
    far = 2**32 // 3600 + 5
    assert (video.timestamp(far) - video.timestamp(0)) % 2**32 == far * 3600 % 2**32
    for _ in range(2**16 + 3):
        video.send((b"x",), 0, 0, marked=True)
    last = struct.unpack_from("!H", wire.packets[-1], 2)[0]
    assert last == (struct.unpack_from("!H", wire.packets[0], 2)[0] + 2**16 + 2) % 2**16


def test_a_lost_packet_comes_again_by_rtx() -> None:
    wire = Wire()
    video = stream(wire)
    video.send((b"one", b"two"), 5000, 0, marked=True)
    lost = wire.read()[1]
    video.resend([lost.sequence_number], 7)
    again = wire.read()[2]
    assert (again.payload_type, again.ssrc, again.marker) == (103, video.rtx_ssrc, 1)
    original = unwrap_rtx(again, 102, video.ssrc)
    assert (original.sequence_number, original.payload, original.timestamp) == (
        lost.sequence_number,
        b"two",
        5000,
    )


def test_without_rtx_it_comes_again_as_it_was() -> None:
    wire = Wire()
    video = stream(wire, rtx=None)
    video.send((b"one",), 5000, 0, marked=True)
    video.resend([wire.read()[0].sequence_number], 0)
    assert wire.packets[0] == wire.packets[1]


def test_what_is_too_old_or_was_never_sent_does_not_come_again() -> None:
    wire = Wire()
    video = stream(wire)
    for _ in range(HISTORY + 1):
        video.send((b"x",), 0, 0, marked=True)
    oldest = wire.read()[0].sequence_number
    video.resend([oldest, oldest - 5, oldest + HISTORY + 100], 0)
    assert video.resent == 0


def test_a_client_that_asks_for_ever_is_answered_so_often_a_second() -> None:
    wire = Wire()
    video = stream(wire)
    video.send((b"x",), 0, 0, marked=True)
    lost = wire.read()[0].sequence_number
    video.resend([lost] * 10_000, 0)
    assert video.resent == RESENT_PER_SECOND
    video.second_passed()
    video.resend([lost], 0)
    assert video.resent == RESENT_PER_SECOND + 1


def test_without_extensions_headers_are_plain() -> None:
    wire = Wire()
    plain = RtpStream(StreamConfig(111, 1920, Extensions()), wire)
    plain.send((b"sound",), 1, 0, marked=False)
    assert len(wire.packets[0]) == 12 + 5
    assert RtpPacket.parse(wire.packets[0]).payload == b"sound"
