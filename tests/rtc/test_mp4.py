"""Our fragments, read without FFmpeg: what it would have found, or nothing."""

import random

import pytest

from rtc.mp4 import plain_units
from rtc.packets import MediaMalformed, _demuxed, access_units
from rtc.payloads import nal_units
from tests.support.media import HEIGHT, WIDTH, encoded_sound, numbered_frame, silent_video
from workers.rendering.encode import encode_fragment, encode_idle


@pytest.fixture(scope="module")
def fragment() -> bytes:
    return encode_fragment(map(numbered_frame, range(12)), width=WIDTH, height=HEIGHT).data


@pytest.fixture(scope="module")
def idle_loop() -> bytes:
    return encode_idle(map(numbered_frame, range(20)), width=WIDTH, height=HEIGHT).data


@pytest.mark.parametrize("kind", ["fragment", "idle_loop"])
def test_it_finds_what_ffmpeg_finds(kind, request):
    mp4 = request.getfixturevalue(kind)

    ours, theirs = plain_units(mp4), _demuxed(mp4)

    assert ours is not None
    assert [unit.keyframe for unit in ours] == [unit.keyframe for unit in theirs]
    assert [list(nal_units(unit.data)) for unit in ours] == [list(nal_units(unit.data)) for unit in theirs]


def test_of_other_files_it_says_nothing():
    assert plain_units(silent_video()) is None
    assert plain_units(encoded_sound(0.2, format="mp4", codec="aac")) is None
    assert plain_units(b"") is None
    assert plain_units(b"RIFF" + bytes(4000)) is None


def test_a_damaged_file_is_read_or_refused(fragment):
    chance = random.Random(3)
    for _ in range(400):
        damaged = bytearray(fragment[: chance.choice((len(fragment), chance.randrange(len(fragment))))])
        for _ in range(chance.randrange(1, 4)):
            if damaged:
                damaged[chance.randrange(min(len(damaged), 900))] = chance.randrange(256)
        try:
            units = access_units(bytes(damaged))
        except MediaMalformed:
            continue
        assert all(isinstance(unit.data, bytes) for unit in units)


def test_a_picture_cut_short_is_left_to_ffmpeg(fragment):
    with pytest.raises(MediaMalformed):
        access_units(fragment[:-1])
