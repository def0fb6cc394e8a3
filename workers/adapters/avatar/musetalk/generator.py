"""The networks that see and paint: a VAE around a UNet that is asked once, at time step 0."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor

from workers.adapters.avatar.musetalk.building import built, placed, unknown
from workers.adapters.avatar.musetalk.layout import Layout
from workers.adapters.avatar.runtime import Array, Forward, Host
from workers.adapters.avatar.weights import load_state

# Both libraries tell mypy too little.
Vae: Any = AutoencoderKL
Unet: Any = UNet2DConditionModel
OLD_NAMES = {
    ".query.": ".to_q.",
    ".key.": ".to_k.",
    ".value.": ".to_v.",
    ".proj_attn.": ".to_out.0.",
}
"""How the VAE's attention was called when its weights were published."""


class Sketcher:
    """Crops of a face, (n, 256, 256, 3) BGR uint8, to what the UNet is given of them, (n, 8, 32, 32).

    The first four channels are the crop with its lower half blacked out, the other four the whole crop.
    Latents are the mode of the VAE's distribution, so that the same crop always gives the same picture.
    """

    def __init__(self, vae: Any) -> None:
        self._vae = vae

    @torch.inference_mode()
    def __call__(self, *batch: Array) -> Array:
        weight = self._vae.encoder.conv_in.weight
        crops = torch.from_numpy(batch[0]).to(weight.device).flip(-1).permute(0, 3, 1, 2)
        faces = crops.to(weight.dtype) / 127.5 - 1
        masked = faces.clone()
        masked[:, :, faces.shape[2] // 2 :] = -1
        latents = torch.cat([self._latents(masked), self._latents(faces)], dim=1)
        return np.asarray(latents.float().cpu().numpy())

    def _latents(self, pictures: Tensor) -> Tensor:
        scaled: Tensor = self._vae.encode(pictures).latent_dist.mode() * self._vae.config.scaling_factor
        return scaled


class Painter:
    """Latents (n, 8, 32, 32) and what was heard (n, 50, 384) to faces (n, 256, 256, 3), BGR uint8."""

    def __init__(self, unet: Any, vae: Any) -> None:
        self._unet, self._vae = unet, vae

    @torch.inference_mode()
    def __call__(self, *batch: Array) -> Array:
        weight = self._unet.conv_in.weight
        latents, heard = (torch.from_numpy(part).to(weight.device, weight.dtype) for part in batch)
        heard = heard + positions(*heard.shape[1:]).to(weight.device, weight.dtype)
        step = torch.zeros(1, dtype=torch.long, device=weight.device)
        painted = self._unet(latents, step, encoder_hidden_states=heard).sample
        decoded = self._vae.decode(painted / self._vae.config.scaling_factor).sample
        levels = ((decoded.float() / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
        return np.asarray(levels.flip(1).permute(0, 2, 3, 1).contiguous().cpu().numpy())


@cache
def positions(length: int, size: int) -> Tensor:
    """Where a vector stands among those of its frame: sines in the even columns, cosines in the odd ones."""
    place = torch.arange(length, dtype=torch.float64)[:, None]
    rate = torch.exp(torch.arange(0, size, 2, dtype=torch.float64) * (-math.log(10_000.0) / size))
    return torch.stack([torch.sin(place * rate), torch.cos(place * rate)], dim=2).flatten(1)


def load_painter(layout: Layout, host: Host) -> Forward:
    sizes = read_sizes(layout.unet_config)
    unet = built(lambda: Unet.from_config(sizes), load_state(layout.unet), "the UNet")
    vae = load_vae(layout)
    if unet.config.in_channels != 2 * vae.config.latent_channels:
        raise unknown("the UNet", f"{unet.config.in_channels} channels in, not twice the VAE's")
    del vae.encoder, vae.quant_conv
    return Painter(placed(unet, host), placed(vae, host))


def load_sketcher(layout: Layout, host: Host) -> Forward:
    vae = load_vae(layout)
    del vae.decoder, vae.post_quant_conv
    return Sketcher(placed(vae, host))


def load_vae(layout: Layout) -> Any:
    sizes = read_sizes(layout.vae_config)
    state = {modern(name): value for name, value in load_state(layout.vae).items()}
    return built(lambda: Vae.from_config(sizes), state, "the VAE")


def modern(name: str) -> str:
    """The name that diffusers gives today to a weight of the VAE."""
    if ".attentions." in name:
        for old, new in OLD_NAMES.items():
            name = name.replace(old, new)
    return name


def read_sizes(path: Path) -> dict[str, Any]:
    try:
        sizes = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise unknown(path.name, "it is no JSON") from error
    if not isinstance(sizes, dict):
        raise unknown(path.name, "it holds no sizes")
    return sizes
