"""Fragments to access units: what a packetiser can find, and what is refused."""

import av
import pytest

from rtc.packets import MediaMalformed, access_units
from tests.support.media import (
    HEIGHT,
    WIDTH,
    encoded_sound,
    frame_number,
    numbered_frame,
    silent_video,
)
from workers.rendering.encode import encode_fragment, encode_idle


@pytest.fixture(scope="module")
def fragment() -> bytes:
    return encode_fragment(map(numbered_frame, range(12)), width=WIDTH, height=HEIGHT).data


def kinds(data: bytes) -> list[int]:
    """NAL unit types of an access unit in Annex B."""
    parts = data.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")
    assert parts[0] == b"", "it opens with a start code"
    return [part[0] & 31 for part in parts[1:]]


def test_each_picture_is_one_unit(fragment):
    units = access_units(fragment)

    assert len(units) == 12
    assert [unit.keyframe for unit in units] == [True] + [False] * 11


def test_a_key_frame_carries_its_parameter_sets(fragment):
    first, second, *_ = access_units(fragment)

    assert kinds(first.data) == [7, 8, 5]
    assert kinds(second.data) == [1]


def test_the_units_decode_to_the_pictures(fragment):
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1

    frames = [f for unit in access_units(fragment) for f in decoder.decode(av.Packet(unit.data))]
    frames += decoder.decode(None)

    assert [frame_number(f.to_ndarray(format="yuv420p")[:HEIGHT]) for f in frames] == list(range(12))


def test_an_idle_loop_can_be_entered_every_five_frames():
    units = access_units(encode_idle(map(numbered_frame, range(20)), width=WIDTH, height=HEIGHT).data)

    assert [n for n, unit in enumerate(units) if unit.keyframe] == [0, 5, 10, 15]


@pytest.mark.parametrize("cut", [0, 1, 100, 900])
def test_a_file_that_is_cut_is_refused(fragment, cut):
    with pytest.raises(MediaMalformed):
        access_units(fragment[:cut])


def test_a_file_without_pictures_is_refused():
    with pytest.raises(MediaMalformed, match=r"no H\.264"):
        access_units(encoded_sound(0.2, format="mp4", codec="aac"))


def test_rubbish_is_refused():
    with pytest.raises(MediaMalformed, match="not an MP4"):
        access_units(b"RIFF" + bytes(4000))


def test_pictures_in_another_order_are_refused():
    """A browser would show them in the wrong order: WebRTC sends no times of decoding."""
    with pytest.raises(MediaMalformed, match="order"):
        access_units(silent_video())
