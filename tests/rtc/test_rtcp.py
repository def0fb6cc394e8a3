"""Reports and feedback."""

import pytest
from aiortc.rtp import (
    RTCP_PSFB_APP,
    RTCP_PSFB_FIR,
    RTCP_PSFB_PLI,
    RTCP_RTPFB_NACK,
    RtcpByePacket,
    RtcpPacket,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSdesPacket,
    RtcpSrPacket,
    pack_remb_fci,
)

from rtc.rtcp import (
    ReceiverBlock,
    RoundTrip,
    SenderInfo,
    abs_send_time,
    goodbye,
    ntp_time,
    read_feedback,
    sender_report,
)


def block(ssrc: int, *, lost: int = 0, lsr: int = 0, dlsr: int = 0) -> RtcpReceiverInfo:
    return RtcpReceiverInfo(ssrc, lost, 0, 0, 90, lsr, dlsr)


def test_a_report_says_what_was_sent_and_when() -> None:
    heard = ReceiverBlock(7, 12, -3, 70_000, 5, 99, 65536)
    data = sender_report(SenderInfo(1, ntp_time(0.5), 3600, 10, 2**32 + 5), "us", heard)
    report, description = RtcpPacket.parse(data)
    assert isinstance(report, RtcpSrPacket)
    assert report.sender_info.ntp_timestamp == (2_208_988_800 << 32) + 2**31
    assert (report.sender_info.rtp_timestamp, report.sender_info.octet_count) == (3600, 5)
    assert (report.reports[0].fraction_lost, report.reports[0].packets_lost) == (12, -3)
    assert isinstance(description, RtcpSdesPacket)
    assert description.chunks[0].items == [(1, b"us")]


def test_goodbye_names_both_streams() -> None:
    packets = RtcpPacket.parse(goodbye(5, 6))
    assert isinstance(packets[-1], RtcpByePacket)
    assert packets[-1].sources == [5, 6]


def test_feedback_of_every_kind_is_read_from_one_packet() -> None:
    data = b"".join(
        bytes(packet)
        for packet in (
            RtcpRrPacket(ssrc=1, reports=[block(5, lost=64)]),
            RtcpRtpfbPacket(RTCP_RTPFB_NACK, 1, 5, lost=[10, 11, 40]),
            RtcpPsfbPacket(RTCP_PSFB_APP, 1, 0, fci=pack_remb_fci(1_000_000, [5])),
            RtcpPsfbPacket(RTCP_PSFB_PLI, 1, 5),
        )
    )
    feedback = read_feedback(data, video_ssrc=5)
    assert feedback.keyframe
    assert feedback.lost == [10, 11, 40]
    assert feedback.estimate_bps == pytest.approx(1_000_000, rel=1e-4)
    assert feedback.reports[0].fraction_lost == 64


def test_a_full_picture_may_be_asked_for_either_way() -> None:
    assert read_feedback(bytes(RtcpPsfbPacket(RTCP_PSFB_FIR, 1, 0)), 5).keyframe


def test_what_is_lost_of_other_streams_is_not_ours() -> None:
    nack = RtcpRtpfbPacket(RTCP_RTPFB_NACK, 1, 6, lost=[10])
    assert read_feedback(bytes(nack), video_ssrc=5).lost == []


@pytest.mark.parametrize("data", [b"\x80", b"\x00" * 8, b"\x81\xc9\x00\x09" + b"\0" * 4])
def test_rubbish_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="RTCP"):
        read_feedback(data, 5)


def test_the_round_trip_is_the_way_there_and_back_without_the_wait() -> None:
    now = [100.0]
    trip = RoundTrip(lambda: now[0])
    ntp = ntp_time(1_700_000_000.0)
    trip.reported(ntp)
    now[0] = 100.180
    trip.answered(block(5, lsr=ntp >> 16 & 0xFFFFFFFF, dlsr=int(0.100 * 65536)))
    assert trip.milliseconds == pytest.approx(80, abs=0.1)
    trip.answered(block(5, lsr=12345))
    assert trip.milliseconds == pytest.approx(80, abs=0.1)


def test_send_times_wrap_after_64_seconds() -> None:
    assert abs_send_time(1.5) == 0x60000
    assert abs_send_time(65.5) == abs_send_time(1.5)
