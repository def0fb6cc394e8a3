"""Pictures of strangers: turned upright, eight bits, BGR; bombs are not even decoded."""

import io
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from tests.support.media import png_header, silent_video, voice, wav
from workers.rendering.errors import MediaError
from workers.rendering.picture import open_picture, open_video


def saved(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def code(data: bytes, **limits) -> str:
    with pytest.raises(MediaError) as raised:
        open_picture(data, **limits)
    return raised.value.code


def halves(mode: str = "RGB") -> Image.Image:
    image = Image.new("RGB", (40, 20), (200, 0, 0))
    image.paste((0, 0, 200), (20, 0, 40, 20))
    return image.convert(mode)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_pictures_come_as_bgr(kind):
    picture = open_picture(saved(halves(), kind))

    assert picture.shape == (20, 40, 3)
    assert picture.dtype == np.uint8
    assert picture[10, 5, 2] > 180
    assert picture[10, 5, 0] < 40


@pytest.mark.parametrize("mode", ["CMYK", "P", "L", "1", "YCbCr"])
def test_other_colour_models_are_converted(mode):
    kind = "JPEG" if mode in {"CMYK", "YCbCr"} else "PNG"

    assert open_picture(saved(halves(mode), kind)).shape == (20, 40, 3)


def test_sixteen_bits_are_scaled_and_not_cut_off():
    ramp = np.linspace(0, 65_535, 40 * 20).astype(np.uint16).reshape(20, 40)
    picture = open_picture(saved(Image.fromarray(ramp)))

    assert np.abs(picture[..., 0].reshape(-1) - np.linspace(0, 255, 800)).max() <= 1


def test_transparency_is_kept_where_there_is_some():
    clear = halves("RGBA")
    clear.putpixel((3, 3), (0, 0, 0, 0))

    assert open_picture(saved(clear)).shape == (20, 40, 4)
    assert open_picture(saved(halves("RGBA"))).shape == (20, 40, 3)


def test_a_picture_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    picture = open_picture(saved(halves(), "JPEG", exif=exif))

    assert picture.shape == (40, 20, 3)
    assert picture[5, 10, 2] > 180


def test_of_an_animation_the_first_picture_counts():
    frames = [Image.new("RGB", (30, 30), (shade, shade, shade)) for shade in (250, 10)]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=40)

    assert open_picture(data).mean() > 200


def test_a_bomb_is_refused_before_it_goes_off():
    data = png_header(30_000, 30_000)
    tracemalloc.start()
    assert code(data) == "image_too_large"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


@pytest.mark.parametrize(("size", "expected"), [((1, 1), "image_too_small"), ((15, 400), "image_too_small")])
def test_too_small_a_picture_is_refused(size, expected):
    assert code(saved(Image.new("RGB", size))) == expected


def test_limits_can_be_set():
    data = saved(Image.new("RGB", (300, 200)))

    assert code(data, max_side=299) == "image_too_large"
    assert code(data, max_pixels=59_999) == "image_too_large"
    assert code(data, max_bytes=20) == "image_too_large"
    assert code(data, min_side=201) == "image_too_small"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_picture_that_lost_its_end_is_refused(kind, part):
    noise = np.random.default_rng(2).integers(0, 255, (120, 120, 3), np.uint8)
    data = saved(Image.fromarray(noise), kind)

    assert code(data[: int(len(data) * part)]) == "unreadable_image"


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"not a picture", bytes(4000), b"<svg xmlns='x'/>"])
def test_other_files_are_refused(data):
    assert code(data) == "unreadable_image"


@pytest.mark.parametrize("data", [silent_video(), silent_video(format="matroska"), wav(voice(0.2))])
def test_a_video_or_sound_is_told_apart_from_a_damaged_picture(data):
    assert code(data) == "unsupported_image"


def test_a_video_gives_its_frames():
    video = open_video(silent_video(12))

    assert (video.width, video.height, video.fps, video.duration_ms) == (128, 160, 25, 480)
    assert [frame.shape for frame in video.frames] == [(160, 128, 3)] * 12


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"", "unreadable_media"), (wav(voice(0.2)), "no_video"), (b"x" * 999, "unreadable_media")],
)
def test_what_is_no_video_is_refused(data, expected):
    with pytest.raises(MediaError) as raised:
        open_video(data)
    assert raised.value.code == expected


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"max_seconds": 0.3}, "too_long"),
        ({"max_pixels": 100}, "image_too_large"),
        ({"max_bytes": 10}, "too_large"),
    ],
)
def test_a_video_keeps_its_limits(limits, expected):
    with pytest.raises(MediaError) as raised:
        list(open_video(silent_video(25), **limits).frames)
    assert raised.value.code == expected


def test_a_video_codec_that_nobody_knows_is_refused():
    data = silent_video(3)
    start = data.index(b"avc1", 40)
    with pytest.raises(MediaError) as refusal:
        open_video(data[:start] + data[start:].replace(b"avc1", b"zzzz"))
    assert refusal.value.code == "unreadable_media"
