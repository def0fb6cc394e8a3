"""The Wav2Lip networks: a face whose lower half is hidden, and sound, to the face that says it.

From the layer tables of the public checkpoints (K R Prajwal et al., "A Lip Sync Expert Is All You
Need", 2020, and the networks for larger faces that follow it); the names of all parameters are theirs.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from workers.adapters.avatar.wav2lip.layers import Family, Layer, Stack


class Block(nn.Module):
    """One `Layer`."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.residual = layer.residual
        sizes = (layer.inputs, layer.outputs, layer.kernel, layer.stride, layer.padding)
        convolution: nn.Module = (
            nn.ConvTranspose2d(*sizes, output_padding=1 if layer.stride == 2 else 0)
            if layer.transposed
            else nn.Conv2d(*sizes)
        )
        self.conv_block = nn.Sequential(convolution, nn.BatchNorm2d(layer.outputs))

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv_block(x)
        return torch.relu(out + x if self.residual else out)

    def fuse(self) -> None:
        """Put the normalisation into the convolution's weights; the network only looks from now on."""
        if len(self.conv_block) == 2:
            convolution, norm = self.conv_block
            transposed = isinstance(convolution, nn.ConvTranspose2d)
            fused = fuse_conv_bn_eval(
                cast("nn.Conv2d", convolution), cast("nn.BatchNorm2d", norm), transposed
            )
            self.conv_block = nn.Sequential(fused)


class _SpatialAttention(nn.Module):
    """Where in the picture to change much, seen from the means and maxima of all channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        seen = torch.cat([x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)], dim=1)
        return torch.sigmoid(cast("Tensor", self.conv1(seen)))


class _Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.sa = _SpatialAttention()

    def forward(self, x: Tensor, encoded: Tensor) -> Tensor:
        # At the bottom x is one pixel and what was encoded 4 x 4: x grows to that size here.
        weights: Tensor = self.sa(encoded)
        return x * weights + x


class Wav2Lip(nn.Module):
    """`forward` takes mel (B, 1, 80, 16) and faces (B, 6, S, S), returns faces (B, 3, S, S), 0 to 1, BGR.

    Channels 0 to 2 of the faces are those whose lower half is black, 3 to 5 the same untouched.
    """

    def __init__(self, family: Family) -> None:
        super().__init__()
        self.family = family
        self.face_encoder_blocks = nn.ModuleList(_stacked(stack) for stack in family.encoder)
        self.audio_encoder = _stacked(family.audio)
        self.face_decoder_blocks = nn.ModuleList(_stacked(stack) for stack in family.decoder)
        self.output_block = nn.Sequential(Block(family.output), nn.Conv2d(family.output.outputs, 3, 1))
        self.sam: nn.Module | None = None
        if family.attentive:
            self.sam = _Attention()
            # In the checkpoints, and without any part in what is drawn.
            bottom = Layer(family.bottom, family.bottom, kernel=1, padding=0)
            self.audio_refine = _stacked((bottom, bottom))

    def forward(self, mel: Tensor, faces: Tensor) -> Tensor:
        encoded = []
        for stack in self.face_encoder_blocks:
            faces = stack(faces)
            encoded.append(faces)
        x = self.audio_encoder(mel)
        for stack in self.face_decoder_blocks:
            x, skipped = stack(x), encoded.pop()
            if self.sam is not None:
                x = self.sam(x, skipped)
            x = torch.cat([x, skipped], dim=1)
        return torch.sigmoid(self.output_block(x))

    def fuse(self) -> None:
        """Make it quicker for drawing; it computes the same."""
        self.eval()
        for part in self.modules():
            if isinstance(part, Block):
                part.fuse()


def _stacked(stack: Stack) -> nn.Sequential:
    return nn.Sequential(*(Block(layer) for layer in stack))
