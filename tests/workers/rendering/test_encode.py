"""What every fragment has to be, so that it serves live, clips, previews and recordings alike."""

import hashlib
import io
from fractions import Fraction

import av
import numpy as np
import pytest

from tests.support.media import HEIGHT, WIDTH, decoded_numbers, numbered_frame
from workers.rendering.encode import FragmentEncoder, encode_fragment, encode_idle, level, units
from workers.rendering.probe import inspect


def fragment(first: int = 0, frames: int = 10, **options):
    pictures = (numbered_frame(number) for number in range(first, first + frames))
    return encode_fragment(pictures, width=WIDTH, height=HEIGHT, **options)


def samples(data: bytes) -> list[bytes]:
    with av.open(io.BytesIO(data), "r") as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def test_it_is_constrained_baseline_without_b_frames_and_opens_with_an_idr_frame():
    seen = inspect(fragment(frames=12).data)

    assert (seen.codec, seen.profile, seen.level) == ("h264", "Constrained Baseline", 31)
    assert not seen.has_b_frames
    assert seen.idr == [0]
    assert seen.audio_codec is None


def test_every_frame_comes_back_in_order_and_lasts_40_ms():
    made = fragment(first=300, frames=30)
    seen = inspect(made.data)

    assert decoded_numbers(made.data) == list(range(300, 330))
    assert made.frames == seen.frames == 30
    assert [float(each) for each in seen.pts] == pytest.approx([number / 25 for number in range(30)])
    assert seen.video_seconds == Fraction(30, 25)


def test_the_idr_frame_carries_the_parameter_sets_that_the_header_holds():
    data = fragment().data
    kinds = [[unit[0] & 31 for unit in units(sample)] for sample in samples(data)]

    assert kinds[0] == [7, 8, 5]
    assert all(each == [1] for each in kinds[1:])
    header = inspect(data).extradata
    assert all(unit in header for unit in units(samples(data)[0])[:2])


@pytest.mark.parametrize("preset", ["ultrafast", "superfast", "faster", "medium"])
@pytest.mark.parametrize("crf", [18, 30])
def test_rate_factor_preset_and_keyint_leave_the_parameter_sets_alone(preset, crf):
    usual = inspect(fragment().data).extradata

    assert inspect(fragment(preset=preset, crf=crf, keyint=5).data).extradata == usual


def test_an_idle_loop_can_be_entered_every_200_ms():
    pictures = [numbered_frame(number) for number in range(23)]
    seen = inspect(encode_idle(pictures, width=WIDTH, height=HEIGHT).data)

    assert seen.idr == [0, 5, 10, 15, 20]


def test_a_scene_change_makes_no_further_idr_frame():
    dark = np.full((HEIGHT * 3 // 2, WIDTH), 16, np.uint8)
    frames = [numbered_frame(0)] * 5 + [dark] * 5

    assert inspect(encode_fragment(frames, width=WIDTH, height=HEIGHT).data).idr == [0]


def test_the_same_frames_make_the_same_bytes():
    first, second = fragment(), fragment()

    assert first == second
    assert first.sha256 == hashlib.sha256(first.data).hexdigest()


def test_a_higher_rate_factor_makes_a_smaller_fragment():
    assert len(fragment(crf=35).data) < len(fragment(crf=18).data)


def test_the_drawing_buffer_may_be_used_again_after_push():
    encoder = FragmentEncoder(width=WIDTH, height=HEIGHT)
    buffer = np.empty((HEIGHT * 3 // 2, WIDTH), np.uint8)
    for number in range(8):
        buffer[:] = numbered_frame(number)
        encoder.push(buffer)
        buffer[:] = 0

    assert decoded_numbers(encoder.finish().data) == list(range(8))


@pytest.mark.parametrize("size", [(128, 160), (130, 162), (514, 22), (18, 16)])
def test_pictures_of_any_even_size_keep_their_pixels(size):
    width, height = size
    ramp = np.add.outer(np.arange(height), np.arange(width)).astype(np.float64)
    luma = (40 + ramp * 150 / ramp.max()).astype(np.uint8)
    colour = np.repeat(np.uint8([90, 170]), width * height // 4)
    picture = np.concatenate((luma.reshape(-1), colour)).reshape(height * 3 // 2, width)
    data = encode_fragment([picture] * 3, width=width, height=height, crf=10).data

    with av.open(io.BytesIO(data), "r") as container:
        decoded = list(container.decode(video=0))[-1].to_ndarray(format="yuv420p")
    assert decoded.shape == picture.shape
    assert np.abs(decoded.astype(int) - picture).mean() < 2


def test_colours_are_told_in_the_stream():
    with av.open(io.BytesIO(fragment().data), "r") as container:
        codec = container.streams.video[0].codec_context
        told = codec.color_range, codec.color_primaries, codec.color_trc, codec.colorspace
    assert told == (1, 1, 1, 6)


def test_it_passes_the_filter_that_live_playout_uses():
    data = fragment(frames=6).data
    with av.open(io.BytesIO(data), "r") as container:
        stream = container.streams.video[0]
        bsf = av.BitStreamFilterContext("h264_mp4toannexb", stream)
        passed = [bytes(out) for packet in container.demux(stream) for out in bsf.filter(packet)]

    assert len(passed) == 6
    assert all(each.startswith((b"\x00\x00\x00\x01", b"\x00\x00\x01")) for each in passed)
    decoder = av.CodecContext.create("h264", "r")
    pictures = [frame for each in passed for frame in decoder.decode(av.Packet(each))] + decoder.decode(None)
    assert len(pictures) == 6


@pytest.mark.parametrize(
    ("shape", "kind"), [((HEIGHT, WIDTH), np.uint8), ((HEIGHT * 3 // 2, WIDTH), np.float32)]
)
def test_it_refuses_another_shape_or_type(shape, kind):
    with pytest.raises(ValueError, match="picture"):
        FragmentEncoder(width=WIDTH, height=HEIGHT).push(np.zeros(shape, kind))


@pytest.mark.parametrize("size", [(127, 160), (128, 161), (8, 160)])
def test_it_refuses_a_size_that_cannot_be_encoded(size):
    with pytest.raises(ValueError, match="even size"):
        FragmentEncoder(width=size[0], height=size[1])


def test_a_fragment_has_at_least_one_frame():
    with pytest.raises(ValueError, match="at least one frame"):
        encode_fragment([], width=WIDTH, height=HEIGHT)


@pytest.mark.parametrize(
    ("size", "expected"), [((512, 640), "3.1"), ((1280, 720), "3.1"), ((1080, 1920), "4.0")]
)
def test_the_level_follows_from_the_size(size, expected):
    assert level(*size) == expected
