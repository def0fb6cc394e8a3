from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support import wav2lip as reference
from workers.adapters.avatar.wav2lip import loading
from workers.adapters.avatar.wav2lip.layers import FAMILIES, Family, Layer, Stack
from workers.adapters.avatar.wav2lip.network import Wav2Lip
from workers.adapters.errors import AdapterError

THIN = {96: 4, 256: 8, 384: 16}  # they are compared with a part of their channels
PARAMETERS = {96: 36_298_035, 256: 53_605_683, 384: 172_667_525}
TENSORS = {96: 352, 256: 380, 384: 507}
BY_SIZE = {family.size: family for family in FAMILIES}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def thinned(family: Family, by: int) -> Family:
    def stack(layers: Stack) -> Stack:
        return tuple(layer_thinned(layer) for layer in layers)

    def layer_thinned(layer: Layer) -> Layer:
        inputs = layer.inputs if layer.inputs in {1, 6} else layer.inputs // by
        return replace(layer, inputs=inputs, outputs=layer.outputs // by)

    return replace(
        family,
        encoder=tuple(stack(layers) for layers in family.encoder),
        audio=stack(family.audio),
        decoder=tuple(stack(layers) for layers in family.decoder),
        output=layer_thinned(family.output),
    )


@cache
def expected(size: int) -> np.ndarray:
    """What the reference draws of `noise`, (1, 3, S, S)."""
    mel, faces = noise(size)
    state = reference.random_state(size, THIN[size])
    return reference.forward(state, size, mel[:, None].astype(np.float64), seen(faces), THIN[size])


def network(size: int) -> Wav2Lip:
    made = Wav2Lip(thinned(BY_SIZE[size], THIN[size]))
    made.load_state_dict(reference.random_state(size, THIN[size]), strict=True)
    return made.eval()


def noise(size: int, count: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(size)
    mel = rng.uniform(-4, 4, (count, 80, 16)).astype(np.float32)
    return mel, rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def seen(faces: np.ndarray) -> np.ndarray:
    """The six channels, made the long way: rows from S/2 on are black in the first three."""
    whole = faces.astype(np.float64).transpose(0, 3, 1, 2) / 255
    upper = whole.copy()
    upper[:, :, faces.shape[1] // 2 :] = 0
    return np.concatenate([upper, whole], axis=1)


@pytest.mark.parametrize("size", [96, 256, 384])
def test_parameters_have_the_names_and_shapes_of_the_public_checkpoints(size: int) -> None:
    with torch.device("meta"):
        made = Wav2Lip(BY_SIZE[size])
    found = {name: tuple(value.shape) for name, value in made.state_dict().items()}
    assert found == reference.shapes(size)
    assert len(found) == TENSORS[size]
    assert sum(value.numel() for value in made.parameters()) == PARAMETERS[size]


@pytest.mark.parametrize("size", [96, 256, 384])
def test_it_draws_what_the_float64_reference_draws(size: int) -> None:
    made, wanted = network(size), expected(size)
    mel, faces = noise(size)
    assert wanted.std() > 0.05  # noise that all came out grey would agree with anything
    with torch.inference_mode():
        drawn = made(torch.from_numpy(mel[:, None]), torch.from_numpy(seen(faces)).float()).numpy()
    assert drawn.shape == (1, 3, size, size)
    assert np.abs(drawn - wanted).max() < 1e-4


@pytest.mark.parametrize("size", [96, 256, 384])
def test_pictures_in_and_out_are_bytes(size: int) -> None:
    made, wanted = network(size), expected(size)
    mel, faces = noise(size)
    drawn = loading.Drawn(made, "cpu", half=False)(mel, faces)
    assert drawn.dtype == np.uint8
    assert drawn.shape == (1, size, size, 3)
    assert np.abs(drawn - wanted.transpose(0, 2, 3, 1) * 255).max() < 0.6  # half a level, and rounding


def test_sixteen_bits_draw_nearly_the_same() -> None:
    mel, faces = noise(96)
    full = loading.Drawn(network(96), "cpu", half=False)(mel, faces)
    half = loading.Drawn(network(96), "cpu", half=True)(mel, faces)
    away = np.abs(half.astype(int) - full)
    assert 0 < away.max() <= 6
    assert away.mean() < 0.5


def test_the_lower_half_is_hidden_from_the_first_three_channels_alone() -> None:
    _, faces = noise(96, 2)
    made = loading.masked(torch.from_numpy(faces), torch.float32).numpy()
    assert np.allclose(made, seen(faces), atol=1e-7)
    assert (made[:, :3, 48:] == 0).all()
    assert (made[:, :3, 47] > 0).any()


def test_each_of_a_batch_is_drawn_as_if_alone() -> None:
    made = loading.Drawn(network(96), "cpu", half=False)
    mel, faces = noise(96, 3)
    together = made(mel, faces)
    for place in range(3):
        alone = made(mel[place : place + 1], faces[place : place + 1])
        assert np.abs(alone[0].astype(int) - together[place]).max() <= 1
    assert np.abs(together[0].astype(int) - together[1]).max() > 20


@pytest.mark.parametrize("size", [96, 256, 384])
def test_the_family_is_seen_from_the_names(size: int) -> None:
    assert loading.family_of(reference.shapes(size)).size == size


def test_the_unused_refining_blocks_alone_tell_the_large_family() -> None:
    names = {name: None for name in reference.shapes(384) if not name.startswith("sam.")}
    assert loading.family_of(names).size == 384


@pytest.mark.parametrize(
    ("wrapped", "prefix"), [(False, ""), (True, ""), (False, "module."), (True, "module.")]
)
def test_checkpoints_load_as_they_were_saved(wrapped: bool, prefix: str) -> None:
    state = reference.plain_state(96)
    saved = {f"{prefix}{name}": value for name, value in state.items()}
    made = loading.network_of({"state_dict": saved, "optimizer": {}} if wrapped else saved)
    found = made.state_dict()
    assert all(torch.equal(found[name], value) for name, value in state.items())
    assert not made.training


def test_only_one_leading_module_is_taken_off() -> None:
    assert list(loading.plain_names({"module.module.x": 1})) == ["module.x"]


def test_sixteen_bit_files_compute_in_32() -> None:
    state = {
        name: value.half() if value.is_floating_point() else value
        for name, value in reference.plain_state(96).items()
    }
    made = loading.network_of(state)
    assert {value.dtype for value in made.parameters()} == {torch.float32}


@pytest.mark.parametrize("fault", ["missing", "more", "shape"])
def test_what_is_no_checkpoint_of_it_is_refused(fault: str) -> None:
    state = reference.plain_state(96)
    if fault == "missing":
        del state["audio_encoder.3.conv_block.1.running_var"]
    elif fault == "more":
        state["face_encoder_blocks.0.1.conv_block.0.bias"] = torch.zeros(16)
    else:
        state["output_block.1.weight"] = torch.zeros(3, 33, 1, 1)
    with pytest.raises(AdapterError, match="1 parameters differ") as caught:
        loading.network_of(state)
    assert (caught.value.code, caught.value.retryable) == ("weights_unknown", False)


def test_a_file_becomes_a_network(tmp_path: Path) -> None:
    path = reference.write_checkpoint(tmp_path / "wav2lip.pth")
    assert loading.family_of_file(path).size == 96
    mel, faces = noise(96)
    made = Wav2Lip(BY_SIZE[96])
    made.load_state_dict(reference.random_state(96))
    wanted = loading.Drawn(made, "cpu", half=False)(mel, faces)
    assert wanted.std() > 10
    assert np.array_equal(
        loading.load(path, "cpu", half=True)(mel, faces), wanted
    )  # a CPU has no fast 16 bits
