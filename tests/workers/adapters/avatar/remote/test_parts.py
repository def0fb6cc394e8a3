"""What a file may say about a server, what JPEGs are before they are decoded, how sessions are renewed."""

import io
import struct
from typing import Any

import av
import cv2
import numpy as np
import pytest

from tests.support import drawn_frames
from tests.support.models import config
from tests.support.omnirt import omnirt
from tests.support.remote import bundled, configured, drawn, in_windows, remote, sound, streamed, sums, window
from workers.adapters.avatar.base import Profile
from workers.adapters.avatar.remote import decoding
from workers.adapters.avatar.remote.audio2video import whole
from workers.adapters.avatar.remote.client import Deadlines
from workers.adapters.avatar.remote.options import RemoteOptions, beginning, read
from workers.adapters.errors import AdapterError
from workers.rendering.fragment import render_fragment

AHEAD = 33 * 640
PROFILE = Profile("wav2lip", "omnirt", "batch.wav2lip", stateless=False, chunk_frames=8)


def settings(model: str, backend: str) -> dict[str, str]:
    return {
        f"{model.upper()}_BACKEND": backend,
        **{f"{prefix}_URL": "http://gpu:9" for prefix in ("OMNIRT", "FLASHTALK", "MUSETALK", "FLASHHEAD")},
    }


@pytest.mark.parametrize(
    ("model", "backend"),
    [
        ("flashtalk", "direct_ws"),
        ("flashtalk", "omnirt"),
        ("quicktalk", "omnirt"),
        ("fasterliveportrait", "omnirt"),
        ("wav2lip", "omnirt"),
        ("musetalk", "omnirt"),
        ("musetalk", "direct_ws"),
        ("flashhead", "direct_ws"),
    ],
)
def test_the_files_of_this_repository_are_right(model: str, backend: str) -> None:
    made = config(model, settings(model, backend))
    options = read(made.options, model)
    assert made.adapter in {"audio2video", "realtime"}
    assert not made.profile.stateless
    assert not made.missing
    assert made.profile.first_fragment_frames % made.profile.chunk_frames == 0
    assert options.exclusive == (model in {"flashtalk", "flashhead"})
    assert bool(options.listed) == (backend == "omnirt")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"pathh": "/x"}, "pathh"),
        ({"path": "x"}, "path"),
        ({"path": 3}, "path"),
        ({"exclusive": "yes"}, "exclusive"),
        ({"seed": 1.5}, "seed"),
        ({"seed": True}, "seed"),
        ({"crossfade_frames": 26}, "crossfade_frames"),
        ({"preroll_chunks": -1}, "preroll_chunks"),
        ({"renew_seconds": 3}, "renew_seconds"),
        ({"lease_wait_seconds": 100}, "lease_wait_seconds"),
        ({"init": ["x"]}, "init"),
        ({"deadlines": {"chunks": 3}}, "deadlines"),
        ({"deadlines": {"chunk": 0}}, "deadlines.chunk"),
        ({"deadlines": 3}, "deadlines"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=f"flashtalk: options.{field}"):
        read(options, "flashtalk")


def test_deadlines_are_the_safe_ones_unless_told_otherwise() -> None:
    assert read({}, "x").deadlines == Deadlines(10, 300, 180, 30, 3, 20)
    assert read({"deadlines": {"init": 60}}, "x").deadlines.init == 60


def test_a_session_begins_with_what_the_server_has_to_know() -> None:
    options = RemoteOptions(sends_chunk=True, postprocess="basic", init={"a": 1})
    assert beginning(options, PROFILE) == {
        "wav2lip_postprocess_mode": "basic",
        "fps": 25,
        "slice_len": 8,
        "motion_frames_num": 1,
        "frame_num": 9,
        "chunk_samples": 5120,
        "a": 1,
    }
    assert beginning(RemoteOptions(), PROFILE) == {}


def test_the_portraits_size_is_told_to_servers_that_take_it() -> None:
    with omnirt() as server:
        made = remote(configured("wav2lip", {"WAV2LIP_BACKEND": "omnirt", "OMNIRT_URL": server.url}))
        with streamed(made, width=128, height=192) as stream:
            announced = made.warm_stream(stream, live=True)
        assert (announced.width, announced.height, announced.slice_frames) == (128, 192, 8)
        ((_, begun),) = server.begun
        assert begun["wav2lip_postprocess_mode"] == "easy_improved"


def test_a_server_that_grows_slow_is_given_a_new_session_without_a_missing_frame() -> None:
    with omnirt() as server:
        told = {"WAV2LIP_BACKEND": "omnirt", "OMNIRT_URL": server.url}
        made = remote(configured("wav2lip", told, renew_seconds=10.0))
        pcm = sound(600)
        with streamed(made) as stream:
            found = in_windows(made, stream, pcm, [72] * 8 + [24], ahead=33 * 640)
            assert stream.seams == []
        assert found == sums(pcm, range(600))
        assert server.sessions == 3


def test_little_is_kept_of_a_long_sound() -> None:
    with omnirt() as server:
        made = remote(configured("wav2lip", {"WAV2LIP_BACKEND": "omnirt", "OMNIRT_URL": server.url}))
        pcm = sound(400)
        with streamed(made) as stream:
            for place in range(10):
                drawn(made, stream, window(pcm, place * 40, 40, ahead=8 * 640))
                assert len(stream.feed._kept) <= 5
                assert len(stream.feed._pictures) <= 16


def test_a_connection_that_ended_while_nobody_spoke_is_opened_again() -> None:
    with omnirt() as server:
        made = remote(configured("musetalk", {"MUSETALK_BACKEND": "omnirt", "OMNIRT_URL": server.url}))
        pcm = sound(50)
        with streamed(made) as stream:
            drawn(made, stream, window(pcm, 0, 25, first=True, last=True, live=True))
            server.cut()
            codes = drawn(
                made, stream, window(pcm, 25, 25, first=True, last=True, live=True, origin=100)
            ).codes
            assert stream.seams == [125]
        assert [code.sound for code in codes[6:-6]] == sums(pcm, range(31, 44))  # the others blend
        assert server.sessions == 2


def test_a_fragment_of_such_a_model_shows_each_frame_of_its_own_sound() -> None:
    """From sound to H.264 and back: the pictures are still the right ones."""
    with omnirt() as server:
        made = remote(configured("musetalk", {"MUSETALK_BACKEND": "omnirt", "OMNIRT_URL": server.url}))
        pcm = sound(50)
        with streamed(made) as stream:
            heard = window(pcm, 0, 50, last=True, ahead=AHEAD)
            fragment = render_fragment(made, stream, heard, width=96, height=160)
    with av.open(io.BytesIO(fragment.data)) as film:
        shown = [frame.to_ndarray(format="bgr24") for frame in film.decode(video=0)]
    assert [drawn_frames.read(picture).sound for picture in shown] == sums(pcm, range(50))


def test_frames_that_nobody_composed_are_no_trouble() -> None:
    """A window that was given up half-way, and the one behind it."""
    with omnirt() as server:
        made = remote(configured("musetalk", {"MUSETALK_BACKEND": "omnirt", "OMNIRT_URL": server.url}))
        pcm = sound(150)
        with streamed(made) as stream:
            made.extract_features(stream, window(pcm, 0, 75))
            codes = drawn(made, stream, window(pcm, 75, 75, last=True)).codes
        assert [code.sound for code in codes] == sums(pcm, range(75, 150))


def test_a_clip_without_enough_look_ahead_is_told_why() -> None:
    with omnirt() as server:
        made = remote(configured("musetalk", {"MUSETALK_BACKEND": "omnirt", "OMNIRT_URL": server.url}))
        with streamed(made) as stream, pytest.raises(AdapterError) as caught:
            drawn(made, stream, window(sound(100), 0, 30))
    assert caught.value.code == "model_profile_mismatch"


def jpeg(width: int, height: int, **options: int) -> bytes:
    picture = np.random.default_rng(2).integers(0, 255, (height, width, 3), dtype=np.uint8)
    flags = [
        value for name, number in options.items() for value in (getattr(cv2, f"IMWRITE_JPEG_{name}"), number)
    ]
    return bytes(cv2.imencode(".jpg", picture, flags)[1].tobytes())


@pytest.mark.parametrize("options", [{}, {"PROGRESSIVE": 1}, {"RST_INTERVAL": 4}, {"QUALITY": 3}])
def test_the_size_of_a_jpeg_is_read_from_its_header(options: dict[str, int]) -> None:
    assert decoding.size_of(jpeg(41, 67, **options)) == (41, 67)


def test_what_is_no_jpeg_has_no_size() -> None:
    good = jpeg(41, 67)
    for data in (
        b"",
        b"\xff\xd8",
        good[:20],
        b"\x89PNG" + good,
        b"\xff\xd8\xff\xe0\0\0" * 50,
        b"\xff\xd8" + b"\xff" * 99,
    ):
        assert decoding.size_of(data) is None


@pytest.mark.parametrize("kind", [0xC3, 0xC9, 0xCA])
def test_a_second_size_behind_one_that_a_decoder_believes_is_not_taken(kind: int) -> None:
    """What a decoder makes room for must be what was looked at."""
    good = jpeg(41, 67)
    start = good.index(b"\xff\xc0")
    header = good[start : start + 2 + int.from_bytes(good[start + 2 : start + 4])]
    huge = bytes((0xFF, kind)) + header[2:5] + struct.pack(">HH", 20_000, 20_000) + header[9:]
    scan = good.index(b"\xff\xda")
    body = scan + 2 + int.from_bytes(good[scan + 2 : scan + 4])
    behind = good[:start] + huge + good[start + len(header) : body] + header + good[body:]

    assert decoding.size_of(behind) is None
    assert decoding.size_of(good[:2] + good[scan:body] + good[start:]) is None


@pytest.mark.parametrize(
    "told", [float("inf"), float("-inf"), float("nan"), 1e300, 10**4000, 0, -3, 2.5, True, "8"]
)
def test_numbers_that_are_none_are_refused(told: object) -> None:
    with pytest.raises(AdapterError) as caught:
        whole({"slice_len": told}, "slice_len", "x")
    assert caught.value.code == "model_profile_mismatch"
    assert whole({"slice_len": 8.0}, "slice_len", "x") == 8


def test_a_comment_before_the_size_is_skipped() -> None:
    good = jpeg(41, 67)
    note = b"\xff\xfe" + struct.pack(">H", 2 + 9) + b"\xff\xc0 is no."
    assert decoding.size_of(good[:2] + note + good[2:]) == (41, 67)


def test_pictures_of_one_colour_are_told_from_pictures() -> None:
    flat = decoding.reduced(drawn_frames.flat(96, 160), "x")
    assert decoding.flat([flat, flat])
    assert not decoding.flat([flat, decoding.reduced(jpeg(96, 160), "x")])


def test_scenes_are_told_apart_and_movement_is_not_another_scene() -> None:
    made = remote(configured("flashtalk", {"FLASHTALK_URL": "ws://gpu:1"}))
    one, other = (made.load(bundled(seed=seed)).picture for seed in (3, 4))
    moved = np.roll(one, 2, axis=1)  # much, within 40 ms
    assert decoding.apart(decoding.thumbnail(one), decoding.thumbnail(other)) > 30
    assert decoding.apart(decoding.thumbnail(one), decoding.thumbnail(moved)) < 15


def test_a_picture_covers_another_size_without_being_stretched() -> None:
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[:, 90:110] = 255
    covered = decoding.covering(picture, 100, 100)
    assert covered.shape == (100, 100, 3)
    assert covered[50, :, 0].tolist() == [0] * 40 + [255] * 20 + [0] * 40
