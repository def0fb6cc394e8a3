from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.models import renderer as renderer_of
from workers.adapters.avatar.base import (
    IDLE_FRAMES,
    AudioWindow,
    Background,
    Box,
    Footage,
    PreparedAvatar,
    Still,
)
from workers.adapters.avatar.pictures import plain, planes, to_bgr, to_i420
from workers.adapters.avatar.viseme import motion
from workers.adapters.avatar.viseme.bundle import pack, unpack
from workers.adapters.avatar.viseme.drawing import Portrait
from workers.adapters.avatar.viseme.prepare import VisemePreparer, idle_frames
from workers.adapters.avatar.viseme.renderer import VisemePose, resting
from workers.adapters.errors import AdapterError, PreparationError

DATA = Path(__file__).resolve().parents[3] / "data"
MOUTH = Box(0.40, 0.62, 0.60, 0.70)


def astronaut() -> np.ndarray:
    return cv2.imread(str(DATA / "astronaut.jpg"))


def drawing(*, alpha: bool = False) -> np.ndarray:
    """A robot's face, which only a person takes for one: a box, one eye and a line."""
    picture = np.full((400, 320, 4), (230, 220, 210, 255), np.uint8)
    if alpha:
        picture[..., 3] = 0
    cv2.rectangle(picture, (40, 60), (280, 380), (150, 190, 230, 255), -1)
    cv2.rectangle(picture, (60, 100), (260, 140), (40, 40, 40, 255), -1)
    cv2.line(picture, (132, 264), (188, 264), (60, 40, 120, 255), 3, cv2.LINE_AA)
    return picture


@pytest.fixture(scope="module")
def smiling() -> PreparedAvatar:
    return VisemePreparer().prepare(Still(astronaut()))


@pytest.fixture(scope="module")
def drawn() -> PreparedAvatar:
    return VisemePreparer().prepare(Still(drawing()), mouth_box=MOUTH)


def frame(prepared: PreparedAvatar, pose: VisemePose, background: np.ndarray | None = None) -> np.ndarray:
    renderer = renderer_of("viseme")
    wall = None if background is None else Background(background)
    stream = renderer.open_stream(renderer.load(prepared.bundle), background=wall)
    return renderer.compose_frame(stream, pose).copy()


def mouth_part(picture: np.ndarray, prepared: PreparedAvatar) -> np.ndarray:
    box, bgr = prepared.mouth_box, to_bgr(picture)
    rows = slice(int(box.top * prepared.height), int(box.bottom * prepared.height) + 1)
    return bgr[rows, int(box.left * prepared.width) : int(box.right * prepared.width) + 1]


def teeth_seen(part: np.ndarray) -> int:
    """Bright pixels without colour."""
    return int(((part.min(axis=2) > 150) & (np.ptp(part, axis=2) < 40)).sum())


def test_a_preparer_tells_the_catalogue_what_it_shows(smiling: PreparedAvatar) -> None:
    assert (smiling.width, smiling.height) == (320, 320)
    assert len(smiling.landmarks) == 468
    assert 0.4 < smiling.mouth_box.left < smiling.mouth_box.right < 0.7
    assert not smiling.has_alpha
    assert smiling.warnings
    assert len(smiling.bundle) < 3_000_000


def test_preparing_twice_gives_the_same_bytes(smiling: PreparedAvatar) -> None:
    assert VisemePreparer().prepare(Still(astronaut())).bundle == smiling.bundle


def test_a_toothy_smile_closes_at_rest(smiling: PreparedAvatar) -> None:
    before = teeth_seen(mouth_part(to_i420(astronaut()), smiling))
    assert before > 40
    assert teeth_seen(mouth_part(frame(smiling, resting(0)), smiling)) < before / 10


def test_an_open_mouth_shows_the_teeth_of_the_portrait(smiling: PreparedAvatar) -> None:
    assert teeth_seen(mouth_part(frame(smiling, VisemePose(0, 0.6, 0.0)), smiling)) > 30


def test_a_closed_mouth_at_rest_is_the_picture_itself(drawn: PreparedAvatar) -> None:
    assert np.array_equal(frame(drawn, resting(0)), to_i420(np.ascontiguousarray(drawing()[..., :3])))


def test_a_drawn_face_talks_where_its_mouth_was_marked(drawn: PreparedAvatar) -> None:
    still, talking = frame(drawn, resting(0)), frame(drawn, VisemePose(0, 0.8, 0.0))
    changed = np.abs(mouth_part(talking, drawn).astype(int) - mouth_part(still, drawn)).max(axis=2) > 40
    assert changed.mean() > 0.2
    assert drawn.landmarks == []
    assert drawn.mouth_box == MOUTH


def test_more_opening_shows_more_of_the_inside(drawn: PreparedAvatar) -> None:
    still = mouth_part(frame(drawn, resting(0)), drawn).astype(int)
    steps = [
        float(np.abs(mouth_part(frame(drawn, VisemePose(0, opening, 0.0)), drawn) - still).mean())
        for opening in (0.1, 0.3, 0.6, 1.0)
    ]
    assert steps == sorted(steps)
    assert steps[0] > 0


def test_nothing_outside_head_and_shoulders_ever_changes(smiling: PreparedAvatar) -> None:
    portrait = Portrait(unpack(smiling.bundle))
    luma = planes(frame(smiling, VisemePose(77, 1.0, -1.0)))[0].astype(int)
    changed = np.abs(luma - planes(to_i420(astronaut()))[0]) > 0
    assert not changed[~portrait.moving()].any()
    assert changed.any()


def test_motion_is_periodic_and_small_from_frame_to_frame() -> None:
    heads = [motion.head_index(number) for number in range(2 * IDLE_FRAMES)]
    assert heads[:IDLE_FRAMES] == heads[IDLE_FRAMES:]
    steps = {(after - before) % motion.HEAD_POSES for before, after in pairwise(heads)}
    assert steps <= {0, 1}
    breaths = [motion.breath_index(number) for number in range(IDLE_FRAMES + 1)]
    assert max(abs(after - before) for before, after in pairwise(breaths)) <= 1
    assert motion.lids(0) == motion.lids(IDLE_FRAMES - 1) == 0


def test_the_first_pose_is_the_portrait_itself() -> None:
    pose = motion.head_pose(0, 200.0)
    assert (pose.dx, pose.dy, pose.turn) == pytest.approx((0, 0, 0))


def test_the_idle_loop_joins_without_a_jump(smiling: PreparedAvatar) -> None:
    frames = [picture.copy() for picture in idle_frames(smiling.bundle)]
    assert len(frames) == smiling.idle_frames == IDLE_FRAMES
    steps = [np.abs(a.astype(int) - b).mean() for a, b in zip(frames, [*frames[1:], frames[0]], strict=True)]
    assert steps[-1] <= np.percentile(steps[:-1], 95)


def test_speech_continues_the_motion_of_idle(smiling: PreparedAvatar) -> None:
    idle = [picture.copy() for picture in idle_frames(smiling.bundle)]
    renderer = renderer_of("viseme")
    stream = renderer.open_stream(renderer.load(smiling.bundle))
    window = AudioWindow(np.zeros(16_000 + 5 * 640 + 2560, np.int16), 16_000, 2560, IDLE_FRAMES + 30, 5)
    poses = renderer.infer(stream, renderer.extract_features(stream, window))
    for pose, expected in zip(poses, idle[30:35], strict=True):
        assert np.array_equal(renderer.compose_frame(stream, pose), expected)


def test_a_frame_does_not_depend_on_the_frames_before_it(smiling: PreparedAvatar) -> None:
    renderer = renderer_of("viseme")
    stream = renderer.open_stream(renderer.load(smiling.bundle))
    for number in (0, 33, 140, 12):
        renderer.compose_frame(stream, VisemePose(number, 0.9, 0.5))
    target = VisemePose(34, 0.2, -0.4)
    assert np.array_equal(renderer.compose_frame(stream, target), frame(smiling, target))


def test_a_blink_changes_the_eyes_and_not_the_brows(smiling: PreparedAvatar) -> None:
    portrait = Portrait(unpack(smiling.bundle))
    number = next(n for n in range(IDLE_FRAMES) if motion.lids(n) == 1.0)
    posed = portrait.posed("head", motion.head_index(number))
    luma = planes(frame(smiling, resting(number)))[0][portrait.head.slices].astype(int)
    changed = np.abs(luma - posed[1][0]) > 12
    points = (np.array(smiling.landmarks) * (320, 320)) - (portrait.head.left, portrait.head.top)
    rows = slice(int(points[105][1]) - 3, int(points[105][1]) + 3)
    assert changed.sum() > 100
    assert not changed[rows, int(points[46][0]) : int(points[276][0])].any()


def test_an_avatar_with_transparency_stands_before_the_background() -> None:
    prepared = VisemePreparer().prepare(Still(drawing(alpha=True)), mouth_box=MOUTH)
    assert prepared.has_alpha
    wall = np.full((400, 320, 3), (200, 40, 40), np.uint8)
    for pose in (resting(0), VisemePose(50, 0.9, -0.5)):
        picture = to_bgr(frame(prepared, pose, wall)).astype(int)
        assert np.abs(picture[5, 5] - wall[5, 5]).max() <= 4
        assert np.abs(picture[200, 160] - (150, 190, 230)).max() <= 6
    bare = to_bgr(frame(prepared, resting(0))).astype(int)
    assert np.abs(bare[5, 5] - plain(320, 400)[5, 5]).max() <= 4


def test_a_background_of_another_size_is_fitted() -> None:
    prepared = VisemePreparer().prepare(Still(drawing(alpha=True)), mouth_box=MOUTH)
    picture = to_bgr(frame(prepared, resting(0), np.full((90, 160, 3), 30, np.uint8)))
    assert picture.shape == (400, 320, 3)
    assert np.abs(picture[5, 5].astype(int) - 30).max() <= 4


def test_a_video_lends_its_best_frame() -> None:
    blank = np.full((320, 320, 3), 128, np.uint8)
    prepared = VisemePreparer().prepare(Footage([blank, astronaut(), blank], 25.0))
    assert len(prepared.landmarks) == 468
    assert any("video" in warning for warning in prepared.warnings)


@pytest.mark.parametrize(
    ("picture", "box", "code"),
    [
        (np.full((320, 320, 3), 128, np.uint8), None, "no_face"),
        (drawing(), None, "no_face"),
        (np.hstack([astronaut()] * 2), None, "several_faces"),
        (cv2.copyMakeBorder(cv2.resize(astronaut(), (160, 160)), 0, 100, 0, 100, 0), None, "face_too_small"),
        (drawing(), Box(0.5, 0.5, 0.51, 0.51), "mouth_not_found"),
        (np.zeros((1, 1, 3), np.uint8), None, "picture_too_small"),
    ],
)
def test_what_cannot_talk_is_refused(picture: np.ndarray, box: Box | None, code: str) -> None:
    with pytest.raises(PreparationError) as caught:
        VisemePreparer().prepare(Still(picture), mouth_box=box)
    assert caught.value.code == code


def test_a_video_without_pictures_is_refused() -> None:
    with pytest.raises(PreparationError) as caught:
        VisemePreparer().prepare(Footage([], 25.0))
    assert caught.value.code == "no_frames"


def test_a_mouth_box_on_a_found_face_moves_its_mouth(smiling: PreparedAvatar) -> None:
    box = smiling.mouth_box
    lower = Box(box.left, box.top + 0.02, box.right, box.bottom + 0.02)
    prepared = VisemePreparer().prepare(Still(astronaut()), mouth_box=lower)
    assert prepared.mouth_box.top == pytest.approx(lower.top, abs=0.005)
    assert len(prepared.landmarks) == 468


def test_progress_grows_to_the_end() -> None:
    reports: list[int] = []
    VisemePreparer().prepare(Still(drawing()), mouth_box=MOUTH, progress=reports.append)
    assert reports == sorted(reports)
    assert reports[-1] == 100


def test_a_bundle_comes_back_as_it_was_packed(smiling: PreparedAvatar) -> None:
    bundle = unpack(smiling.bundle)
    assert pack(bundle) == smiling.bundle


@pytest.mark.parametrize("data", [b"", b"not an archive", b"PK\x03\x04broken"])
def test_a_broken_bundle_is_refused(data: bytes) -> None:
    with pytest.raises(AdapterError) as caught:
        renderer_of("viseme").load(data)
    assert (caught.value.code, caught.value.retryable) == ("bundle_invalid", False)


def test_a_cut_bundle_is_refused(smiling: PreparedAvatar) -> None:
    with pytest.raises(AdapterError):
        renderer_of("viseme").load(smiling.bundle[: len(smiling.bundle) // 2])
