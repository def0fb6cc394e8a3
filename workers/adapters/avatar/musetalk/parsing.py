"""BiSeNet on a ResNet-18: which part of a face each pixel shows.

The names of the weights are those of the public checkpoint for CelebAMask-HQ (`79999_iter.pth`), whose two
auxiliary heads are loaded and not asked.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from workers.adapters.avatar.musetalk.building import built, placed
from workers.adapters.avatar.musetalk.layout import PARSERS, Layout, missing
from workers.adapters.avatar.runtime import Array, Forward, Host
from workers.adapters.avatar.weights import load_state

PARTS = 19
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Conv(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, inward: int, outward: int, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inward, outward, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outward)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn(self.conv(x)))


class Block(nn.Module):
    """Two convolutions beside a short cut."""

    def __init__(self, inward: int, outward: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inward, outward, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outward)
        self.conv2 = nn.Conv2d(outward, outward, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outward)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or inward != outward:
            shortcut = nn.Conv2d(inward, outward, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(outward))

    def forward(self, x: Tensor) -> Tensor:
        inner = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return functional.relu(inner + (x if self.downsample is None else self.downsample(x)))


class ResNet18(nn.Module):
    """Features at an eighth, a sixteenth and a thirty-second of the picture's size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(Block(64, 64), Block(64, 64))
        self.layer2 = nn.Sequential(Block(64, 128, 2), Block(128, 128))
        self.layer3 = nn.Sequential(Block(128, 256, 2), Block(256, 256))
        self.layer4 = nn.Sequential(Block(256, 512, 2), Block(512, 512))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        eighth = self.layer2(self.layer1(x))
        sixteenth = self.layer3(eighth)
        return eighth, sixteenth, self.layer4(sixteenth)


class Attention(nn.Module):
    """Features, each weighed by what the whole picture shows."""

    def __init__(self, inward: int, outward: int) -> None:
        super().__init__()
        self.conv = Conv(inward, outward)
        self.conv_atten = nn.Conv2d(outward, outward, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(outward)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x * torch.sigmoid(self.bn_atten(self.conv_atten(_mean(x))))


class ContextPath(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.resnet = ResNet18()
        self.arm16 = Attention(256, 128)
        self.arm32 = Attention(512, 128)
        self.conv_head32 = Conv(128, 128)
        self.conv_head16 = Conv(128, 128)
        self.conv_avg = Conv(512, 128, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        eighth, sixteenth, last = self.resnet(x)
        deep = self.arm32(last) + self.conv_avg(_mean(last))
        deep = self.conv_head32(functional.interpolate(deep, sixteenth.shape[2:]))
        near = self.arm16(sixteenth) + deep
        return eighth, self.conv_head16(functional.interpolate(near, eighth.shape[2:]))


class Fusion(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convblk = Conv(256, 256, 1)
        self.conv1 = nn.Conv2d(256, 64, 1, bias=False)
        self.conv2 = nn.Conv2d(64, 256, 1, bias=False)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        x = self.convblk(torch.cat([fine, coarse], dim=1))
        shares = torch.sigmoid(self.conv2(functional.relu(self.conv1(_mean(x)))))
        fused: Tensor = x + x * shares
        return fused


class Head(nn.Module):
    def __init__(self, inward: int, middle: int) -> None:
        super().__init__()
        self.conv = Conv(inward, middle)
        self.conv_out = nn.Conv2d(middle, PARTS, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.conv_out(self.conv(x))
        return scores


class BiSeNet(nn.Module):
    """RGB pictures, normalised as ImageNet's, (n, 3, h, w), to scores of the 19 parts, (n, 19, h, w)."""

    def __init__(self) -> None:
        super().__init__()
        self.cp = ContextPath()
        self.ffm = Fusion()
        self.conv_out = Head(256, 256)
        self.conv_out16 = Head(128, 64)
        self.conv_out32 = Head(128, 64)

    def forward(self, x: Tensor) -> Tensor:
        scores = self.conv_out(self.ffm(*self.cp(x)))
        return functional.interpolate(scores, x.shape[2:], mode="bilinear", align_corners=True)


class Parser:
    """Pictures (n, 512, 512, 3), BGR uint8, to the numbers of parts (n, 512, 512), uint8."""

    def __init__(self, network: BiSeNet) -> None:
        self._network = network

    @torch.inference_mode()
    def __call__(self, *batch: Array) -> Array:
        weight = self._network.cp.resnet.conv1.weight
        pictures = torch.from_numpy(batch[0]).to(weight.device).flip(-1).permute(0, 3, 1, 2)
        mean, deviation = (torch.tensor(three, device=weight.device) for three in (MEAN, DEVIATION))
        scaled = (pictures.float() / 255 - mean[:, None, None]) / deviation[:, None, None]
        parts = self._network(scaled.to(weight.dtype)).argmax(dim=1).to(torch.uint8)
        return np.asarray(parts.cpu().numpy())


def load(layout: Layout, host: Host) -> Forward:
    if layout.parser is None:
        raise missing("the face parser", PARSERS)
    return Parser(placed(built(BiSeNet, load_state(layout.parser), "the face parser"), host))


def _mean(x: Tensor) -> Tensor:
    return functional.adaptive_avg_pool2d(x, 1)
