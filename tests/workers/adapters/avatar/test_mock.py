import io
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from tests.support.models import renderer as renderer_of
from workers.adapters.avatar.base import IDLE_FRAMES, AudioWindow, Box, Footage, Still
from workers.adapters.avatar.mock import card
from workers.adapters.avatar.mock.card import UnreadableCardError, read_card
from workers.adapters.avatar.mock.prepare import MockPreparer
from workers.adapters.avatar.mock.renderer import mouth_levels
from workers.adapters.avatar.pictures import to_bgr
from workers.adapters.errors import AdapterError, PreparationError

SIZES = [(160, 160), (512, 640), (640, 512), (1080, 1080), (202, 358)]


def drawn(width: int, height: int, number: int, level: float) -> np.ndarray:
    picture = card.blank(width, height)
    card.draw(picture, number, level)
    return picture


def through_h264(picture: np.ndarray, crf: int) -> np.ndarray:
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as movie:
        stream = movie.add_stream("libx264", rate=25, options={"crf": str(crf), "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = picture.shape[1], picture.shape[0] * 2 // 3, "yuv420p"
        stream.time_base = Fraction(1, 25)
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        movie.mux(stream.encode(frame))
        movie.mux(stream.encode())
    with av.open(io.BytesIO(out.getvalue())) as movie:
        return next(movie.decode(video=0)).to_ndarray(format="bgr24")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("number", [0, 1, 749, 123_456, (1 << 24) - 1])
def test_a_card_tells_its_number_and_level(size: tuple[int, int], number: int) -> None:
    found, level = read_card(drawn(*size, number, 0.37))
    assert found == number
    assert level == pytest.approx(0.37, abs=0.02)


@pytest.mark.parametrize("size", SIZES)
def test_a_card_survives_h264_at_crf_28(size: tuple[int, int]) -> None:
    found, level = read_card(through_h264(drawn(*size, 54_321, 0.62), 28))
    assert found == 54_321
    assert level == pytest.approx(0.62, abs=0.03)


def test_a_scaled_card_reads_as_well() -> None:
    picture = cv2.resize(to_bgr(drawn(512, 640, 4711, 0.5)), (300, 375), interpolation=cv2.INTER_AREA)
    assert read_card(picture)[0] == 4711


def test_a_card_with_a_flipped_cell_is_refused() -> None:
    picture = drawn(512, 640, 4711, 0.5)
    height = picture.shape[0] * 2 // 3
    cells = picture[round(0.05 * height) : round(0.15 * height), round(0.05 * 512) : round(0.95 * 512)]
    cells[:, 460 * 8 // 16 : 460 * 9 // 16] = 251 - cells[:, 460 * 8 // 16 : 460 * 9 // 16]
    with pytest.raises(UnreadableCardError):
        read_card(picture)


def test_any_other_picture_is_refused() -> None:
    with pytest.raises(UnreadableCardError):
        read_card(np.full((640, 512, 3), 120, np.uint8))


def test_drawing_over_an_earlier_frame_leaves_nothing_of_it() -> None:
    picture = drawn(512, 640, 88_888_888, 1.0)
    card.draw(picture, 1, 0.0)
    assert np.array_equal(picture, drawn(512, 640, 1, 0.0))


def test_a_renderer_numbers_frames_from_the_windows_first() -> None:
    prepared = MockPreparer().prepare(Still(np.zeros((641, 513, 3), np.uint8)))
    renderer = renderer_of("mock")
    stream = renderer.open_stream(renderer.load(prepared.bundle))
    pcm = np.concatenate([np.zeros(640, np.int16), np.full(640, 3276, np.int16)])
    poses = renderer.infer(stream, renderer.extract_features(stream, AudioWindow(pcm, 0, 0, 100, 2)))
    seen = [read_card(renderer.compose_frame(stream, pose)) for pose in poses]
    assert [number for number, _ in seen] == [100, 101]
    assert seen[0][1] == 0
    assert seen[1][1] == pytest.approx(0.75, abs=0.02)


def test_lookback_and_lookahead_are_not_heard() -> None:
    pcm = np.full(640 * 3, 10_000, np.int16)
    pcm[640:1280] = 0
    renderer = renderer_of("mock")
    stream = renderer.open_stream(renderer.load(b'{"width": 160, "height": 160}'))
    assert [pose.level for pose in renderer.extract_features(stream, AudioWindow(pcm, 640, 640, 0, 1))] == [0]


def test_levels_go_from_silence_to_full_scale() -> None:
    tone = (np.sin(np.arange(640) / 5) * 32_000).astype(np.int16)
    assert mouth_levels(np.concatenate([np.zeros(640, np.int16), tone])) == [0.0, 1.0]


def test_a_preparer_keeps_the_size_and_makes_a_loop() -> None:
    reports: list[int] = []
    box = Box(0.1, 0.2, 0.3, 0.4)
    picture = np.zeros((1281, 1024, 4), np.uint8)
    prepared = MockPreparer().prepare(Still(picture), mouth_box=box, progress=reports.append)
    assert (prepared.width, prepared.height) == (862, 1080)
    assert prepared.mouth_box == box
    assert reports[-1] == 100
    numbers = [read_card(frame)[0] for frame, _ in zip(prepared.idle, range(3), strict=False)]
    assert numbers == [0, 1, 2]
    assert prepared.idle_frames == IDLE_FRAMES


def test_a_video_without_pictures_is_refused() -> None:
    with pytest.raises(PreparationError) as caught:
        MockPreparer().prepare(Footage([], 25.0))
    assert caught.value.code == "no_frames"


def test_a_foreign_bundle_is_refused() -> None:
    with pytest.raises(AdapterError) as caught:
        renderer_of("mock").load(b"PK\x03\x04")
    assert (caught.value.code, caught.value.retryable) == ("bundle_invalid", False)
