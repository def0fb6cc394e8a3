from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support import numeric
from tests.support.models import preparer
from workers.adapters.avatar.alone import Alone
from workers.adapters.avatar.plates.prepare import PlatesPreparer
from workers.adapters.avatar.wav2lip import priors, s3fd
from workers.adapters.errors import AdapterError

# Channels in and out, and the kernel.
CONVOLUTIONS = {
    "conv1_1": (3, 64, 3),
    "conv1_2": (64, 64, 3),
    "conv2_1": (64, 128, 3),
    "conv2_2": (128, 128, 3),
    "conv3_1": (128, 256, 3),
    "conv3_2": (256, 256, 3),
    "conv3_3": (256, 256, 3),
    "conv4_1": (256, 512, 3),
    "conv4_2": (512, 512, 3),
    "conv4_3": (512, 512, 3),
    "conv5_1": (512, 512, 3),
    "conv5_2": (512, 512, 3),
    "conv5_3": (512, 512, 3),
    "fc6": (512, 1024, 3),
    "fc7": (1024, 1024, 1),
    "conv6_1": (1024, 256, 1),
    "conv6_2": (256, 512, 3),
    "conv7_1": (512, 128, 1),
    "conv7_2": (128, 256, 3),
    "conv3_3_norm_mbox_conf": (256, 4, 3),
    "conv3_3_norm_mbox_loc": (256, 4, 3),
    "conv4_3_norm_mbox_conf": (512, 2, 3),
    "conv4_3_norm_mbox_loc": (512, 4, 3),
    "conv5_3_norm_mbox_conf": (512, 2, 3),
    "conv5_3_norm_mbox_loc": (512, 4, 3),
    "fc7_mbox_conf": (1024, 2, 3),
    "fc7_mbox_loc": (1024, 4, 3),
    "conv6_2_mbox_conf": (512, 2, 3),
    "conv6_2_mbox_loc": (512, 4, 3),
    "conv7_2_mbox_conf": (256, 2, 3),
    "conv7_2_mbox_loc": (256, 4, 3),
}
NORMS = {"conv3_3_norm": (256, 10), "conv4_3_norm": (512, 8), "conv5_3_norm": (512, 5)}
HEADS = ("conv3_3_norm", "conv4_3_norm", "conv5_3_norm", "fc7", "conv6_2", "conv7_2")
WIDTH, HEIGHT = 72, 56  # odd sizes appear on the way down


def shapes() -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {f"{name}.weight": (size,) for name, (size, _) in NORMS.items()}
    for name, (inputs, outputs, kernel) in CONVOLUTIONS.items():
        found[f"{name}.weight"], found[f"{name}.bias"] = (outputs, inputs, kernel, kernel), (outputs,)
    return found


@cache
def state() -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(5)
    made = {}
    for name, shape in shapes().items():
        values = rng.standard_normal(shape, np.float32)
        if len(shape) == 4:
            # What the last heads look at is not brought to length 1, and large.
            loud = "mbox" in name and "norm" not in name
            values *= np.float32(np.sqrt(2 / np.prod(shape[1:])) * (0.02 if loud else 1))
        elif name.removesuffix(".weight") in NORMS:
            values = np.full(shape, NORMS[name.removesuffix(".weight")][1], np.float32)
        else:
            values *= np.float32(0.1)
        made[name] = torch.from_numpy(values)
    return made


def picture() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def reference(bgr: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each head how likely a face is at each place, and the four numbers of its box; in float64."""
    values = {name: value.double().numpy() for name, value in state().items()}

    def convolved(name: str, x: np.ndarray, stride: int = 1, padding: int = 1) -> np.ndarray:
        return numeric.conv(x, values[f"{name}.weight"], values[f"{name}.bias"], (stride, stride), padding)

    rgb = bgr[:, :, ::-1].astype(np.float64) - np.array([104.0, 117.0, 123.0])
    x, seen = rgb.transpose(2, 0, 1)[None], {}
    for block, count in enumerate((2, 2, 3, 3, 3), 1):
        for number in range(1, count + 1):
            x = numeric.relu(convolved(f"conv{block}_{number}", x))
        if block >= 3:
            length = np.sqrt((x**2).sum(axis=1, keepdims=True)) + 1e-10
            name = f"conv{block}_3_norm"
            seen[name] = x / length * values[f"{name}.weight"][:, None, None]
        x = numeric.halved(x)
    x = numeric.relu(convolved("fc6", x, padding=3))
    seen["fc7"] = x = numeric.relu(convolved("fc7", x, padding=0))
    x = numeric.relu(convolved("conv6_1", x, padding=0))
    seen["conv6_2"] = x = numeric.relu(convolved("conv6_2", x, stride=2))
    x = numeric.relu(convolved("conv7_1", x, padding=0))
    seen["conv7_2"] = numeric.relu(convolved("conv7_2", x, stride=2))
    found = []
    for name in HEADS:
        classes = convolved(f"{name}_mbox_conf", seen[name])[0]
        if name == "conv3_3_norm":
            classes = np.stack([classes[:3].max(axis=0), classes[3]])
        powers = np.exp(classes - classes.max(axis=0))
        found.append((powers[1] / powers.sum(axis=0), convolved(f"{name}_mbox_loc", seen[name])[0]))
    return found


def boxes_by_hand(heads: list[tuple[np.ndarray, np.ndarray]]) -> list[list[float]]:
    """Priors, decoding and suppression, one place and one pair at a time."""
    found = []
    for level, (chance, places) in enumerate(heads):
        stride = 2 ** (level + 2)
        for row in range(chance.shape[0]):
            for column in range(chance.shape[1]):
                if chance[row, column] <= 0.05:
                    continue
                x, y, size = stride / 2 + column * stride, stride / 2 + row * stride, stride * 4
                dx, dy, dw, dh = places[:, row, column]
                x, y = x + dx * 0.1 * size, y + dy * 0.1 * size
                width, height = size * np.exp(dw * 0.2), size * np.exp(dh * 0.2)
                left, top = x - width / 2, y - height / 2
                found.append([left, top, left + width, top + height, chance[row, column]])
    kept: list[list[float]] = []
    for one in sorted(found, key=lambda box: -box[4]):
        if all(_overlap(one, other) <= 0.3 for other in kept):
            kept.append(one)
    return [box for box in kept if box[4] > 0.5]


def _overlap(one: list[float], other: list[float]) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0]) + 1
    height = min(one[3], other[3]) - max(one[1], other[1]) + 1
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (one, other)]
    return width * height / (sum(areas) - width * height)


@pytest.fixture(scope="module")
def heads() -> list[tuple[np.ndarray, np.ndarray]]:
    torch.set_num_threads(1)
    return reference(picture())


def test_parameters_have_the_names_and_shapes_of_the_public_checkpoint() -> None:
    with torch.device("meta"):
        made = s3fd.S3FD()
    assert {name: tuple(value.shape) for name, value in made.state_dict().items()} == shapes()
    assert sum(value.numel() for value in made.parameters()) == 22_459_110


def test_new_scales_are_those_of_the_paper() -> None:
    made = s3fd.S3FD()
    for name, (size, scale) in NORMS.items():
        assert torch.equal(made.get_parameter(f"{name}.weight"), torch.full((size,), float(scale)))


def test_it_sees_what_the_float64_reference_sees(heads: list[tuple[np.ndarray, np.ndarray]]) -> None:
    detect = s3fd.Detector(s3fd.network_of(state()), "cpu", half=False)
    (row,) = detect(picture()[None])
    assert [chance.shape for chance, _ in heads] == priors.grids(WIDTH, HEIGHT)
    wanted = np.concatenate([np.concatenate([chance[None], places]).ravel() for chance, places in heads])
    assert row.shape == wanted.shape
    assert np.abs(row - wanted).max() < 1e-3 * max(1, np.abs(wanted).max())
    assert all(chance.std() > 0.03 for chance, _ in heads)


def test_priors_decoding_and_suppression_agree_with_doing_it_by_hand(
    heads: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    row = np.concatenate([np.concatenate([chance[None], places]).ravel() for chance, places in heads])
    found, wanted = priors.boxes(row.astype(np.float32), WIDTH, HEIGHT), boxes_by_hand(heads)
    assert len(wanted) > 3
    assert np.allclose(found, wanted, rtol=1e-4, atol=1e-3)


def silent(width: int, height: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """What the network says of a picture without faces, and views of each head's part of it."""
    sizes = priors.grids(width, height)
    row = np.zeros(sum(5 * rows * columns for rows, columns in sizes), np.float32)
    parts, begin = [], 0
    for rows, columns in sizes:
        parts.append(row[begin : begin + 5 * rows * columns].reshape(5, rows, columns))
        begin += 5 * rows * columns
    return row, parts


class Says:
    """A network that says the same of every picture."""

    def __init__(self, row: np.ndarray) -> None:
        self.row = row

    def __call__(self, *batch: np.ndarray) -> np.ndarray:
        return self.row[None]


def test_the_most_likely_face_is_taken() -> None:
    row, parts = silent(320, 240)
    parts[2][0, 5, 6] = 0.7  # 64 pixels wide, in the middle of its place
    parts[3][0, 3, 4] = 0.9  # 128 pixels
    network = Alone().network("s3fd", lambda: Says(row), memory_mb=1)
    left, top, right, bottom = priors.best(network, np.zeros((240, 320, 3), np.uint8)) or (0, 0, 0, 0)
    assert (left, top, right, bottom) == (144 - 64, 112 - 64, 144 + 64, 112 + 64)


def test_an_unsure_face_is_none() -> None:
    row, parts = silent(320, 240)
    parts[2][0, 5, 6] = 0.49
    network = Alone().network("s3fd", lambda: Says(row), memory_mb=1)
    assert priors.best(network, np.zeros((240, 320, 3), np.uint8)) is None


def test_numbers_of_another_size_of_picture_are_refused() -> None:
    with pytest.raises(ValueError, match="numbers for a picture"):
        priors.boxes(silent(320, 240)[0], 352, 240)


def test_another_network_is_refused() -> None:
    with pytest.raises(AdapterError, match="S3FD") as caught:
        s3fd.network_of({"conv1_1.weight": torch.zeros(1)})
    assert caught.value.code == "weights_unknown"


def test_a_models_detector_is_read_from_its_file(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    blank = {name: torch.zeros(shape) for name, shape in shapes().items()}
    for name in HEADS:
        blank[f"{name}_mbox_conf.bias"][-1] = 5.0 if name == "fc7" else -5.0  # one face at each of its places
    (tmp_path / "wav2lip").mkdir()
    torch.save(blank, tmp_path / "wav2lip" / "s3fd.pth")
    for name in ("s3fd", "auto"):
        made = preparer("wav2lip", {"WAV2LIP_DETECTOR": name}, weights=tmp_path)
        assert isinstance(made, PlatesPreparer)
        assert made.detect is not None
        assert made.detect(picture()) == (0, 0, WIDTH, HEIGHT)  # of 80 pixels each way, cut
    plain = preparer("wav2lip", {"WAV2LIP_DETECTOR": "mesh"}, weights=tmp_path)
    assert isinstance(plain, PlatesPreparer)
    assert plain.detect is None


def test_large_features_are_scaled_in_16_bits_as_in_32() -> None:
    norm = s3fd._Norm(256, 10.0)
    x = torch.from_numpy(np.random.default_rng(8).uniform(0, 400, (1, 256, 3, 4)).astype(np.float32))
    x[:, :, 0, 0] = 0  # a place where nothing is seen
    with torch.inference_mode():
        whole, half = norm(x), norm.half()(x.half())

    assert half.dtype == torch.float16
    assert torch.isfinite(half).all()
    assert float(whole.abs().max()) > 0.5
    assert torch.allclose(half.float(), whole, atol=5e-3)
