from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from tests.support import models, wav2lip
from tests.support.plates import (
    Arithmetic,
    cut_out,
    filmed,
    noise,
    prepared,
    small,
    wav2lip_config,
    window,
)
from workers.adapters.avatar.alone import Alone
from workers.adapters.avatar.base import AudioWindow, Background, Box, Footage, PreparedAvatar, Still
from workers.adapters.avatar.pictures import planes, to_bgr
from workers.adapters.avatar.plates.plates import Plates
from workers.adapters.avatar.plates.prepare import PlatesPreparer
from workers.adapters.avatar.runtime import Host, Runtime
from workers.adapters.avatar.wav2lip import blending, speaking
from workers.adapters.avatar.wav2lip.renderer import Wav2LipRenderer
from workers.adapters.errors import AdapterError

CHANGE = 40  # grey levels that the arithmetic adds to a face
MODES = ("basic", "easy_improved", "opentalking_improved")


@pytest.fixture(scope="module")
def mei() -> PreparedAvatar:
    return prepared()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose files say which family they are; the arithmetic does the rest."""
    folder = tmp_path_factory.mktemp("weights")
    wav2lip.write_checkpoint(folder / "wav2lip" / "wav2lip.pth")
    return folder


def brighter(mel: np.ndarray, faces: np.ndarray) -> np.ndarray:
    return np.minimum(faces.astype(int) + CHANGE, 255).astype(np.uint8)


def by_sound(mel: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Darker the louder it is: shows which sound was heard for which face."""
    loud = (mel.mean(axis=(1, 2)) + 4) * 12
    return np.clip(faces - loud[:, None, None, None], 0, 255).astype(np.uint8)


def renderer(host: Host, **options: Any) -> Wav2LipRenderer:
    return Wav2LipRenderer(wav2lip_config(**options), Runtime(host))


def drawn(
    made: Wav2LipRenderer, bundle: bytes, *windows: AudioWindow, background: Background | None = None
) -> np.ndarray:
    """All frames of the windows, each in a stream of its own, as other workers would draw them."""
    avatar, pictures = made.load(bundle), []
    for heard in windows:
        stream = made.open_stream(avatar, background=background)
        poses = made.infer(stream, made.extract_features(stream, heard))
        pictures += [made.compose_frame(stream, pose).copy() for pose in poses]
    return np.stack(pictures)


def differences(pictures: np.ndarray, plates: Plates, start: int = 0) -> np.ndarray:
    """What the network changed in each frame: luma, (frames, height, width)."""
    rest = [planes(np.array(plates.i420(plates.index(start + place))))[0] for place in range(len(pictures))]
    return np.stack([planes(picture)[0] for picture in pictures]).astype(int) - np.stack(rest)


@pytest.mark.parametrize("mode", MODES)
def test_only_the_mouth_changes(mei: PreparedAvatar, weights: Path, mode: str) -> None:
    plates = Plates.of(mei.bundle)
    start = 100
    made = renderer(Arithmetic(weights, brighter), blending=mode)
    pictures = drawn(made, mei.bundle, window(noise(6), start, 4))
    change = differences(pictures, plates, start)
    for place in range(4):
        points = plates.points(plates.index(start + place))
        left, _, right, bottom = plates.box(plates.index(start + place))
        rows = np.flatnonzero((change[place] != 0).any(axis=1))
        columns = np.flatnonzero((change[place] != 0).any(axis=0))
        assert left < columns[0]
        assert columns[-1] < right
        assert rows[-1] < bottom + 10  # the pads
        if mode != "basic":
            assert rows[0] > points[blending.NOSE_TIP, 1] - 2
            assert points[159, 1] < rows[0]  # the eyes are far away
        mouth = np.rint(points[[0, 17, 61, 291]].mean(axis=0)).astype(int)
        if mode == "opentalking_improved":
            assert abs(change[place][mouth[1], mouth[0]]) < 8  # the face's brightness is brought back
        else:
            assert abs(change[place][mouth[1], mouth[0]] - CHANGE * 219 / 255) < 4


@pytest.mark.parametrize("mode", ["easy_improved", "basic"])
def test_the_edge_of_the_blend_is_no_step(mei: PreparedAvatar, weights: Path, mode: str) -> None:
    heard = window(noise(2), 5, 1)
    # Against the face as the network saw it: its 96 pixels alone blur the lips.
    plain, changed = (
        planes(drawn(renderer(Arithmetic(weights, made), blending=mode), mei.bundle, heard)[0])[0].astype(int)
        for made in (lambda mel, faces: faces, brighter)
    )
    change = changed - plain
    assert change.max() > 0.8 * CHANGE
    assert max(np.abs(np.diff(change, axis=0)).max(), np.abs(np.diff(change, axis=1)).max()) <= 4


def test_idle_and_speech_share_their_motion(mei: PreparedAvatar, weights: Path) -> None:
    made = renderer(Arithmetic(weights, brighter))
    pictures = drawn(made, mei.bundle, window(noise(15), 240, 20))  # across the end of the loop
    change = differences(pictures, Plates.of(mei.bundle), 240)
    boxes = [Plates.of(mei.bundle).box((240 + place) % 250) for place in range(20)]
    for place, (left, top, right, bottom) in enumerate(boxes):
        outside = change[place].copy()
        outside[top : bottom + 10, left:right] = 0
        assert not outside.any()
    assert np.abs(pictures[9].astype(int) - pictures[0]).max() > 20  # and it does move


def test_in_silence_the_avatar_is_that_of_the_idle_loop(mei: PreparedAvatar, weights: Path) -> None:
    host = Arithmetic(weights, brighter)
    pictures = drawn(renderer(host), mei.bundle, window(np.zeros(160_000, np.int16), 30, 25))
    plates = Plates.of(mei.bundle)
    assert all(np.array_equal(picture, plates.i420(30 + place)) for place, picture in enumerate(pictures))
    assert not host.asked  # nothing was computed for it either


def test_speech_fades_in_and_out_around_its_sound() -> None:
    pcm = np.zeros(40 * 640, np.int16)
    pcm[15 * 640 : 18 * 640] = noise(3 * 0.04)
    shares = speaking.shares(window(pcm, 0, 40), filmed=False)
    assert shares[8:26].tolist() == pytest.approx(
        [0, 0, 0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0, 0, 0]
    )
    assert (speaking.shares(window(pcm, 0, 40), filmed=True) == 1).all()


def test_a_live_utterance_leaves_the_idle_loop_and_returns_to_it() -> None:
    begin = speaking.shares(window(noise(2), 3, 8, live=True, first=True), filmed=False)
    assert begin.tolist() == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 1, 1])
    end = speaking.shares(window(noise(2), 3, 5, live=True, last=True), filmed=True)
    assert end.tolist() == pytest.approx([1, 1, 0.75, 0.5, 0.25])
    assert (speaking.shares(window(noise(2), 3, 8, first=True, last=True), filmed=False) == 1).all()


def test_a_profile_that_gives_too_little_sound_is_refused() -> None:
    with pytest.raises(AdapterError) as caught:
        speaking.shares(window(noise(2), 3, 8, around=2560), filmed=False)
    assert caught.value.code == "model_profile_mismatch"


@pytest.mark.parametrize("cuts", [[0, 9, 20, 45, 60], [0, 1, 2, 31, 60]])
def test_fragments_drawn_apart_join_without_a_seam(
    mei: PreparedAvatar, weights: Path, cuts: list[int]
) -> None:
    pcm = noise(2.4)
    pcm[16_000:24_000] = 0  # with a pause that begins and ends inside of fragments
    whole = drawn(renderer(Arithmetic(weights, by_sound)), mei.bundle, window(pcm, 0, 60))
    parts = [window(pcm, begin, end - begin) for begin, end in pairwise(cuts)]
    assert np.array_equal(drawn(renderer(Arithmetic(weights, by_sound)), mei.bundle, *parts), whole)
    assert np.abs(differences(whole, Plates.of(mei.bundle))).max(axis=(1, 2)).min() == 0
    assert np.abs(differences(whole, Plates.of(mei.bundle))).max(axis=(1, 2)).max() > 15


def test_the_profile_hears_enough_for_that() -> None:
    profile = models.config("wav2lip").profile
    assert (profile.lookback_samples, profile.lookahead_samples) == (3200, 3200)
    assert profile.stateless


def test_all_frames_of_an_utterance_are_drawn(mei: PreparedAvatar, weights: Path) -> None:
    host = Arithmetic(weights, brighter)
    pcm = noise(1.01)  # ends inside of frame 25
    assert len(drawn(renderer(host), mei.bundle, window(pcm, 0, 26))) == 26
    assert sum(rows for rows, _ in host.asked) == 26
    assert max(rows for rows, _ in host.asked) == 8  # of max_batch


def test_work_that_somebody_waits_for_is_marked(mei: PreparedAvatar, weights: Path) -> None:
    host = Arithmetic(weights, brighter)
    drawn(renderer(host), mei.bundle, window(noise(1), 0, 3, live=True), window(noise(1), 3, 2))
    assert host.asked == [(3, True), (2, False)]


def test_the_network_is_shown_the_padded_face(mei: PreparedAvatar, weights: Path) -> None:
    seen = []

    def look(mel: np.ndarray, faces: np.ndarray) -> np.ndarray:
        seen.append((mel, faces))
        return faces

    plates = Plates.of(mei.bundle)
    drawn(renderer(Arithmetic(weights, look), pads="4,10,6,2"), mei.bundle, window(noise(1), 7, 1))
    ((mel, faces),) = seen
    assert mel.shape == (1, 80, 16)
    assert (faces.shape, faces.dtype) == ((1, 96, 96, 3), np.uint8)
    left, top, right, bottom = plates.box(7)
    crop = plates.picture(7)[top - 4 : bottom + 10, left - 6 : right + 2]
    wanted = cv2.resize(crop, (96, 96), interpolation=cv2.INTER_AREA)
    assert np.abs(faces[0].astype(int) - wanted).max() <= 3


def test_a_given_crop_is_used_as_it_is(mei: PreparedAvatar, weights: Path) -> None:
    plates = Plates.of(mei.bundle)
    left, top, right, bottom = (side // 2 for side in plates.box(0))
    crop = Box((left - 9) / 256, (top - 5) / 320, (right + 9) / 256, (bottom + 15) / 320)
    given = PlatesPreparer().prepare(Still(small()), model_crop=crop)
    seen: list[np.ndarray] = []

    def look(mel: np.ndarray, faces: np.ndarray) -> np.ndarray:
        seen.append(faces)
        return faces

    drawn(renderer(Arithmetic(weights, look)), given.bundle, window(noise(1), 0, 1))
    wanted = cv2.resize(
        Plates.of(given.bundle).picture(0)[top - 5 : bottom + 15, left - 9 : right + 9],
        (96, 96),
        interpolation=cv2.INTER_AREA,
    )
    assert np.abs(seen[0][0].astype(int) - wanted).max() <= 3


def test_a_face_that_comes_back_unchanged_changes_nothing_to_be_seen(
    mei: PreparedAvatar, weights: Path
) -> None:
    pictures = drawn(
        renderer(Arithmetic(weights, lambda mel, faces: faces)), mei.bundle, window(noise(2), 9, 2)
    )
    change = np.abs(differences(pictures, Plates.of(mei.bundle), 9))
    assert change.max() < 60  # 96 pixels are fewer than the face has: it is blurred, and no more
    assert change.mean() < 0.4


def test_a_transparent_avatar_speaks_before_its_background(weights: Path) -> None:
    avatar = PlatesPreparer().prepare(Still(cut_out()))
    green = Background(np.full((640, 512, 3), (0, 200, 0), np.uint8))
    made = renderer(Arithmetic(weights, brighter))
    pictures = drawn(made, avatar.bundle, window(noise(2), 5, 2), background=green)
    shown = to_bgr(pictures[1])
    assert np.abs(shown[:30, :30].astype(int) - (0, 200, 0)).max() < 6
    change = differences(pictures, Plates.of(avatar.bundle).before(green), 5)
    assert change.max() > 0.8 * CHANGE


def test_filmed_faces_speak_throughout(weights: Path) -> None:
    avatar = PlatesPreparer().prepare(Footage(filmed(12), 25.0))
    host = Arithmetic(weights, brighter)
    pictures = drawn(renderer(host), avatar.bundle, window(np.zeros(32_000, np.int16), 3, 25))
    plates = Plates.of(avatar.bundle)
    assert (differences(pictures, plates, 3).max(axis=(1, 2)) > 0.8 * CHANGE).all()


def test_a_portrait_is_drawn_by_the_network_itself(mei: PreparedAvatar, weights: Path) -> None:
    torch.set_num_threads(1)
    made = renderer(Alone(weights), checkpoint="wav2lip/wav2lip.pth")
    pcm = noise(1)
    whole = drawn(made, mei.bundle, window(pcm, 2, 5))
    parts = drawn(renderer(Alone(weights)), mei.bundle, window(pcm, 2, 2), window(pcm, 4, 3))
    assert np.abs(whole.astype(int) - parts).max() <= 1
    change = differences(whole, Plates.of(mei.bundle), 2)
    assert np.abs(change).max() > 30
    assert (np.abs(change).max(axis=(1, 2)) > 20).all()
    assert np.abs(change[0] - change[4]).max() > 10  # sound and picture differ, and so does the mouth


@pytest.mark.parametrize("options", [{}, {"checkpoint": "elsewhere.pth"}])
def test_missing_weights_are_named(mei: PreparedAvatar, tmp_path: Path, options: dict[str, str]) -> None:
    with pytest.raises(AdapterError, match=options.get("checkpoint", "wav2lip384.pth")) as caught:
        drawn(renderer(Alone(tmp_path), **options), mei.bundle, window(noise(1), 0, 2))
    assert (caught.value.code, caught.value.retryable) == ("weights_missing", False)


def test_the_largest_network_there_is_is_taken(weights: Path, tmp_path: Path, mei: PreparedAvatar) -> None:
    folder = tmp_path / "wav2lip"
    folder.mkdir()
    (folder / "wav2lip.pth").symlink_to(weights / "wav2lip" / "wav2lip.pth")
    torch.save(wav2lip.plain_state(256), folder / "wav2lip256.pth")
    sizes: list[int] = []

    def look(mel: np.ndarray, faces: np.ndarray) -> np.ndarray:
        sizes.append(faces.shape[1])
        return faces

    drawn(renderer(Arithmetic(tmp_path, look)), mei.bundle, window(noise(1), 0, 1))
    assert sizes == [256]


@pytest.mark.parametrize("name", ["easy_enhanced", "other", None])
def test_blendings_that_are_not_offered_are_refused(weights: Path, name: str | None) -> None:
    with pytest.raises(AdapterError, match="GFPGAN" if name == "easy_enhanced" else "one of") as caught:
        renderer(Alone(weights), blending=name)
    assert caught.value.code == "model_rejected"


@pytest.mark.parametrize("pads", ["1,2,3", "a,b,c,d", "0,0,0,999", 5])
def test_pads_are_four_small_numbers(weights: Path, pads: Any) -> None:
    with pytest.raises(AdapterError, match="pads") as caught:
        renderer(Alone(weights), pads=pads)
    assert caught.value.code == "model_rejected"


def test_the_registry_makes_it(weights: Path) -> None:
    made = models.renderer("wav2lip", {"WAV2LIP_BLENDING": "basic"}, weights=weights)
    assert isinstance(made, Wav2LipRenderer)
    with pytest.raises(AdapterError):
        models.renderer("wav2lip", {"WAV2LIP_BLENDING": "easy_enhanced"}, weights=weights)


def test_it_gets_ready_without_an_avatar(weights: Path, tmp_path: Path) -> None:
    host = Arithmetic(weights, brighter)
    renderer(host).warm()
    assert host.asked == [(8, False)]
    with pytest.raises(AdapterError) as caught:
        renderer(Alone(tmp_path)).warm()
    assert caught.value.code == "weights_missing"


def test_networks_are_shared_by_name_and_sized_for_their_memory(weights: Path, mei: PreparedAvatar) -> None:
    asked: list[tuple[str, int, int]] = []

    class Noting(Alone):
        def network(self, name: str, load: Callable[[], Any], *, memory_mb: int, max_batch: int = 1) -> Any:
            asked.append((name, memory_mb, max_batch))
            return super().network(name, lambda: brighter, memory_mb=memory_mb)

    host = Noting(weights)
    for _ in range(2):
        drawn(renderer(host), mei.bundle, window(noise(1), 0, 2))
    assert asked[0] == asked[1]
    name, memory_mb, max_batch = asked[0]
    assert str(weights) in name
    assert 145 < memory_mb < 400
    assert max_batch == 8


def test_16_bits_need_less_room(weights: Path, mei: PreparedAvatar) -> None:
    asked: list[int] = []

    class Noting(Alone):
        def network(self, name: str, load: Callable[[], Any], *, memory_mb: int, max_batch: int = 1) -> Any:
            asked.append(memory_mb)
            return super().network(name, lambda: brighter, memory_mb=memory_mb)

    for half in (False, True):
        drawn(
            Wav2LipRenderer(replace(wav2lip_config(), max_batch=64), Runtime(Noting(weights, half=half))),
            mei.bundle,
            window(noise(1), 0, 2),
        )
    assert asked[1] < asked[0]
