import pytest

from generation.avatars import footage, sources
from project.errors import InvalidInput
from tests.support import media, pictures


def refused(call, *args):
    with pytest.raises(InvalidInput) as caught:
        call(*args)
    return caught.value


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_pictures_of_each_kind_are_taken_upright_and_in_bgr(kind: str) -> None:
    source = sources.image_source(pictures.plain(kind=kind))
    assert source.first.shape == (400, 320, 3)
    assert source.extension == {"PNG": "png", "JPEG": "jpg", "WEBP": "webp"}[kind]


def test_transparency_is_kept() -> None:
    image = pictures.portrait().convert("RGBA")
    image.putalpha(120)
    assert sources.image_source(pictures.encoded(image)).first.shape[2] == 4


def test_a_turned_photograph_is_set_upright() -> None:
    image = pictures.portrait()
    exif = image.getexif()
    exif[0x0112] = 6
    out = __import__("io").BytesIO()
    image.save(out, "JPEG", exif=exif)
    assert sources.image_source(out.getvalue()).first.shape[:2] == (512, 640)


@pytest.mark.parametrize(
    ("data", "code", "status"),
    [
        (b"", "unreadable_image", 422),
        (b"\x89PNG\r\n\x1a\n" + b"x" * 500, "unreadable_image", 422),
        (pictures.plain()[:-400], "unreadable_image", 422),
        (pictures.plain(1, 1), "image_too_small", 422),
        (pictures.plain(2000, 100), "image_too_small", 422),
        (media.png_header(30_000, 30_000), "image_too_large", 422),
        (media.silent_video(), "unsupported_image", 415),
        (pictures.plain(kind="GIF"), "unsupported_image", 415),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unsupported_image", 415),
    ],
)
def test_what_cannot_become_an_avatar_is_refused_with_its_reason(data: bytes, code: str, status: int) -> None:
    error = refused(sources.image_source, data)
    assert (error.code, error.status, error.pointer) == (code, status, "/image")


def test_a_file_over_the_limit_is_refused_unread(settings) -> None:
    settings.MAX_IMAGE_BYTES = 1000
    assert refused(sources.image_source, pictures.plain()).code == "image_too_large"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"no video", "unreadable_video"),
        (pictures.plain(), "unsupported_video"),
        (media.silent_video(frames=5)[:300], "unreadable_video"),
    ],
)
def test_what_is_no_video_is_refused(data: bytes, code: str) -> None:
    error = refused(sources.video_source, data)
    assert (error.code, error.pointer) == (code, "/video")


def test_a_long_video_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(sources, "LONGEST_VIDEO_SECONDS", 0.1)
    monkeypatch.setattr(sources, "SHORTEST_SIDE", 2)
    assert refused(sources.video_source, media.silent_video(frames=25)).code == "video_too_long"


def test_one_face_passes_two_and_none_do_not() -> None:
    pytest.importorskip("ai_edge_litert")
    sources.check_face(sources.image_source(pictures.encoded(pictures.portrait())))
    assert refused(sources.check_face, sources.image_source(pictures.couple())).code == "several_faces"
    assert refused(sources.check_face, sources.image_source(pictures.plain())).code == "no_face"


def test_frames_are_picked_by_their_time_not_by_their_number() -> None:
    at_30 = [(number / 30, number) for number in range(30)]
    picked = list(footage.resampled(at_30, 25))
    assert len(picked) == 25
    assert all(abs(number / 30 - index / 25) < 1 / 30 for index, number in enumerate(picked))


def test_a_slow_video_repeats_its_frames() -> None:
    at_10 = [(number / 10, number) for number in range(10)]
    assert list(footage.resampled(at_10, 25))[:8] == [0, 0, 0, 1, 1, 2, 2, 2]
