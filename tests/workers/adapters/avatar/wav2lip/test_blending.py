import numpy as np
import pytest

from tests.support.plates import portrait
from workers.adapters.avatar.viseme.landmarks import find_faces, find_mesh
from workers.adapters.avatar.wav2lip import blending

MODES = sorted(blending.MODES)


@pytest.fixture(scope="module", params=["mei", "diego"])
def face(request: pytest.FixtureRequest) -> tuple[np.ndarray, int, int]:
    """Landmarks in pixels of the face's box, and the box's size."""
    picture = portrait(request.param)
    points = find_mesh(picture, find_faces(picture)[0])
    assert points is not None
    low = np.floor(points.min(axis=0))
    width, height = np.ceil(points.max(axis=0)) - low
    return (points - low).astype(np.float32), int(width), int(height) + 10


@pytest.mark.parametrize("mode", MODES)
def test_the_lips_are_the_networks_and_the_rim_is_the_pictures(
    face: tuple[np.ndarray, int, int], mode: str
) -> None:
    points, width, height = face
    mask = blending.MODES[mode](points, width, height)
    assert mask.shape == (height, width)
    assert mask.dtype == np.float32
    assert mask.min() >= 0
    assert mask.max() <= 1
    for number in blending.LIPS:
        x, y = np.rint(points[number]).astype(int)
        assert mask[y, x] > 0.93
    for edge in (mask[0], mask[-1], mask[:, 0], mask[:, -1]):
        assert edge.max() < 0.02


@pytest.mark.parametrize("mode", MODES)
def test_masks_have_no_steps(face: tuple[np.ndarray, int, int], mode: str) -> None:
    mask = blending.MODES[mode](*face)
    steepest = max(np.abs(np.diff(mask, axis=0)).max(), np.abs(np.diff(mask, axis=1)).max())
    assert steepest < 0.11


def test_the_default_reaches_the_chin_and_leaves_eyes_and_ears(face: tuple[np.ndarray, int, int]) -> None:
    points, width, height = face
    mask = blending.MODES[blending.DEFAULT](points, width, height)
    chin = points[17] + (points[152] - points[17]) * 0.4
    assert mask[round(float(chin[1])), round(float(chin[0]))] > 0.6
    for number in (33, 263, 133, 362, 6, 127, 356):
        x, y = np.rint(points[number]).astype(int)
        assert mask[min(y, height - 1), min(x, width - 1)] == 0


def test_the_improved_modes_are_narrower_than_the_rectangle(face: tuple[np.ndarray, int, int]) -> None:
    shares = {mode: float(blending.MODES[mode](*face).mean()) for mode in MODES}
    assert shares["opentalking_improved"] < shares["easy_improved"] < shares["basic"]


def test_a_mouth_outside_of_its_box_shows_nothing() -> None:
    points = np.full((468, 2), -500, np.float32)
    assert not blending.easy_improved(points, 60, 80).any()


def test_colours_are_brought_to_those_around_the_mask() -> None:
    rows, columns = np.mgrid[:64, :64]
    mask = np.clip((24 - np.hypot(rows - 32, columns - 32)) / 10, 0, 1).astype(np.float32)
    original = np.full((64, 64, 3), (90, 120, 160), np.uint8)
    patch = np.full((64, 64, 3), (110, 118, 140), np.uint8)
    patch[28:36, 28:36] = (40, 40, 90)  # the mouth, away from the ring
    matched = blending.matched(patch, original, mask)
    assert np.abs(matched[10, 10].astype(int) - (90, 120, 160)).max() <= 1
    assert np.abs(matched[32, 32].astype(int) - (20, 42, 110)).max() <= 1


def test_without_an_edge_there_is_nothing_to_match() -> None:
    patch = np.full((8, 8, 3), 9, np.uint8)
    assert blending.matched(patch, patch + 50, np.ones((8, 8), np.float32)) is patch
