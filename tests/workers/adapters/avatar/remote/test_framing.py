"""The bytes on the wire are those of the services."""

import json
import random

import numpy as np
import pytest

from workers.adapters.avatar.remote import framing
from workers.adapters.avatar.remote.audio2video import Audio2Video
from workers.adapters.avatar.remote.framing import FramingError

JPEGS = [bytes.fromhex("FFD8FFD9"), bytes.fromhex("FFD8AAFFD9")]
TWO = bytes.fromhex("56494458 02000000 04000000 FFD8FFD9 05000000 FFD8AAFFD9")


def test_sound_goes_out_as_little_endian_samples_behind_its_name() -> None:
    pcm = np.array([0, 1, -1, 32767, -32768], np.int16)
    assert framing.audio(pcm) == bytes.fromhex("41554449 0000 0100 FFFF FF7F 0080")


def test_sound_of_a_machine_with_other_byte_order_is_the_same() -> None:
    pcm = np.array([0, 1, -1, 32767, -32768], ">i2")
    assert framing.audio(pcm) == bytes.fromhex("41554449 0000 0100 FFFF FF7F 0080")


def test_sound_comes_back_as_it_was() -> None:
    pcm = np.array([0, 1, -1, 32767, -32768], np.int16)
    assert framing.sound(framing.audio(pcm)).tolist() == pcm.tolist()


@pytest.mark.parametrize("message", [b"", b"AUD", b"VIDX\0\0", b"AUDI\0"])
def test_what_is_no_sound_is_refused(message: bytes) -> None:
    with pytest.raises(FramingError):
        framing.sound(message)


def test_pictures_are_cut_out_of_their_envelope() -> None:
    assert framing.pictures(TWO, most=2) == JPEGS
    assert framing.video(JPEGS) == TWO


def test_no_pictures_are_a_legal_answer() -> None:
    assert framing.pictures(bytes.fromhex("56494458 00000000"), most=1) == []


def test_a_driving_picture_follows_its_name() -> None:
    assert framing.driving(JPEGS[0]) == bytes.fromhex("4652414D FFD8FFD9")


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"VIDX\x01\0\0",
        b"AUDI" + TWO[4:],
        TWO[:-1],
        TWO + b"\0",
        TWO[:12],
        TWO[:14],
        bytes.fromhex("56494458 FFFFFFFF"),
        bytes.fromhex("56494458 01000000 FFFFFFFF FFD8"),
    ],
)
def test_what_is_not_one_whole_envelope_is_refused(message: bytes) -> None:
    with pytest.raises(FramingError):
        framing.pictures(message, most=8)


def test_more_pictures_than_expected_are_refused_before_they_are_read() -> None:
    with pytest.raises(FramingError, match="2 pictures where at most 1"):
        framing.pictures(TWO, most=1)


def test_every_cut_and_every_added_byte_is_noticed() -> None:
    for end in range(len(TWO)):
        with pytest.raises(FramingError):
            framing.pictures(TWO[:end], most=8)
        with pytest.raises(FramingError):
            framing.pictures(TWO + TWO[: end + 1], most=8)


def test_no_bytes_make_it_fail_otherwise() -> None:
    chance = random.Random(5)
    for _ in range(3000):
        changed = bytearray(TWO)
        for _ in range(chance.randrange(1, 4)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        try:
            found = framing.pictures(bytes(changed), most=8)
        except FramingError:
            continue
        assert 8 + sum(4 + len(picture) for picture in found) == len(changed)


def test_a_session_begins_with_the_picture_in_plain_base64() -> None:
    said = Audio2Video(prompt="p").opening(bytes.fromhex("89504E470D0A1A0A"), {})
    assert said == '{"type":"init","ref_image":"iVBORw0KGgo=","prompt":"p","seed":9999}'


def test_a_large_picture_stays_on_one_line() -> None:
    said = json.loads(Audio2Video().opening(bytes(range(256)) * 400, {"width": 64}))
    assert "\n" not in said["ref_image"]
    assert "prompt" not in said
    assert said["width"] == 64
