"""Whisper's encoder, from either layout of its weights, and the five layers that MuseTalk listens to.

V1.0 was trained on openai-whisper's embedding and the outputs of its four blocks; V1.5 on transformers'
hidden states, whose last one went through the final norm and which lack the third block's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from workers.adapters.avatar.musetalk.audio import FLOOR, LAYERS, TOKENS, Context
from workers.adapters.avatar.musetalk.building import built, placed, unknown
from workers.adapters.avatar.musetalk.layout import V1, Layout
from workers.adapters.avatar.runtime import Array, Forward, Host
from workers.adapters.avatar.weights import load_state

HEAD = 64
"""Every Whisper has heads of this size."""
OPENAI = (
    (r"positional_embedding$", "embed_positions.weight"),
    (r"ln_post\.", "layer_norm."),
    (r"blocks\.(\d+)\.attn\.query\.", r"layers.\1.self_attn.q_proj."),
    (r"blocks\.(\d+)\.attn\.key\.", r"layers.\1.self_attn.k_proj."),
    (r"blocks\.(\d+)\.attn\.value\.", r"layers.\1.self_attn.v_proj."),
    (r"blocks\.(\d+)\.attn\.out\.", r"layers.\1.self_attn.out_proj."),
    (r"blocks\.(\d+)\.attn_ln\.", r"layers.\1.self_attn_layer_norm."),
    (r"blocks\.(\d+)\.mlp\.0\.", r"layers.\1.fc1."),
    (r"blocks\.(\d+)\.mlp\.2\.", r"layers.\1.fc2."),
    (r"blocks\.(\d+)\.mlp_ln\.", r"layers.\1.final_layer_norm."),
)
"""openai-whisper's names and those of transformers."""


class Ears:
    """What each frame hears, (n, 80, columns), to the vectors that condition its picture, (n, 50, size).

    The columns stand at the beginning of the window of 30 s, and the rest is filled as the version's own
    code does: with the zeros of a spectrogram, or with the spectrogram of silence.
    """

    def __init__(self, encoder: WhisperEncoder, version: str, context: Context) -> None:
        self._encoder, self._version, self._context = encoder, version, context
        self._width = encoder.config.max_source_positions * 2
        self._filling = 0.0 if version == V1 else FLOOR

    @torch.inference_mode()
    def __call__(self, *batch: Array) -> Array:
        weight = self._encoder.conv1.weight
        heard = torch.from_numpy(batch[0]).to(weight.device, weight.dtype)
        room = self._width - heard.shape[-1]
        states = self.layers(nn.functional.pad(heard, (0, room), value=self._filling))
        first = self._context.first_token
        vectors = torch.stack([state[:, first : first + TOKENS] for state in states], dim=2)
        return np.asarray(vectors.flatten(1, 2).float().cpu().numpy())

    def layers(self, spectrogram: Tensor) -> list[Tensor]:
        """The layers that belong to the version, each (n, tokens, size), of a full window."""
        encoder = self._encoder
        x = nn.functional.gelu(encoder.conv1(spectrogram))
        x = nn.functional.gelu(encoder.conv2(x))
        states = [x.permute(0, 2, 1) + encoder.embed_positions.weight]
        for layer in encoder.layers:
            states.append(layer(states[-1], None))
        if self._version != V1:
            states[-1] = encoder.layer_norm(states[-1])
        return states


def load(layout: Layout, host: Host, context: Context) -> Forward:
    state = encoder_state(load_state(layout.whisper))
    encoder = built(lambda: WhisperEncoder(config(state)), state, "Whisper")
    if len(encoder.layers) + 1 != LAYERS:
        raise unknown("Whisper", f"{len(encoder.layers)} blocks, not {LAYERS - 1}: not whisper-tiny")
    return Ears(placed(encoder, host), layout.version, context)


def encoder_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The encoder's part of a state dictionary of either layout, under the names of transformers."""
    named = {name.removeprefix("model.").removeprefix("encoder."): value for name, value in state.items()}
    kept = {name: value for name, value in named.items() if not name.startswith(("decoder.", "proj_out."))}
    return {renamed(name): value for name, value in kept.items()}


def renamed(name: str) -> str:
    for pattern, replacement in OPENAI:
        name, count = re.subn(rf"^{pattern}", replacement, name)
        if count:
            return name
    return name


def config(state: Mapping[str, Tensor]) -> WhisperConfig:
    """The encoder's sizes, read from its weights. Raises `KeyError` where they are no encoder's."""
    size, bands, _ = state["conv1.weight"].shape
    blocks = 1 + max((int(name.split(".")[1]) for name in state if name.startswith("layers.")), default=-1)
    sizes: dict[str, Any] = {
        "d_model": size,
        "num_mel_bins": bands,
        "encoder_layers": blocks,
        "encoder_attention_heads": math.ceil(size / HEAD),
        "encoder_ffn_dim": len(state["layers.0.fc1.weight"]),
        "max_source_positions": len(state["embed_positions.weight"]),
        "attn_implementation": "sdpa",
    }
    return WhisperConfig(**sizes)
