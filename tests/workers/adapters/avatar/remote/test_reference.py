"""Portraits are cropped around the face to what a model draws, and move while they listen."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.models import preparer
from workers.adapters.avatar.base import IDLE_FRAMES, Box, Footage, PreparedAvatar, Still
from workers.adapters.avatar.pictures import to_bgr
from workers.adapters.avatar.remote import bundle, decoding, idle
from workers.adapters.avatar.remote.reference import STILL, ReferencePreparer, idle_frames, load
from workers.adapters.avatar.viseme.landmarks import find_faces
from workers.adapters.errors import AdapterError, PreparationError

DATA = Path(__file__).resolve().parents[4] / "data"
PLAIN = np.full((400, 300, 3), 120, np.uint8)


def astronaut() -> np.ndarray:
    picture = cv2.imread(str(DATA / "astronaut.jpg"))
    assert picture is not None
    return picture


def beside() -> np.ndarray:
    """The same face, far left in a wide picture."""
    wide = np.full((512, 1024, 3), 90, np.uint8)
    wide[:, :512] = np.asarray(cv2.resize(astronaut(), (512, 512)), np.uint8)
    return wide


@pytest.fixture(scope="module")
def prepared() -> PreparedAvatar:
    return ReferencePreparer(208, 352).prepare(Still(beside()))


def test_a_portrait_has_the_models_size(prepared: PreparedAvatar) -> None:
    reference, picture = load(prepared.bundle, "flashtalk")
    assert (prepared.width, prepared.height) == (reference.width, reference.height) == (208, 352)
    assert picture.shape == prepared.preview.shape == (352, 208, 3)
    assert decoding.decoded(reference.picture, "flashtalk").shape == (352, 208, 3)


def test_the_face_is_in_the_middle(prepared: PreparedAvatar) -> None:
    (face, *_) = find_faces(prepared.preview)
    left, top, right, bottom = face.box
    assert abs((left + right) / 2 - 104) < 30
    assert 0.2 * 352 < (top + bottom) / 2 < 0.6 * 352


def test_nothing_is_stretched(prepared: PreparedAvatar) -> None:
    (before, *_), (after, *_) = find_faces(beside()), find_faces(prepared.preview)

    def shape(box: tuple[float, float, float, float]) -> float:
        return (box[2] - box[0]) / (box[3] - box[1])

    assert shape(after.box) == pytest.approx(shape(before.box), rel=0.1)


def test_it_moves_while_it_listens_and_the_renderer_knows_the_same_loop(prepared: PreparedAvatar) -> None:
    shown = [frame.copy() for _, frame in zip(range(40), prepared.idle, strict=False)]
    assert len({frame.tobytes() for frame in shown}) > 10
    assert prepared.idle_frames == IDLE_FRAMES
    reference, picture = load(prepared.bundle, "flashtalk")
    again = idle_frames(reference, picture)
    for frame in shown[:5]:
        assert np.array_equal(frame, next(again))
    assert np.array_equal(idle.Loop(picture, reference.idle).frame(IDLE_FRAMES + 3), shown[3])


def test_the_loop_shows_the_portrait(prepared: PreparedAvatar) -> None:
    reference, picture = load(prepared.bundle, "flashtalk")
    first = to_bgr(next(idle_frames(reference, picture)))
    assert np.abs(first.astype(int) - picture).mean() < 8


def test_a_portrait_keeps_its_own_size_where_the_model_takes_any() -> None:
    made = preparer("quicktalk", {"OMNIRT_URL": "http://gpu:9000"}).prepare(Still(PLAIN[:, :250]))
    assert (made.width, made.height) == (250, 400)


def test_a_picture_without_a_face_keeps_still_and_says_so() -> None:
    made = ReferencePreparer(128, 160).prepare(Still(PLAIN))
    assert made.warnings == [STILL]
    shown = [frame.copy() for frame in made.idle]
    assert len(shown) == IDLE_FRAMES
    assert len({frame.tobytes() for frame in shown}) == 1


def test_a_marked_mouth_is_where_the_crop_is_made_and_moves_with_it() -> None:
    picture = np.zeros((600, 900, 3), np.uint8)
    picture[240:270, 500:580] = 255
    marked = Box(500 / 900, 240 / 600, 580 / 900, 270 / 600)
    cut, box = ReferencePreparer(240, 320)._cropped(picture, marked)
    assert cut.shape == (320, 240, 3)
    assert box is not None
    rows, columns = np.nonzero(cut[:, :, 0] > 128)
    assert [columns.min() / 240, rows.min() / 320] == pytest.approx([box.left, box.top], abs=0.01)
    assert [(columns.max() + 1) / 240, (rows.max() + 1) / 320] == pytest.approx(
        [box.right, box.bottom], abs=0.01
    )
    assert (box.left + box.right) / 2 == pytest.approx(0.5, abs=0.02)


def test_the_models_size_comes_from_its_file() -> None:
    made = preparer("flashtalk", {"FLASHTALK_URL": "ws://gpu:8765", "FLASHTALK_WIDTH": "448"})
    assert isinstance(made, ReferencePreparer)
    assert made._size == (448, 704)


def test_transparency_is_laid_on_a_wall() -> None:
    cut = np.dstack([PLAIN, np.zeros(PLAIN.shape[:2], np.uint8)])
    made = ReferencePreparer(128, 160).prepare(Still(cut))
    assert not made.has_alpha
    assert made.preview.mean() > 190


def test_one_frame_of_a_video_is_used_and_that_is_told() -> None:
    made = ReferencePreparer(128, 160).prepare(Footage([PLAIN, PLAIN], 25.0))
    assert "One frame" in made.warnings[0]
    with pytest.raises(PreparationError) as caught:
        ReferencePreparer().prepare(Footage([], 25.0))
    assert caught.value.code == "no_frames"


def test_two_people_are_refused() -> None:
    both = np.hstack([np.asarray(cv2.resize(astronaut(), (400, 400)), np.uint8)] * 2)
    with pytest.raises(PreparationError) as caught:
        ReferencePreparer().prepare(Still(both))
    assert caught.value.code == "several_faces"


def test_facts_go_into_the_bundle_and_come_back() -> None:
    data = bundle.pack(bundle.Reference(b"png", 64, 96, b"idle", {"template_video": "a.mp4"}))
    assert bundle.unpack(data, "x") == bundle.Reference(b"png", 64, 96, b"idle", {"template_video": "a.mp4"})


@pytest.mark.parametrize(("width", "height"), [(63, 96), (0, 96), (64, 100_000)])
def test_impossible_sizes_are_refused(width: int, height: int) -> None:
    with pytest.raises(AdapterError) as caught:
        bundle.unpack(bundle.pack(bundle.Reference(b"png", width, height)), "x")
    assert caught.value.code == "bundle_invalid"


def test_fades_lead_from_the_idle_loop_and_back() -> None:
    shares = [idle.share_of(place, 20, 4, first=True, last=True) for place in range(22)]
    assert shares[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert shares[15:20] == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])
    assert shares[20:] == [0.0, 0.0]  # not shown: the idle loop
    assert {idle.share_of(place, 20, 4, first=False, last=False) for place in range(20)} == {1.0}
    assert [idle.share_of(place, 2, 6, first=True, last=True) for place in range(2)] == pytest.approx(
        [0.5, 0.5]
    )
