"""S3FD, the face detector that Wav2Lip's faces were cut out with (Zhang et al., 2017).

VGG-16 with six heads, each of which looks for faces of one size; the names of all parameters are those
of the public checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from workers.adapters.avatar import weights
from workers.adapters.avatar.runtime import Forward
from workers.adapters.avatar.wav2lip.loading import checked, plain_names
from workers.adapters.avatar.wav2lip.priors import HEADS

# Blocks of the trunk: channels in, channels out, convolutions. A pooling by 2 follows each.
TRUNK = ((3, 64, 2), (64, 128, 2), (128, 256, 3), (256, 512, 3), (512, 512, 3))
NORMED = {"conv3_3": (256, 10.0), "conv4_3": (512, 8.0), "conv5_3": (512, 5.0)}
MEAN = (104.0, 117.0, 123.0)
"""Taken from RGB although they are the means of BGR: the weights were used like this ever since."""


class _Norm(nn.Module):
    """Scales every pixel's channels to length 1, and then each channel by its weight."""

    def __init__(self, channels: int, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), scale))

    def forward(self, x: Tensor) -> Tensor:
        whole = x.float()  # in 16 bits the squares of what VGG sees are infinite
        length = whole.pow(2).sum(dim=1, keepdim=True).sqrt() + 1e-10
        return (whole / length).to(x.dtype) * self.weight[None, :, None, None]


class S3FD(nn.Module):
    """`forward` takes RGB less `MEAN`, shape (B, 3, H, W).

    It returns for each head, that of the smallest faces first, how likely a face is at each place
    (B, h, w), and where its box lies relative to the place's own (B, 4, h, w).
    """

    def __init__(self) -> None:
        super().__init__()
        for block, (inputs, outputs, count) in enumerate(TRUNK, 1):
            for number in range(1, count + 1):
                layer = nn.Conv2d(inputs if number == 1 else outputs, outputs, 3, padding=1)
                self.add_module(f"conv{block}_{number}", layer)
        self.fc6 = nn.Conv2d(512, 1024, 3, padding=3)
        self.fc7 = nn.Conv2d(1024, 1024, 1)
        self.conv6_1 = nn.Conv2d(1024, 256, 1)
        self.conv6_2 = nn.Conv2d(256, 512, 3, stride=2, padding=1)
        self.conv7_1 = nn.Conv2d(512, 128, 1)
        self.conv7_2 = nn.Conv2d(128, 256, 3, stride=2, padding=1)
        for name, (channels, scale) in NORMED.items():
            self.add_module(f"{name}_norm", _Norm(channels, scale))
        for number, (name, channels) in enumerate(HEADS):
            # The smallest faces look like much else: their background has three classes.
            self.add_module(f"{name}_mbox_conf", nn.Conv2d(channels, 2 if number else 4, 3, padding=1))
            self.add_module(f"{name}_mbox_loc", nn.Conv2d(channels, 4, 3, padding=1))

    def forward(self, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        seen: dict[str, Tensor] = {}
        for block, (_, _, count) in enumerate(TRUNK, 1):
            for number in range(1, count + 1):
                x = functional.relu(self.get_submodule(f"conv{block}_{number}")(x))
            last = f"conv{block}_{count}"
            if last in NORMED:
                seen[f"{last}_norm"] = self.get_submodule(f"{last}_norm")(x)
            x = functional.max_pool2d(x, 2, 2)
        for name in ("fc6", "fc7", "conv6_1", "conv6_2", "conv7_1", "conv7_2"):
            x = seen[name] = functional.relu(self.get_submodule(name)(x))
        return [self._head(name, seen[name]) for name, _ in HEADS]

    def _head(self, name: str, x: Tensor) -> tuple[Tensor, Tensor]:
        classes = self.get_submodule(f"{name}_mbox_conf")(x)
        background = classes[:, :-1].amax(dim=1)
        return torch.sigmoid(classes[:, -1] - background), self.get_submodule(f"{name}_mbox_loc")(x)


class Detector(Forward):
    """Pictures (B, H, W, 3), BGR, uint8, to one row of numbers for each: `priors.boxes` reads them."""

    def __init__(self, network: S3FD, device: str, *, half: bool) -> None:
        self._device, self._type = torch.device(device), torch.float16 if half else torch.float32
        self._network = network.eval().to(self._device, self._type)
        self._mean = torch.tensor(MEAN, device=self._device)[None, :, None, None]

    @torch.inference_mode()
    def __call__(self, *batch: NDArray[Any]) -> NDArray[np.float32]:
        (pictures,) = batch
        bgr = torch.from_numpy(np.ascontiguousarray(pictures)).to(self._device)
        x = (bgr.permute(0, 3, 1, 2).flip(1).float() - self._mean).to(self._type)
        rows = [
            torch.cat([chance[:, None], place], dim=1).flatten(1).float()
            for chance, place in self._network(x)
        ]
        return np.ascontiguousarray(torch.cat(rows, dim=1).cpu().numpy())


def network_of(state: Mapping[str, Any]) -> S3FD:
    """Build the detector of a checkpoint. Raises `AdapterError` (`weights_unknown`)."""
    with torch.device("meta"):
        network = S3FD()
    network.load_state_dict(checked(plain_names(state), network, "S3FD"), strict=True, assign=True)
    network.eval().requires_grad_(requires_grad=False)
    return network


def load(path: Path, device: str, *, half: bool) -> Forward:
    """Load a checkpoint onto a device. Raises `AdapterError`."""
    return Detector(network_of(weights.load_state(path)), device, half=half and device != "cpu")
