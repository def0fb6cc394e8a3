from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from workers.adapters.avatar.alone import Alone
from workers.adapters.avatar.musetalk import parsing
from workers.adapters.avatar.musetalk.layout import V1, Layout
from workers.adapters.errors import AdapterError


@pytest.fixture(scope="module")
def network() -> parsing.BiSeNet:
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        made = parsing.BiSeNet().eval()
        for name, value in made.state_dict().items():
            if value.ndim == 1:
                value.uniform_(0.5, 1.5) if name.endswith(("weight", "var")) else value.uniform_(-0.2, 0.2)
    return made


def reference(state: dict[str, Tensor], picture: np.ndarray) -> Tensor:
    """The network written out by the names of its weights, in 64 bits: scores of a BGR picture."""
    weights = {name: value.double() for name, value in state.items() if value.is_floating_point()}

    def normed(x: Tensor, name: str) -> Tensor:
        scale = weights[f"{name}.weight"] / torch.sqrt(weights[f"{name}.running_var"] + 1e-5)
        shift = weights[f"{name}.bias"] - weights[f"{name}.running_mean"] * scale
        return x * scale[:, None, None] + shift[:, None, None]

    def conv(x: Tensor, name: str, stride: int = 1) -> Tensor:
        kernel = weights[f"{name}.weight"]
        return functional.conv2d(x, kernel, stride=stride, padding=kernel.shape[2] // 2)

    def module(x: Tensor, name: str) -> Tensor:
        return normed(conv(x, f"{name}.conv"), f"{name}.bn").clamp(min=0)

    def block(x: Tensor, name: str, stride: int) -> Tensor:
        inner = normed(conv(x, f"{name}.conv1", stride), f"{name}.bn1").clamp(min=0)
        inner = normed(conv(inner, f"{name}.conv2"), f"{name}.bn2")
        if f"{name}.downsample.0.weight" in weights:
            x = normed(conv(x, f"{name}.downsample.0", stride), f"{name}.downsample.1")
        return (inner + x).clamp(min=0)

    def mean(x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3), keepdim=True)

    def refined(x: Tensor, name: str) -> Tensor:
        x = module(x, f"{name}.conv")
        return x * torch.sigmoid(normed(conv(mean(x), f"{name}.conv_atten"), f"{name}.bn_atten"))

    def doubled(x: Tensor) -> Tensor:
        return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)

    rgb = torch.from_numpy(picture[:, :, ::-1].copy()).double().permute(2, 0, 1)[None] / 255
    average, spread = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (rgb - average.double()[:, None, None]) / spread.double()[:, None, None]
    x = normed(conv(x, "cp.resnet.conv1", 2), "cp.resnet.bn1").clamp(min=0)
    x = functional.max_pool2d(x, 3, 2, 1)
    features = []
    for layer, stride in (("layer1", 1), ("layer2", 2), ("layer3", 2), ("layer4", 2)):
        x = block(block(x, f"cp.resnet.{layer}.0", stride), f"cp.resnet.{layer}.1", 1)
        features.append(x)
    _, eighth, sixteenth, last = features
    deep = refined(last, "cp.arm32") + module(mean(last), "cp.conv_avg")
    deep = module(doubled(deep), "cp.conv_head32")
    near = module(doubled(refined(sixteenth, "cp.arm16") + deep), "cp.conv_head16")
    fused = module(torch.cat([eighth, near], dim=1), "ffm.convblk")
    shares = torch.sigmoid(conv(conv(mean(fused), "ffm.conv1").clamp(min=0), "ffm.conv2"))
    scores = conv(module(fused + fused * shares, "conv_out.conv"), "conv_out.conv_out")
    return functional.interpolate(scores, picture.shape[:2], mode="bilinear", align_corners=True)


def test_it_computes_what_its_names_say(network: parsing.BiSeNet) -> None:
    picture = np.random.default_rng(3).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    expected = reference(network.state_dict(), picture)

    parts = parsing.Parser(network)(picture[None])

    assert parts.shape == (1, 64, 96)
    best = expected.topk(2, dim=1).values[0]
    sure = (best[0] - best[1]).numpy() > 1e-3
    assert sure.mean() > 0.9
    assert np.array_equal(parts[0][sure], expected.argmax(dim=1)[0].numpy()[sure])
    assert len(np.unique(parts)) > 2


def test_its_names_and_its_size_are_those_of_the_published_file() -> None:
    with torch.device("meta"):
        state = parsing.BiSeNet().state_dict()
    learnt = [
        value.numel()
        for name, value in state.items()
        if not name.endswith(("mean", "var", "num_batches_tracked"))
    ]

    assert (len(state), sum(learnt)) == (191, 13_300_416)
    assert {name.split(".")[0] for name in state} == {"cp", "ffm", "conv_out", "conv_out16", "conv_out32"}
    for name, shape in {
        "cp.resnet.layer4.0.downsample.0.weight": (512, 256, 1, 1),
        "cp.resnet.layer2.1.bn2.num_batches_tracked": (),
        "cp.arm16.conv_atten.weight": (128, 128, 1, 1),
        "cp.arm32.bn_atten.running_mean": (128,),
        "cp.conv_avg.conv.weight": (128, 512, 1, 1),
        "ffm.conv1.weight": (64, 256, 1, 1),
        "conv_out.conv_out.weight": (19, 256, 1, 1),
        "conv_out16.conv.bn.bias": (64,),
        "conv_out32.conv.conv.weight": (64, 128, 3, 3),
    }.items():
        assert state[name].shape == shape, name


def test_the_file_is_loaded_strictly(network: parsing.BiSeNet, tmp_path: Path) -> None:
    state = network.state_dict()
    torch.save(state, tmp_path / "79999_iter.pth")
    layout = Layout(V1, tmp_path, tmp_path, tmp_path, tmp_path, tmp_path, tmp_path / "79999_iter.pth")
    picture = np.random.default_rng(4).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)

    loaded = parsing.load(layout, Alone(tmp_path))

    assert np.array_equal(loaded(picture), parsing.Parser(network)(picture))
    state.pop("ffm.conv1.weight")
    torch.save(state, tmp_path / "79999_iter.pth")
    with pytest.raises(AdapterError, match=r"missing ffm\.conv1\.weight"):
        parsing.load(layout, Alone(tmp_path))
