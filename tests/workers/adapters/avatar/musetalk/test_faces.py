import dataclasses

import cv2
import numpy as np
import pytest

from workers.adapters.avatar.musetalk import faces, options
from workers.adapters.avatar.musetalk.layout import V1, V15

V1_OPTIONS, V15_OPTIONS = options.DEFAULTS[V1], options.DEFAULTS[V15]
BOX = np.array([100.25, 80.5, 220.75, 240.5])


def smooth(width: int = 320, height: int = 320) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    waves = [np.sin(columns / 23 + phase) * np.cos(rows / 31) * 100 + 128 for phase in (0, 1, 2)]
    return np.stack(waves, axis=2).round().astype(np.uint8)


def landmarks(middle: float = 150.0, chin: float = 240.0) -> np.ndarray:
    """A face from x 100 to 220 and y 40 to the chin; its nose from 114 to 168 where `middle` is 150."""
    points = np.full((468, 2), (160.0, 150.0), np.float32)
    angles = np.linspace(-np.pi / 2, 1.5 * np.pi, len(faces.OVAL), endpoint=False)
    half = (chin - 40) / 2
    points[list(faces.OVAL)] = np.stack(
        [160 + 60 * np.cos(angles), 40 + half + half * np.sin(angles)], axis=1
    )
    points[faces.BETWEEN_EYES] = (160, middle - 36)
    points[faces.NOSE_TIP] = (160, middle + 18)
    return points


def boxed(points: np.ndarray, told: options.Options = V1_OPTIONS) -> np.ndarray:
    return faces.boxes([points], np.array([[10.0, 20, 60, 100]]), (320, 320), told)[0]


def test_the_box_has_the_lower_bridge_of_the_nose_in_its_middle() -> None:
    left, top, right, bottom = boxed(landmarks())

    assert (left, right) == pytest.approx((100, 220), abs=0.5)
    assert bottom == pytest.approx(240)
    assert (top + bottom) / 2 == pytest.approx(150)


def test_the_middle_can_be_shifted_and_the_chin_be_given_more_room() -> None:
    told = dataclasses.replace(V1_OPTIONS, bbox_shift=7)

    assert boxed(landmarks(), told)[1] == pytest.approx(74)
    assert boxed(landmarks(), V15_OPTIONS)[3] == pytest.approx(250)
    assert boxed(landmarks(), V15_OPTIONS)[1] == boxed(landmarks())[1]


def test_a_box_stays_inside_of_the_picture() -> None:
    points = landmarks() + np.array([150, 90], np.float32)

    left, top, right, bottom = boxed(points, V15_OPTIONS)

    assert 0 <= left < right <= 320
    assert 0 <= top < bottom <= 320


def test_points_that_make_no_face_leave_the_box_to_the_preparation() -> None:
    assert boxed(np.zeros((468, 2), np.float32)).tolist() == [10, 20, 60, 100]


def test_a_box_of_whole_pixels_is_cropped_as_by_resizing() -> None:
    picture = smooth()

    made = faces.crop(picture, np.array([64.0, 32, 192, 288]))

    expected = cv2.resize(picture[32:288, 64:192], (256, 256), interpolation=cv2.INTER_CUBIC)
    assert np.abs(made[4:-4, 4:-4].astype(int) - expected[4:-4, 4:-4]).max() <= 2


@pytest.mark.parametrize("shift", [0.0, 0.25, 0.5, 0.9])
def test_a_crop_laid_back_lies_where_it_was(shift: float) -> None:
    picture, box = smooth(), BOX + shift

    patch, (left, top, right, bottom) = faces.placed(faces.crop(picture, box), box)

    assert patch.shape == (bottom - top, right - left, 3)
    there = picture[top:bottom, left:right].astype(int)
    assert np.abs(patch[2:-2, 2:-2] - there[2:-2, 2:-2]).max() <= 4
    assert np.abs(patch[2:-2, 3:-1] - there[2:-2, 2:-2]).max() > 4  # one pixel beside it is seen


def parts() -> np.ndarray:
    """A parsed face: hair, skin, nose, lips, neck."""
    made = np.full((512, 512), 17, np.uint8)
    cv2.ellipse(made, (256, 260), (150, 200), 0, 0, 360, faces.SKIN, -1)
    cv2.rectangle(made, (200, 440), (312, 511), faces.NECK_PART, -1)
    cv2.ellipse(made, (256, 260), (150, 200), 0, 0, 360, faces.SKIN, -1)
    cv2.circle(made, (256, 270), 30, faces.NOSE_PART, -1)
    cv2.ellipse(made, (256, 350), (50, 20), 0, 0, 360, faces.LIPS[1], -1)
    return made


def mask(mode: str) -> np.ndarray:
    return faces.of_parts(parts(), dataclasses.replace(V1_OPTIONS, parsing_mode=mode)) > 0


def test_raw_is_skin_and_lips_and_neck_adds_the_neck() -> None:
    raw, neck = mask(options.RAW), mask(options.NECK)

    assert np.array_equal(raw, np.isin(parts(), (1, 11, 12, 13)))
    assert np.array_equal(neck & ~raw, parts() == faces.NECK_PART)


def test_jaw_leaves_the_nose_and_the_sides_of_the_cheeks_and_reaches_below_the_chin() -> None:
    raw, jaw = mask(options.RAW), mask(options.JAW)

    assert not jaw[parts() == faces.NOSE_PART].any()
    assert jaw[350, 256]
    assert jaw[464, 256]
    assert not raw[464, 256]
    assert jaw[300].sum() < raw[300].sum() - 30
    assert raw[300, 115]
    assert not jaw[300, 115]


@pytest.mark.parametrize("told", [V1_OPTIONS, V15_OPTIONS])
def test_landmarks_make_an_oval_without_its_nose(told: options.Options) -> None:
    points = landmarks()
    box = boxed(points, told)
    left, top, right, _ = faces.around(box, told)

    made = faces.of_landmarks(points, box, told)

    def at(x: float, y: float) -> int:
        scale = 512 / (right - left)
        return int(made[round((y - top) * scale), round((x - left) * scale)])

    assert at(160, 225) == at(120, 170) == 255
    assert at(160, 155) == 0
    assert at(104, 60) == at(215, 235) == 0
    assert at(103, 140) == (255 if told is V1_OPTIONS else 0)  # the cheek, where hair begins
    assert at(160, 242) == (0 if told is V1_OPTIONS else 255)


@pytest.mark.parametrize("told", [V1_OPTIONS, V15_OPTIONS])
def test_masks_begin_below_the_boundary_and_end_softly_at_every_side(told: options.Options) -> None:
    soft = faces.softened(np.full((512, 512), 255, np.uint8), BOX, told).astype(int)

    assert soft.shape == (256, 256)
    assert soft[200, 128] == 255
    assert soft[:96].max() == 0  # the upper half but for the blur
    assert soft[:, 0].max() == soft[:, -1].max() == soft[-1].max() == 0
    assert np.abs(np.diff(soft, axis=0)).max() < 32
    assert np.abs(np.diff(soft, axis=1)).max() < 32


def test_nothing_is_shown_of_what_is_not_in_the_mask() -> None:
    assert faces.softened(np.zeros((512, 512), np.uint8), BOX, V1_OPTIONS).max() == 0


def test_the_square_is_black_outside_of_the_picture() -> None:
    picture = np.full((100, 100, 3), 200, np.uint8)

    made = faces.square(picture, np.array([0.0, 40, 60, 100]), V15_OPTIONS)

    assert made.shape == (512, 512, 3)
    assert made[256, 5].max() == 0
    assert made[256, 256].min() == 200


def test_options_are_the_versions_own_where_nothing_else_is_said() -> None:
    auto = {"version": "auto", "masks": "auto", "extra_margin": "auto", "expand": "auto", "blur": 0.1}

    assert options.read(auto, V15) == V15_OPTIONS
    assert options.read({}, V1) == V1_OPTIONS
    assert options.read({"extra_margin": "4", "parsing_mode": "neck"}, V15).extra_margin == 4


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"parsing_mode": "skin"}, "raw or neck or jaw"),
        ({"expand": 9}, "1.0 to 3.0"),
        ({"bbox_shift": "left"}, "not a number"),
        ({"bbox": 1}, "bbox is no option"),
        ({"blur": float("nan")}, "0.0 to 0.5"),
    ],
)
def test_options_that_make_no_sense_are_refused(told: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        options.read(told, V15)
