import io
import zipfile
from itertools import pairwise

import cv2
import numpy as np
import pytest

from tests.support.models import preparer
from tests.support.plates import cut_out, filmed, portrait, prepared, small
from workers.adapters.avatar.base import IDLE_FRAMES, Background, Box, Footage, PreparedAvatar, Still
from workers.adapters.avatar.pictures import planes, to_bgr
from workers.adapters.avatar.plates import film
from workers.adapters.avatar.plates.bundle import pack, unpack
from workers.adapters.avatar.plates.plates import Decoded, Plates
from workers.adapters.avatar.plates.prepare import MOST_PICTURES, PlatesPreparer, resampled
from workers.adapters.avatar.viseme.landmarks import find_faces, find_mesh
from workers.adapters.errors import AdapterError, PreparationError


@pytest.fixture(scope="module")
def mei() -> PreparedAvatar:
    return prepared()


@pytest.fixture(scope="module")
def plates(mei: PreparedAvatar) -> Plates:
    return Plates.of(mei.bundle)


@pytest.fixture(scope="module")
def moving() -> PreparedAvatar:
    return PlatesPreparer().prepare(Footage(filmed(36), fps=30.0))


@pytest.fixture(scope="module")
def transparent() -> PreparedAvatar:
    return PlatesPreparer().prepare(Still(cut_out()))


def mesh(picture: np.ndarray) -> np.ndarray:
    points = find_mesh(picture, find_faces(picture)[0])
    assert points is not None
    return points


def test_a_portrait_gets_a_loop_that_begins_with_the_picture_itself(
    mei: PreparedAvatar, plates: Plates
) -> None:
    assert (plates.count, plates.period, mei.idle_frames) == (IDLE_FRAMES, IDLE_FRAMES, IDLE_FRAMES)
    assert (plates.width, plates.height) == (mei.width, mei.height) == (512, 640)
    away = np.abs(plates.picture(0).astype(int) - portrait())
    assert away.mean() < 1.5
    assert not mei.warnings


def test_the_idle_loop_shows_what_speech_is_drawn_on(mei: PreparedAvatar, plates: Plates) -> None:
    again = PlatesPreparer().prepare(Still(portrait()))
    assert again.bundle == mei.bundle
    for frame, picture in enumerate(again.idle):
        assert np.array_equal(picture, plates.i420(plates.index(frame)))
    assert frame == IDLE_FRAMES - 1


def test_the_head_moves_and_the_eyes_blink(plates: Plates) -> None:
    assert np.abs(plates.points(90) - plates.points(0)).max() > 1
    left, top, right, bottom = plates.box(33)
    eyes = slice(top + (bottom - top) // 4, top + (bottom - top) // 2)
    blinking = np.abs(plates.picture(33).astype(int) - plates.picture(28))[eyes, left:right]
    assert blinking.max() > 60


@pytest.mark.parametrize("index", [0, 60, 145, 190])
def test_landmarks_and_boxes_go_with_the_head(plates: Plates, index: int) -> None:
    found, points = mesh(plates.picture(index)), plates.points(index)
    moved = np.median(found - mesh(plates.picture(0)), axis=0)
    assert np.abs(np.median(points - plates.points(0), axis=0) - moved).max() < 0.6
    assert np.abs(points - found).mean() < 2.5
    left, top, right, bottom = plates.box(index)
    assert left <= points[:, 0].min() < left + 1.01
    assert bottom - 1.01 < points[:, 1].max() <= bottom
    assert 0 <= top < bottom <= 640
    assert 0 <= left < right <= 512


def test_what_leaves_a_picture_comes_back_as_it_was(plates: Plates) -> None:
    left, top, right, bottom = 101, 203, 338, 404  # odd sides
    part = plates.part(7, (left, top, right, bottom))
    assert part.shape == (bottom - top, right - left, 3)
    assert np.abs(part.astype(int) - plates.picture(7)[top:bottom, left:right]).max() <= 2


def test_nothing_changes_where_the_mask_is_zero(plates: Plates) -> None:
    out = plates.i420(3).copy()
    box = (101, 203, 338, 404)
    mask = np.zeros((201, 237), np.float32)
    plates.paste(out, 3, np.full((201, 237, 3), 255, np.uint8), box, mask)
    assert np.array_equal(out, plates.i420(3))
    mask[50:100, 60:120] = 1
    plates.paste(out, 3, np.full((201, 237, 3), 255, np.uint8), box, mask)
    changed = (out != plates.i420(3))[:640]
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert (rows[0], rows[-1]) == (203 + 50, 203 + 99)
    assert (columns[0], columns[-1]) == (101 + 60, 101 + 119)
    assert to_bgr(out)[203 + 60 : 203 + 90, 101 + 70 : 101 + 110].min() > 250


def test_a_patch_may_reach_out_of_the_picture(plates: Plates) -> None:
    out = plates.i420(0).copy()
    patch = np.zeros((120, 90, 3), np.uint8)
    patch[:, :, 2] = 255
    plates.paste(out, 0, patch, (-25, 581, 65, 701), np.ones((120, 90), np.float32))
    red = to_bgr(out)
    assert np.abs(red[584:636, 2:62].astype(int) - (0, 0, 255)).max() < 8
    assert np.array_equal(out[:580], plates.i420(0)[:580])
    plates.paste(out, 0, patch, (600, 0, 690, 120), np.ones((120, 90), np.float32))  # wholly outside


def test_pictures_are_shared_and_cannot_be_painted_over(plates: Plates) -> None:
    with pytest.raises(ValueError, match="read-only"):
        plates.i420(5)[0, 0] = 1


def test_footage_plays_at_25_frames_forwards_and_backwards(moving: PreparedAvatar) -> None:
    plates = Plates.of(moving.bundle)
    assert plates.count == 30  # 36 pictures at 30 a second
    assert (plates.period, moving.idle_frames) == (58, 58)
    order = [plates.index(frame) for frame in range(60)]
    assert order == [*range(30), *range(28, 0, -1), 0, 1]
    assert all(abs(here - there) == 1 for here, there in pairwise(order))
    assert plates.filmed
    assert len(list(moving.idle)) == 58


def test_boxes_follow_the_face_of_footage(moving: PreparedAvatar) -> None:
    plates, first = Plates.of(moving.bundle), filmed(1)[0]
    begin = mesh(first).mean(axis=0)
    for index in (0, 9, 17, 29):
        shown = round(index * 30 / 25 - 0.5)
        dx, dy = 12 * np.sin(shown / 9), 6 * np.cos(shown / 7) - 6
        assert np.abs(plates.points(index).mean(axis=0) - begin - (dx, dy)).max() < 2.5
        left, _, right, _ = plates.box(index)
        assert abs((left + right) / 2 - plates.points(index)[:, 0].mean()) < 8


@pytest.mark.parametrize(
    ("fps", "count", "first"),
    [(25, 40, [0, 1, 2, 3]), (30, 33, [0, 1, 2, 3]), (50, 20, [0, 2, 4, 6]), (12.5, 80, [0, 0, 1, 1])],
)
def test_footage_of_any_rate_is_shown_in_its_own_time(fps: float, count: int, first: list[int]) -> None:
    frames = [np.full((2, 2, 3), number, np.uint8) for number in range(40)]
    shown = [int(frame[0, 0, 0]) for frame in resampled(Footage(frames, fps))]
    assert len(shown) == count
    assert shown[:4] == first
    assert max(shown) <= 39


def test_long_footage_is_cut_to_ten_seconds_of_loop() -> None:
    frames = [np.zeros((2, 2, 3), np.uint8)] * 400
    assert len(resampled(Footage(frames, 25))) == MOST_PICTURES
    assert 2 * MOST_PICTURES - 2 == IDLE_FRAMES


def test_a_face_that_hides_for_a_moment_is_placed_between() -> None:
    frames = filmed(12)
    frames[6] = np.full_like(frames[6], 90)
    made = PlatesPreparer().prepare(Footage(frames, 25.0))
    assert made.warnings[0] == "The face was not found in 1 of 12 pictures."
    assert "short" in made.warnings[1]
    points = Plates.of(made.bundle)
    assert np.abs(points.points(6) - (points.points(5) + points.points(7)) / 2).max() < 1.5


@pytest.mark.parametrize(
    ("pictures", "code"),
    [
        ([], "no_frames"),
        ([np.full((320, 320, 3), 90, np.uint8)] * 3, "no_face"),
        ([np.hstack([portrait(), portrait("diego")])] * 2, "several_faces"),
    ],
)
def test_footage_without_one_face_is_refused(pictures: list[np.ndarray], code: str) -> None:
    with pytest.raises(PreparationError) as caught:
        PlatesPreparer().prepare(Footage(pictures, 25.0))
    assert caught.value.code == code


def test_of_two_people_a_box_says_whose_mouth_it_is() -> None:
    both = np.hstack([portrait(), portrait("diego")])
    right = Box(0.70, 0.5, 0.80, 0.65)
    made = PlatesPreparer().prepare(Footage([both] * 2, 25.0), mouth_box=right)
    assert made.mouth_box.left > 0.6


def test_a_drawing_is_told_to_use_another_model() -> None:
    with pytest.raises(PreparationError, match="viseme") as caught:
        PlatesPreparer().prepare(
            Still(np.full((300, 300, 3), 120, np.uint8)), mouth_box=Box(0.4, 0.6, 0.6, 0.7)
        )
    assert caught.value.code == "no_face"


def test_a_transparent_portrait_stands_before_any_background(transparent: PreparedAvatar) -> None:
    assert transparent.has_alpha
    plain = Plates.of(transparent.bundle)
    red = plain.before(Background(np.full((300, 200, 3), (0, 0, 255), np.uint8)))
    shown = red.picture(40)
    assert np.abs(shown[:40, :40].astype(int) - (0, 0, 255)).max() < 6
    left, top, right, bottom = red.box(40)
    face = (slice(top + 40, bottom - 40), slice(left + 40, right - 40))
    assert np.abs(shown[face].astype(int) - plain.picture(40)[face]).max() <= 3
    assert plain.before(None) is plain


def test_a_patch_on_a_transparent_portrait_stays_inside_of_it(transparent: PreparedAvatar) -> None:
    plates = Plates.of(transparent.bundle)
    out = plates.i420(0).copy()
    white = np.full((200, 200, 3), 255, np.uint8)
    plates.paste(out, 0, white, (0, 0, 200, 200), np.ones((200, 200), np.float32))
    assert np.array_equal(planes(out)[0][:60, :60], planes(np.array(plates.i420(0)))[0][:60, :60])


def test_what_the_model_looks_at_can_be_given(mei: PreparedAvatar) -> None:
    crop = Box(0.25, 0.30, 0.75, 0.70)
    plates = Plates.of(PlatesPreparer().prepare(Still(small()), model_crop=crop).bundle)
    assert plates.crop
    assert plates.box(0) == (64, 96, 192, 224)
    moved = plates.points(90).mean(axis=0) - plates.points(0).mean(axis=0)
    assert np.abs(np.array(plates.box(90)[:2]) - (64, 96) - moved).max() <= 0.5


def test_a_crop_of_nothing_is_refused() -> None:
    with pytest.raises(PreparationError) as caught:
        PlatesPreparer().prepare(Still(small()), model_crop=Box(0.5, 0.5, 0.5, 0.6))
    assert caught.value.code == "crop_too_small"


def test_a_detectors_boxes_are_kept_on_the_moving_face(plates: Plates) -> None:
    left, top, right, bottom = plates.box(0)
    made = PlatesPreparer(lambda _: (left - 20.0, top + 8.0, right + 6.0, bottom + 2.0))
    detected = Plates.of(made.prepare(Still(portrait())).bundle)
    for index in (0, 90, 200):
        away = np.array(detected.box(index)) - plates.box(index)
        assert np.abs(away - (-20, 8, 6, 2)).max() <= 1.5


def test_a_detector_that_sees_no_face_refuses_the_portrait() -> None:
    with pytest.raises(PreparationError) as caught:
        PlatesPreparer(lambda _: None).prepare(Still(portrait()))
    assert caught.value.code == "no_face"


@pytest.mark.parametrize(("name", "code"), [("s3fd", "weights_missing"), ("other", "model_rejected")])
def test_a_detector_that_cannot_be_had_is_said(name: str, code: str) -> None:
    with pytest.raises(AdapterError) as caught:
        preparer("wav2lip", {"WAV2LIP_DETECTOR": name})
    assert caught.value.code == code


def test_without_weights_the_landmarks_are_the_detector() -> None:
    assert isinstance(preparer("wav2lip"), PlatesPreparer)


def test_a_bundle_is_read_as_it_was_written(mei: PreparedAvatar) -> None:
    bundle = unpack(mei.bundle)
    assert pack(bundle) == mei.bundle
    assert len(mei.bundle) < 5_000_000
    assert len(bundle.film) == IDLE_FRAMES // film.SEGMENT


def edited(bundle: bytes, name: str, data: bytes | None) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(bundle)) as source, zipfile.ZipFile(out, "w") as target:
        for entry in source.namelist():
            if entry != name:
                target.writestr(entry, source.read(entry))
            elif data is not None:
                target.writestr(entry, data)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("film/003.h264", None),
        ("points.f32", b"1234"),
        ("facts.json", b"[]"),
        ("facts.json", b'{"kind": "x"}'),
    ],
)
def test_a_damaged_bundle_is_refused(mei: PreparedAvatar, name: str, data: bytes | None) -> None:
    with pytest.raises(AdapterError) as caught:
        Plates.of(edited(mei.bundle, name, data))
    assert caught.value.code == "bundle_invalid"


def test_damaged_pictures_are_refused_when_they_are_shown(mei: PreparedAvatar) -> None:
    plates = Plates.of(edited(mei.bundle, "film/000.h264", b"no film at all"))
    with pytest.raises(AdapterError) as caught:
        plates.i420(0)
    assert caught.value.code == "bundle_invalid"


def test_no_more_pictures_are_kept_than_fit() -> None:
    kept, owner, other = Decoded(1000), object(), object()
    for number in range(5):
        kept.keep(owner, "shown", number, np.zeros((1, 4, 75), np.uint8))
    assert [number for number in range(5) if kept.get(owner, "shown", number) is not None] == [2, 3, 4]
    kept.get(owner, "shown", 2)
    kept.keep(other, "shown", 0, np.zeros((1, 4, 75), np.uint8))
    assert kept.get(owner, "shown", 3) is None
    assert kept.get(owner, "shown", 2) is not None
    kept.forget(owner)
    assert kept.get(owner, "shown", 2) is None
    assert kept.get(other, "shown", 0) is not None


def test_films_of_any_length_come_back() -> None:
    pictures = [np.full((24, 16), 20 + 9 * number, np.uint8) for number in range(13)]
    segments = film.encode(pictures, 16, 16)
    back = np.concatenate([film.decode(segment, 16, 16) for segment in segments])
    assert [len(film.decode(segment, 16, 16)) for segment in segments] == [10, 3]
    assert np.abs(back.astype(int) - np.array(pictures)).max() <= 3
    with pytest.raises(AdapterError):
        film.decode(segments[0], 32, 16)


def test_a_large_portrait_is_scaled_like_any_other() -> None:
    large = cv2.resize(portrait(), (1200, 1500), interpolation=cv2.INTER_CUBIC)
    made = PlatesPreparer().prepare(Footage([large, large], 25.0))
    assert (made.width, made.height) == (864, 1080)
