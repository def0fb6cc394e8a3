"""MuseTalk's files with small random networks: laid out and named like the published ones.

`write(folder)` makes a folder of weights that the adapter takes for MuseTalk's; what it then paints is noise.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import WhisperConfig, WhisperModel

UNET = {
    "_class_name": "UNet2DConditionModel",
    "_diffusers_version": "0.6.0.dev0",
    "act_fn": "silu",
    "attention_head_dim": 8,
    "block_out_channels": [320, 640, 1280, 1280],
    "center_input_sample": False,
    "cross_attention_dim": 384,
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": 8,
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-05,
    "norm_num_groups": 32,
    "out_channels": 4,
    "sample_size": 64,
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
}
"""`musetalk.json` of both versions."""
VAE = {
    "_class_name": "AutoencoderKL",
    "_diffusers_version": "0.4.2",
    "act_fn": "silu",
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "in_channels": 3,
    "latent_channels": 4,
    "layers_per_block": 2,
    "norm_num_groups": 32,
    "out_channels": 3,
    "sample_size": 256,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
}
"""`config.json` of sd-vae-ft-mse."""
SIZE = 64
SMALL_UNET = UNET | {
    "attention_head_dim": 2,
    "block_out_channels": [8, 8, 16, 16],
    "cross_attention_dim": SIZE,
    "layers_per_block": 1,
    "norm_num_groups": 4,
}
SMALL_VAE = VAE | {"block_out_channels": [4, 4, 8, 8], "layers_per_block": 1, "norm_num_groups": 2}
SMALL_WHISPER: dict[str, Any] = {
    "d_model": SIZE,
    "encoder_layers": 4,
    "encoder_attention_heads": 1,
    "encoder_ffn_dim": 2 * SIZE,
    "decoder_layers": 1,
    "decoder_attention_heads": 1,
    "decoder_ffn_dim": SIZE,
    "max_source_positions": 110,
    "num_mel_bins": 80,
    "vocab_size": 20,
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "decoder_start_token_id": 0,
}
WHISPER_TINY = SMALL_WHISPER | {
    "d_model": 384,
    "encoder_attention_heads": 6,
    "encoder_ffn_dim": 1536,
    "max_source_positions": 1500,
}


def unet(seed: int = 1) -> nn.Module:
    made = drawn(UNet2DConditionModel.from_config, SMALL_UNET, seed)
    for name, part in made.named_parameters():
        if ".attn2.to_out" in name or ".attn2.to_v" in name:
            part.data *= 24  # so that what is heard shows
        if name.startswith("conv_out"):
            part.data *= 4
    return made


def vae(seed: int = 2) -> nn.Module:
    return drawn(AutoencoderKL.from_config, SMALL_VAE, seed)


def whisper(seed: int = 3, **sizes: int) -> nn.Module:
    made = drawn(lambda told: WhisperModel(WhisperConfig(**told)), SMALL_WHISPER | sizes, seed)
    for name, part in made.named_parameters():
        if name.startswith("encoder.conv"):
            part.data *= 6  # so that sound tells more than where in the window it stands
    return made


def drawn(make: Any, sizes: dict[str, Any], seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made: nn.Module = make(sizes).eval()
        for part in made.parameters():
            if part.ndim == 1:  # norms and biases begin as ones and zeros, which hide mistakes
                part.data += 0.1 * torch.randn_like(part)
    return made


@cache
def states() -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    return unet().state_dict(), vae().state_dict(), whisper().state_dict()


def write(folder: Path, *, version: str = "v15", safe: bool = True, openai: bool | None = None) -> Path:
    """Lay out all files of a version; `safe` takes safetensors where they are published."""
    home = folder / {"v1": "musetalk", "v15": "musetalkV15"}[version]
    home.mkdir(parents=True, exist_ok=True)
    (home / "musetalk.json").write_text(json.dumps(SMALL_UNET))
    torch.save(states()[0], home / {"v1": "pytorch_model.bin", "v15": "unet.pth"}[version])
    see = folder / "sd-vae"
    see.mkdir(exist_ok=True)
    (see / "config.json").write_text(json.dumps(SMALL_VAE))
    keep(published_vae(states()[1]), see / "diffusion_pytorch_model", safe=safe)
    hear = folder / "whisper"
    hear.mkdir(exist_ok=True)
    if (version == "v1") if openai is None else openai:
        state = openai_whisper(states()[2])
        torch.save({"dims": {"n_mels": 80, "n_audio_layer": 4}, "model_state_dict": state}, hear / "tiny.pt")
    else:
        state = {f"model.{name}": value for name, value in states()[2].items()}
        keep(state, hear / ("model" if safe else "pytorch_model"), safe=safe)
    return folder


def keep(state: dict[str, Tensor], path: Path, *, safe: bool) -> None:
    whole = {name: value.detach().contiguous().clone() for name, value in state.items()}
    if safe:
        save_file(whole, path.with_suffix(".safetensors"))
    else:
        torch.save(whole, path.with_suffix(".bin"))


def published_vae(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The names of the VAE's attention in the published file, which is older than today's names."""
    old = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}

    def named(name: str) -> str:
        for new, before in old.items():
            name = name.replace(new, before)
        return name

    return {named(name): value for name, value in state.items()}


def openai_whisper(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A Whisper of transformers under the names of openai-whisper, 16 bit as `tiny.pt` is."""
    made: dict[str, Tensor] = {"decoder.positional_embedding": torch.zeros(4, SIZE)}
    for name, value in state.items():
        if name.startswith("encoder."):
            made[openai_name(name)] = value.half()
    return made


def openai_name(name: str) -> str:
    whole = {
        "encoder.embed_positions.weight": "encoder.positional_embedding",
        "encoder.layer_norm.weight": "encoder.ln_post.weight",
        "encoder.layer_norm.bias": "encoder.ln_post.bias",
    }
    if name in whole:
        return whole[name]
    parts = {
        ".layers.": ".blocks.",
        ".self_attn_layer_norm.": ".attn_ln.",
        ".self_attn.q_proj.": ".attn.query.",
        ".self_attn.k_proj.": ".attn.key.",
        ".self_attn.v_proj.": ".attn.value.",
        ".self_attn.out_proj.": ".attn.out.",
        ".fc1.": ".mlp.0.",
        ".fc2.": ".mlp.2.",
        ".final_layer_norm.": ".mlp_ln.",
    }
    for theirs, ours in parts.items():
        name = name.replace(theirs, ours)
    return name
