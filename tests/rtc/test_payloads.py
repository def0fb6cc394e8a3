"""Pictures cut into packets and put together again."""

from typing import Any

import av
import pytest
from aiortc.codecs.h264 import h264_depayload

from project.bench.media import annex_b
from rtc.frames import AccessUnit
from rtc.payloads import MAX_PAYLOAD, h264_payloads, nal_units, payloads_of
from tests.support.rtc import idle_units

SPS, PPS, SEI = b"\x67\x42\xe0\x1f", b"\x68\xce\x3c\x80", b"\x06\x05note"


def picture(*nals: bytes, start: bytes = b"\0\0\0\1") -> bytes:
    return b"".join(start + nal for nal in nals)


@pytest.mark.parametrize("start", [b"\0\0\1", b"\0\0\0\1"])
def test_both_start_codes_are_known_and_what_decoders_do_not_need_is_dropped(start: bytes) -> None:
    assert list(nal_units(picture(SPS, PPS, SEI, b"\x65abc", b"\x09\xf0", start=start))) == [
        SPS,
        PPS,
        b"\x65abc",
    ]


def test_parameter_sets_share_a_packet() -> None:
    first, second = h264_payloads(picture(SPS, PPS, b"\x65abc"))
    assert first[0] & 0x1F == 24
    assert second == b"\x65abc"
    assert annex_b([first, second]) == picture(SPS, PPS, b"\x65abc")


@pytest.mark.parametrize("size", [2, MAX_PAYLOAD, MAX_PAYLOAD + 1, 2 * MAX_PAYLOAD, 50_000])
def test_large_slices_are_cut_evenly_and_come_together_again(size: int) -> None:
    nal = b"\x41" + bytes(number % 255 + 1 for number in range(size - 1))
    payloads = list(h264_payloads(picture(nal)))
    assert max(map(len, payloads)) <= MAX_PAYLOAD
    assert max(map(len, payloads)) - min(map(len, payloads)) <= len(payloads)
    assert annex_b(payloads) == picture(nal)
    assert b"".join(h264_depayload(payload) for payload in payloads) == picture(nal)


def test_real_pictures_survive() -> None:
    decoder: Any = av.CodecContext.create("h264", "r")
    frames = [
        frame for unit in idle_units() for frame in decoder.decode(av.Packet(annex_b(payloads_of(unit))))
    ]
    assert len(frames) >= len(idle_units()) - 1


def test_a_shared_picture_is_cut_once() -> None:
    unit = AccessUnit(picture(SPS, PPS, b"\x65abc"), keyframe=True)
    assert payloads_of(unit) is payloads_of(unit)


def test_rubbish_makes_no_packets() -> None:
    assert list(h264_payloads(b"")) == []
    assert list(h264_payloads(b"no start code")) == []
