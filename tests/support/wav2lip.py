"""The public Wav2Lip checkpoints as tables of text, and the same networks in plain float64.

`6>16 k7 p3` is a block from 6 to 16 channels with a kernel of 7 and a padding of 3, `r` a block with its
input added, `T` a transposed one. Without a word: kernel 3, stride 1, padding 1; `T`: stride 2 and an
output padding of 1. `*3` repeats.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tests.support import numeric

Floats = NDArray[np.float64]
FACE = "16>32 s2; r*2 | 32>64 s2; r*3 | 64>128 s2; r*2 | 128>256 s2; r*2 | 256>512 s2; r"
AUDIO = "1>32; r*2; 32>64 s3,1; r*2; 64>128 s3; r*2; 128>256 s3,2; r; 256>512 p0; 512>512 k1 p0"
UP = "T1024>512; r*2 | T768>384; r*2 | T512>256; r*2 | T320>128; r*2 | T160>64; r*2"
ENCODERS = {
    96: f"6>16 k7 p3 | {FACE} | 512>512 p0; 512>512 k1 p0",
    256: f"6>16 k7 p3 | {FACE} | 512>512 s2; r | 512>512 k4 p0; 512>512 k1 p0",
    384: "6>16 k7 p3; r*3 | 16>32 s2; r*3 | 32>64 s2; r*3 | 64>128 s2; r*3 | 128>256 s2; r*3"
    " | 256>512 s2; r*3 | 512>1024 s2; r*3 | 1024>1024 p0; 1024>1024 k1 p0; 1024>1024 k1 p0",
}
AUDIOS = {
    96: AUDIO,
    256: AUDIO,
    384: "1>32; r*2; 32>64 s3,1; r*2; 64>128 s3; r*2; 128>256 s3,2; r*2; 256>512; r*2"
    "; 512>1024 p0; 1024>1024 k1 p0",
}
DECODERS = {
    96: f"512>512 k1 p0 | T1024>512 s1 p0; r | {UP}",
    256: f"512>512 k1 p0 | T1024>512 k4 s1 p0; r | T1024>512; r | {UP}",
    384: "1024>1024 k1 p0 | T2048>1024 s1 p0; r | T2048>1024; r*2 | T1536>768; r*2 | T1024>512; r*2"
    " | T640>256; r*2 | T320>128; r*2 | T160>64; r*2",
}
LAYER = re.compile(r"(T?)(\d+)>(\d+)((?: [ksp][\d,]+)*)")


@dataclass(frozen=True)
class Told:
    """One block of the tables."""

    inputs: int
    outputs: int
    kernel: int = 3
    stride: tuple[int, int] = (1, 1)
    padding: int = 1
    residual: bool = False
    transposed: bool = False

    def thinned(self, by: int) -> "Told":
        inputs = self.inputs if self.inputs in {1, 6} else self.inputs // by
        return replace(self, inputs=inputs, outputs=self.outputs // by)


def layers(text: str) -> list[Told]:
    found: list[Told] = []
    for word in (word.strip() for word in text.split(";")):
        if word.startswith("r"):
            channels = found[-1].outputs
            found += [Told(channels, channels, residual=True)] * int(word[2:] or 1)
            continue
        match = LAYER.fullmatch(word)
        assert match is not None, word
        transposed = match[1] == "T"
        marks = {mark[0]: [int(part) for part in mark[1:].split(",")] for mark in match[4].split()}
        stride = marks.get("s", [2 if transposed else 1])
        found.append(
            Told(
                int(match[2]),
                int(match[3]),
                marks.get("k", [3])[0],
                (stride[0], stride[-1]),
                marks.get("p", [1])[0],
                transposed=transposed,
            )
        )
    return found


def blocks(size: int, thin: int = 1) -> dict[str, Told]:
    """All blocks of a checkpoint by the names of their parameters, without `.conv_block`."""
    named = {"output_block.0": Told(80, 32)}
    for stack, texts in (("face_encoder_blocks", ENCODERS), ("face_decoder_blocks", DECODERS)):
        for place, text in enumerate(texts[size].split("|")):
            named |= {f"{stack}.{place}.{number}": layer for number, layer in enumerate(layers(text))}
    named |= {f"audio_encoder.{number}": layer for number, layer in enumerate(layers(AUDIOS[size]))}
    if size == 384:
        named |= {f"audio_refine.{number}": Told(1024, 1024, 1, padding=0) for number in range(2)}
    return {name: layer.thinned(thin) for name, layer in named.items()}


def shapes(size: int, thin: int = 1) -> dict[str, tuple[int, ...]]:
    """Every tensor of a checkpoint, and its shape."""
    found: dict[str, tuple[int, ...]] = {}
    for name, layer in blocks(size, thin).items():
        ends = (layer.inputs, layer.outputs) if layer.transposed else (layer.outputs, layer.inputs)
        found[f"{name}.conv_block.0.weight"] = (*ends, layer.kernel, layer.kernel)
        found[f"{name}.conv_block.0.bias"] = (layer.outputs,)
        for part in ("weight", "bias", "running_mean", "running_var"):
            found[f"{name}.conv_block.1.{part}"] = (layer.outputs,)
        found[f"{name}.conv_block.1.num_batches_tracked"] = ()
    found["output_block.1.weight"], found["output_block.1.bias"] = (3, 32 // thin, 1, 1), (3,)
    if size == 384:
        found["sam.sa.conv1.weight"] = (1, 2, 7, 7)
    return found


def random_state(size: int, thin: int = 1, seed: int = 0) -> dict[str, torch.Tensor]:
    """A checkpoint of noise, strong enough that every part of the network shows in what it draws."""
    rng = np.random.default_rng(seed)
    table, state = blocks(size, thin), {}
    for name, shape in shapes(size, thin).items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(7)
            continue
        values = rng.standard_normal(shape, np.float32) * np.float32(0.1)
        if name.endswith(("running_var", "conv_block.1.weight")):
            values = 0.5 + rng.random(shape, np.float32)
        elif len(shape) == 4:
            # What is added to its input again and again would grow beyond all colours.
            block = table.get(name.removesuffix(".conv_block.0.weight"))
            gain = 0.2 if block is not None and block.residual else 1.2
            values *= np.float32(10 * np.sqrt(gain / np.prod(shape[1:])))
        state[name] = torch.from_numpy(values)
    return state


def plain_state(size: int) -> dict[str, torch.Tensor]:
    """A checkpoint of numbers that tell its parameters apart, made in no time."""
    return {
        name: torch.full(shape, number % 100 / 100) if shape else torch.tensor(number)
        for number, (name, shape) in enumerate(shapes(size).items())
    }


def write_checkpoint(path: Path, size: int = 96) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": random_state(size), "global_step": 1}, path)
    return path


def forward(state: dict[str, torch.Tensor], size: int, mel: Floats, faces: Floats, thin: int = 1) -> Floats:
    """What the network draws: mel (B, 1, 80, 16), faces (B, 6, S, S), 0 to 1, in float64."""
    values = {name: value.double().numpy() for name, value in state.items()}
    table = blocks(size, thin)

    def through(prefix: str, x: Floats) -> Floats:
        for number in range(100):
            name = f"{prefix}.{number}"
            if name not in table:
                return x
            x = _block(values, name, table[name], x)
        raise AssertionError(prefix)

    encoded = []
    for place in range(len(ENCODERS[size].split("|"))):
        faces = through(f"face_encoder_blocks.{place}", faces)
        encoded.append(faces)
    x = through("audio_encoder", mel)
    for place in range(len(DECODERS[size].split("|"))):
        x, e = through(f"face_decoder_blocks.{place}", x), encoded.pop()
        if size == 384:
            seen = np.stack([e.mean(axis=1), e.max(axis=1)], axis=1)
            m = numeric.sigmoid(numeric.conv(seen, values["sam.sa.conv1.weight"], None, (1, 1), 3))
            x = x * m + x
        x = np.concatenate([x, e], axis=1)
    x = _block(values, "output_block.0", table["output_block.0"], x)
    return numeric.sigmoid(
        numeric.conv(x, values["output_block.1.weight"], values["output_block.1.bias"], (1, 1), 0)
    )


def _block(values: dict[str, Floats], name: str, layer: Told, x: Floats) -> Floats:
    weight, bias = values[f"{name}.conv_block.0.weight"], values[f"{name}.conv_block.0.bias"]
    if layer.transposed:
        out = numeric.transposed_conv(x, weight, bias, layer.stride[0], layer.padding)
    else:
        out = numeric.conv(x, weight, bias, layer.stride, layer.padding)
    out = numeric.batch_norm(out, values, f"{name}.conv_block.1")
    return numeric.relu(out + x if layer.residual else out)
