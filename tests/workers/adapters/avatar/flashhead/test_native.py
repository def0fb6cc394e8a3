"""FlashHead in the process: the package as it wants to be used, its loop, and sessions by turns."""

import gc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.models import config
from tests.support.remote import bundled, window
from workers.adapters import registry
from workers.adapters.avatar.alone import Alone
from workers.adapters.avatar.flashhead import memory
from workers.adapters.avatar.flashhead import package as packages
from workers.adapters.avatar.flashhead.native import FlashHead, NativeOptions
from workers.adapters.avatar.pictures import planes
from workers.adapters.avatar.runtime import Runtime
from workers.adapters.errors import AdapterError

SIDE = 96


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def made(repository: Path, weights: Path, *, side: int = SIDE, **settings: str) -> FlashHead:
    told = config(
        "flashhead",
        {"FLASHHEAD_BACKEND": "local", "FLASHHEAD_REPOSITORY": str(repository), **settings},
    )
    told = replace(told, profile=replace(told.profile, width=side, height=side))
    renderer = registry.renderer(told, Runtime(Alone(weights), told.endpoint))
    assert isinstance(renderer, FlashHead)
    return renderer


def opened(renderer: FlashHead, seed: int = 3):
    return renderer.open_stream(renderer.load(bundled(SIDE, SIDE, seed)))


def drawn(renderer, stream, heard) -> np.ndarray:
    poses = renderer.infer(stream, renderer.extract_features(stream, heard))
    return np.stack([renderer.compose_frame(stream, pose).copy() for pose in poses])


def voice(frames: int, seed: int = 5) -> np.ndarray:
    """Noise whose loudness changes with every frame."""
    random = np.random.default_rng(seed)
    loud = np.repeat(random.uniform(0, 0.5, frames), 640)
    return (random.uniform(-1, 1, frames * 640) * loud * 32767).astype(np.int16)


def mouths(pictures: np.ndarray) -> list[int]:
    """How many rows the stand-in's black mouth is tall in each picture."""
    found = []
    for picture in pictures:
        luma = planes(picture)[0]
        found.append(int((luma[SIDE * 3 // 4 :, SIDE // 2 - 2 : SIDE // 2 + 2].mean(axis=1) < 24).sum()))
    return found


def wanted(pcm: np.ndarray, start: float = 0.0) -> list[int]:
    """What the stand-in draws of this sound, told once more."""
    level, found = start, []
    for frame in pcm.reshape(-1, 640) / 32768:
        level += 0.4 * (min(1.0, 4 * float(np.sqrt((frame**2).mean()))) - level)
        found.append(round(level * SIDE / 8))
    return found


def test_the_package_is_imported_from_wherever_it_lies_and_the_process_stays_where_it_is(package, tmp_path):
    here = Path.cwd()
    home = package()

    module = packages.inference(str(home))

    assert Path.cwd() == here
    assert module.get_infer_params()["frame_num"] == 33
    assert packages.inference(str(home)) is module
    assert Path(module.__file__).is_relative_to(home)
    with pytest.raises(FileNotFoundError):  # only that module's own paths are bent
        Path("flash_head/configs/infer_params.yaml").read_text()


def test_a_package_that_is_installed_is_found_by_its_name(package, monkeypatch):
    monkeypatch.syspath_prepend(str(package()))

    assert packages.inference("").get_infer_params()["tgt_fps"] == 25


@pytest.mark.parametrize("repository", ["", "/nowhere"])
def test_a_package_that_is_not_there_says_so(repository, package):
    with pytest.raises(AdapterError) as caught:
        packages.inference(repository)
    assert caught.value.code == "package_missing"


def test_a_package_that_lacks_something_says_what(package):
    home = package()
    path = home / "flash_head" / "inference.py"
    path.write_text("import xfuser_that_nobody_has\n" + path.read_text())

    with pytest.raises(AdapterError, match="it needs xfuser_that_nobody_has"):
        packages.inference(str(home))


@pytest.mark.parametrize(("variant", "chunk"), [("lite", 24), ("pro", 28)])
def test_every_frame_is_drawn_from_its_own_sound(package, weights, variant, chunk):
    renderer = made(package(), weights, FLASHHEAD_VARIANT=variant, FLASHHEAD_CHUNK_FRAMES=str(chunk))
    stream, pcm = opened(renderer), voice(2 * chunk)

    shown = drawn(renderer, stream, window(pcm, 0, 2 * chunk))

    assert renderer.profile.chunk_frames == chunk
    assert shown.shape == (2 * chunk, SIDE * 3 // 2, SIDE)
    assert mouths(shown) == pytest.approx(wanted(pcm), abs=1)


def test_chunks_and_a_whole_utterance_look_the_same(package, weights):
    renderer, pcm = made(package(), weights), voice(96)
    whole = drawn(renderer, opened(renderer), window(pcm, 0, 96))
    stream = opened(renderer)
    parts = [drawn(renderer, stream, window(pcm, start, 24)) for start in range(0, 96, 24)]

    assert np.array_equal(np.concatenate(parts), whole)
    assert stream.seams == []


def test_sessions_by_turns_look_as_if_each_were_alone(package, weights):
    renderer = made(package(), weights)
    sounds = {seed: voice(72, seed) for seed in (3, 8)}
    alone = {seed: drawn(renderer, opened(renderer, seed), window(sounds[seed], 0, 72)) for seed in sounds}
    streams = {seed: opened(renderer, seed) for seed in sounds}

    found: dict[int, list[np.ndarray]] = {3: [], 8: []}
    for start in (0, 24, 48):
        for seed, stream in streams.items():
            found[seed].append(drawn(renderer, stream, window(sounds[seed], start, 24)))

    for seed in sounds:
        assert np.array_equal(np.concatenate(found[seed]), alone[seed])
    assert not np.array_equal(alone[3], alone[8])


def test_the_last_chunk_is_filled_up_with_silence_and_cut(package, weights):
    renderer, pcm = made(package(), weights), voice(30)

    shown = drawn(renderer, opened(renderer), window(pcm, 0, 30))

    assert mouths(shown) == pytest.approx(wanted(pcm), abs=1)
    assert len(shown) == 30


def test_reset_begins_at_the_portrait_again(package, weights):
    renderer, pcm = made(package(), weights), voice(24)
    stream = opened(renderer)
    loud = np.full(24 * 640, 12_000, np.int16)
    drawn(renderer, stream, window(loud, 0, 24))

    renderer.reset(stream)
    again = drawn(renderer, stream, window(pcm, 0, 24))

    assert mouths(again) == pytest.approx(wanted(pcm), abs=1)
    assert stream.seams == []


def test_a_window_out_of_order_is_a_seam_and_begins_with_the_sound_before_it(package, weights):
    renderer, pcm = made(package(), weights), voice(96)
    stream = opened(renderer)
    drawn(renderer, stream, window(pcm, 0, 24))

    drawn(renderer, stream, window(pcm, 72, 24))

    assert stream.seams == [72]


def test_what_the_model_remembers_goes_with_the_stream(package, weights):
    renderer = made(package(), weights)
    stream = opened(renderer)
    drawn(renderer, stream, window(voice(24), 0, 24))
    token = stream.speaker._memory.token
    assert memory.remembered(token) is not None

    renderer.close_stream(stream)
    del stream
    gc.collect()

    assert memory.remembered(token) is None


def test_the_package_is_given_eight_seconds_of_sound_that_end_with_the_slice(package, weights, monkeypatch):
    renderer = made(package(), weights)
    stream, pcm = opened(renderer), voice(48)
    drawn(renderer, stream, window(pcm, 0, 24))
    module, heard = packages.inference(""), []
    embedding = module.get_audio_embedding
    monkeypatch.setattr(
        module, "get_audio_embedding", lambda *given: heard.append(given) or embedding(*given)
    )

    drawn(renderer, stream, window(pcm, 24, 24))

    (_, sound, start, end) = heard[0]
    assert (len(sound), start, end) == (128_000, 167, 200)
    assert np.array_equal(sound[-48 * 640 :], pcm.astype(np.float32) / 32768)
    assert not sound[: -48 * 640].any()


def test_the_real_size_and_shapes(package, weights):
    renderer = made(package(width=512, height=512), weights, side=512)
    stream = renderer.open_stream(renderer.load(bundled(512, 512)))

    assert drawn(renderer, stream, window(voice(24), 0, 24)).shape == (24, 768, 512)


def test_an_avatar_of_another_size_is_drawn_at_its_own(package, weights):
    renderer = made(package(), weights)
    stream = renderer.open_stream(renderer.load(bundled(64, 80)))

    assert drawn(renderer, stream, window(voice(24), 0, 24)).shape == (24, 120, 64)


def test_warming_loads_and_draws_once(package, weights):
    renderer = made(package(), weights)
    renderer.warm()

    network = renderer._network.forward  # type: ignore[attr-defined]
    assert network._pipeline.drawn == 1


def test_another_portion_than_the_profile_names_the_setting(package, weights):
    renderer = made(package(), weights, FLASHHEAD_VARIANT="pro")

    with pytest.raises(AdapterError, match="set FLASHHEAD_CHUNK_FRAMES=28") as caught:
        renderer.warm()
    assert caught.value.code == "model_profile_mismatch"


def test_missing_weights_are_named(package, weights):
    (weights / "SoulX-FlashHead-1_3B" / "VAE_LTX" / "config.json").unlink()
    (weights / "SoulX-FlashHead-1_3B" / "VAE_LTX").rmdir()

    with pytest.raises(AdapterError, match="VAE_LTX") as caught:
        made(package(), weights).warm()
    assert caught.value.code == "weights_missing"


def test_a_model_that_needs_a_gpu_says_so_on_a_cpu(package, weights):
    home = package()
    path = home / "flash_head" / "pipeline.py"
    path.write_text(path.read_text().replace('self.device = "cpu"', 'raise RuntimeError("No CUDA GPUs")'))

    with pytest.raises(AdapterError) as caught:
        made(home, weights).warm()
    assert caught.value.code == "device_missing"


def test_rates_that_are_not_ours_are_refused(package, weights):
    with pytest.raises(AdapterError) as caught:
        made(package(tgt_fps=30), weights).warm()
    assert caught.value.code == "model_profile_mismatch"


def test_a_variant_that_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="FLASHHEAD_VARIANT"):
        NativeOptions.read({"variant": "huge"})


def test_a_live_reply_fades_from_and_to_the_idle_loop(package, weights):
    renderer = made(package(), weights)
    stream = opened(renderer)
    loud = np.full(24 * 640, 12_000, np.int16)
    shown = drawn(renderer, stream, window(loud, 0, 24, live=True, first=True, last=True))
    plain = drawn(renderer, opened(renderer), window(loud, 0, 24))

    apart = [np.abs(one.astype(int) - other).mean() for one, other in zip(shown, plain, strict=True)]
    assert apart[10:14] == [0, 0, 0, 0]
    assert min(apart[0], apart[5], apart[-1], apart[-6]) > 0
