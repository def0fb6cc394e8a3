"""Films of services: passed through where they are fragments already, else encoded once."""

import io
import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from tests.support.media import HEIGHT, WIDTH, decoded_numbers, frame_number, numbered_frame, silent_video
from workers.adapters.avatar import film as films
from workers.adapters.avatar.base import AudioWindow, Profile
from workers.adapters.avatar.film import Limits
from workers.adapters.errors import AdapterError
from workers.rendering.demux import read_fragment
from workers.rendering.encode import LOW_CRF, encode_fragment
from workers.rendering.foreign import admit, decode
from workers.rendering.fragment import render_fragment
from workers.rendering.probe import inspect

X264 = {"profile": "baseline", "x264-params": "bframes=0:ref=1:scenecut=0:keyint=250"}


def ours(frames: int = 12, first: int = 0, **options) -> bytes:
    pictures = [numbered_frame(number) for number in range(first, first + frames)]
    return encode_fragment(pictures, width=WIDTH, height=HEIGHT, **options).data


def filmed(
    frames: int = 12,
    *,
    rate: int = 25,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    container: str = "mp4",
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    sound: bool = False,
    picture=None,
) -> bytes:
    """A film as others make it."""
    out = io.BytesIO()
    with av.open(out, "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        voice = file.add_stream("aac", rate=16_000, layout="mono") if sound else None
        for number in range(frames):
            drawn = numbered_frame(number, *size) if picture is None else picture
            frame = av.VideoFrame.from_ndarray(drawn, format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
        if voice:
            said = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), np.float32), "fltp", "mono")
            said.sample_rate, said.pts = 16_000, 0
            file.mux(voice.encode(said))
            file.mux(voice.encode(None))
    return out.getvalue()


def remuxed(data: bytes, container: str = "mp4", options: dict[str, str] | None = None) -> bytes:
    """The same samples under other tables."""
    out = io.BytesIO()
    with av.open(io.BytesIO(data)) as source, av.open(out, "w", format=container, options=options) as file:
        stream = file.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                file.mux(packet)
    return out.getvalue()


def admitted(data: bytes, frames: int = 12):
    return admit(data, frames=frames, width=WIDTH, height=HEIGHT)


def numbers(data: bytes, frames: int = 12, **limits) -> list[int]:
    wanted = Limits(frames, WIDTH, HEIGHT, **limits)
    return [frame_number(picture[:HEIGHT]) for picture in decode(data, limits=wanted)]


# --- Passed through ------------------------------------------------------------------------


def test_a_fragment_of_our_own_encoder_comes_back_byte_for_byte():
    data = ours(crf=26, preset="superfast")

    made = admitted(data)

    assert made is not None
    assert (made.data, made.frames) == (data, 12)


@pytest.mark.parametrize(
    ("container", "options"),
    [("mp4", None), ("mp4", {"movflags": "frag_keyframe+empty_moov+default_base_moof"}), ("matroska", None)],
)
def test_its_samples_pass_under_any_tables(container, options):
    data = ours(keyint=5)

    made = admitted(remuxed(data, container, options))

    assert made is not None
    assert made.data == data


@pytest.mark.parametrize(
    "data",
    [
        filmed(options=X264),
        filmed(),
        silent_video(12),
        filmed(codec="mpeg4"),
        filmed(rate=30),
        filmed(size=(WIDTH * 2, HEIGHT * 2)),
        ours(frames=11),
        ours(frames=13),
        ours()[:-400],
        b"",
        b"<html>not here</html>",
    ],
    ids=[
        *("other parameter sets", "B-frames", "defaults", "codec", "rate", "size"),
        *("too few", "too many", "cut", "nothing", "a page"),
    ],
)
def test_what_is_no_fragment_of_this_size_and_length_is_not_admitted(data):
    assert admitted(data) is None


def test_damaged_samples_under_the_right_parameter_sets_are_not_admitted():
    data = bytearray(ours())
    sample = read_fragment(bytes(data)).samples[6].data
    start = bytes(data).index(bytes(sample))
    data[start + 5 : start + len(sample)] = bytes(len(sample) - 5)

    assert admitted(bytes(data)) is None


def test_other_parameter_sets_may_not_hide_among_the_samples():
    sets = inspect(filmed(options=X264)).extradata[6:]  # two bytes of length, the SPS, one PPS, the same
    (size,) = struct.unpack_from(">H", sets)
    strange = struct.pack(">I", size) + sets[2 : 2 + size]
    out = io.BytesIO()
    with av.open(io.BytesIO(ours())) as source, av.open(out, "w", format="mp4") as file:
        stream = file.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(each for each in source.demux(video=0) if each.size):
            placed = av.Packet(strange + bytes(packet)) if number == 6 else packet
            placed.pts, placed.dts, placed.time_base = packet.pts, packet.dts, packet.time_base
            placed.stream = stream
            file.mux(placed)

    assert inspect(out.getvalue()).frames == 12
    assert admitted(out.getvalue()) is None


# --- Encoded once --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        filmed(options=X264),
        filmed(),
        filmed(codec="mpeg4"),
        filmed(container="matroska"),
        filmed(sound=True),
        filmed(size=(WIDTH * 2, HEIGHT * 2)),
        filmed(size=(WIDTH // 2, HEIGHT // 2)),
    ],
    ids=["x264", "B-frames", "mpeg4", "matroska", "with sound", "larger", "smaller"],
)
def test_any_film_of_this_shape_and_length_gives_its_pictures(data):
    assert numbers(data) == list(range(12))


def test_another_rate_keeps_its_time():
    assert numbers(filmed(50, rate=50), 25) == pytest.approx(list(range(0, 50, 2)), abs=1)
    assert numbers(filmed(15, rate=15), 25) == pytest.approx([n * 15 / 25 for n in range(25)], abs=1)


def test_up_to_three_frames_are_forgiven():
    assert numbers(filmed(9)) == [*range(9), 8, 8, 8]
    assert numbers(filmed(15)) == list(range(12))


@pytest.mark.parametrize(("frames", "code"), [(8, "frames_missing"), (16, "frames_malformed")])
def test_more_than_three_are_not(frames, code):
    with pytest.raises(AdapterError) as caught:
        numbers(filmed(frames))

    assert caught.value.code == code
    assert caught.value.retryable == (code == "frames_missing")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"<html>not here</html>", "frames_malformed"),
        (b"", "frames_malformed"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "frames_malformed"),
        (filmed(size=(160, 128)), "model_profile_mismatch"),
        (filmed(picture=np.full((HEIGHT * 3 // 2, WIDTH), 90, np.uint8)), "model_fake"),
    ],
    ids=["a page", "nothing", "a playlist", "another shape", "one colour"],
)
def test_what_cannot_be_used_says_why(data, code):
    with pytest.raises(AdapterError) as caught:
        numbers(data)

    assert (caught.value.code, caught.value.retryable) == (code, False)


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_no_decoder_makes_room_for_larger_pictures_than_are_allowed(monkeypatch, codec):
    data = filmed(codec=codec)
    assert numbers(data) == list(range(12))
    monkeypatch.setattr(films, "MOST_PIXELS", WIDTH * HEIGHT - 1)
    with pytest.raises(AdapterError) as caught:
        numbers(data)
    assert caught.value.code == "frames_malformed"


def test_pictures_that_nobody_would_see_are_not_decoded_without_end():
    data = filmed(480, rate=1000)  # 12 frames of 40 ms

    with pytest.raises(AdapterError, match="more pictures than can be seen") as caught:
        numbers(data)
    assert caught.value.code == "frames_malformed"
    assert len(numbers(filmed(120, rate=250))) == 12


def test_a_film_may_not_be_larger_than_its_limit():
    with pytest.raises(AdapterError, match="more than 0 MB"):
        numbers(filmed(), max_bytes=500)


def test_colours_of_a_film_in_full_range_and_709_come_as_601_in_limited_range():
    out = io.BytesIO()
    grey = np.full((HEIGHT, WIDTH, 3), (200, 60, 40), np.uint8)
    grey[: HEIGHT // 2] = (20, 220, 90)
    with av.open(out, "w", format="mp4") as file:
        stream = file.add_stream("libx264", rate=25, options={"crf": "4"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = 1, 2
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24").reformat(
                format="yuvj420p", dst_colorspace="ITU709", dst_color_range="JPEG"
            )
            frame.pts, frame.time_base = number, Fraction(1, 25)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))

    (picture, *_) = decode(out.getvalue(), limits=Limits(3, WIDTH, HEIGHT))

    wanted = av.VideoFrame.from_ndarray(grey, format="rgb24").reformat(
        format="yuv420p", dst_colorspace="ITU601", dst_color_range="MPEG"
    )
    assert np.abs(picture.astype(int) - wanted.to_ndarray()).mean() < 2


# --- The hook ------------------------------------------------------------------------------


class Films:
    """A renderer whose service answers with films; `drawn` counts what was asked frame by frame."""

    profile = Profile(id="films", backend="http", queue="batch.films", stateless=False)

    def __init__(self, film: bytes | None) -> None:
        self.film, self.asked, self.drawn = film, 0, 0

    def encoded(self, stream, window):
        self.asked += 1
        return self.film

    def extract_features(self, stream, window):
        return range(window.start_frame, window.start_frame + window.frames)

    def infer(self, stream, features):
        return list(features)

    def compose_frame(self, stream, pose):
        self.drawn += 1
        return numbered_frame(pose)


def rendered(renderer, **options):
    window = AudioWindow(np.zeros(12 * 640, np.int16), 0, 0, 0, 12)
    return render_fragment(renderer, None, window, width=WIDTH, height=HEIGHT, **options)


def test_a_film_that_is_a_fragment_is_passed_through():
    renderer = Films(ours())

    assert rendered(renderer).data == ours()
    assert (renderer.asked, renderer.drawn) == (1, 0)


def test_any_other_film_is_encoded_once():
    renderer = Films(filmed(15))

    made = rendered(renderer)

    assert decoded_numbers(made.data) == list(range(12))
    assert inspect(made.data).extradata == inspect(ours()).extradata
    assert (renderer.asked, renderer.drawn) == (1, 0)


def test_a_renderer_may_have_no_film_this_time():
    renderer = Films(None)

    assert decoded_numbers(rendered(renderer).data) == list(range(12))
    assert (renderer.asked, renderer.drawn) == (1, 12)


def test_the_lower_rendition_and_captions_need_the_pictures():
    class Mark:
        def active(self, frame):
            return frame == 3

        def draw(self, picture, frame):
            picture[: HEIGHT // 5] = numbered_frame(999)[: HEIGHT // 5]

    renderer = Films(ours())

    assert rendered(renderer, crf=LOW_CRF).data != ours()
    assert decoded_numbers(rendered(renderer, overlay=Mark()).data)[3] == 999
    assert (renderer.asked, renderer.drawn) == (0, 24)


def test_passing_through_stops_when_nobody_wants_it_any_more():
    def check() -> None:
        raise InterruptedError

    for film in (ours(), filmed()):
        with pytest.raises(InterruptedError):
            rendered(Films(film), check=check)
