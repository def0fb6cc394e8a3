"""From a checkpoint to a network that runs: which of the three it is, its names, its device."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from workers.adapters.avatar import weights
from workers.adapters.avatar.runtime import Forward
from workers.adapters.avatar.wav2lip.layers import WAV2LIP_96, WAV2LIP_256, WAV2LIP_384, Family
from workers.adapters.avatar.wav2lip.network import Wav2Lip
from workers.adapters.errors import AdapterError

Bytes = NDArray[np.uint8]
Single = NDArray[np.float32]
State = dict[str, torch.Tensor]


def plain_names(state: Mapping[str, Any]) -> State:
    """The parameters of a checkpoint: out of `state_dict`, and without the `module.` of a parallel run."""
    inner = state.get("state_dict", state)
    return {name.removeprefix("module."): value for name, value in inner.items()}


def family_of(names: Mapping[str, Any]) -> Family:
    """Which network the parameters belong to."""
    if "sam.sa.conv1.weight" in names or any(name.startswith("audio_refine.") for name in names):
        return WAV2LIP_384
    if any(name.startswith("face_encoder_blocks.7.") for name in names):
        return WAV2LIP_256
    return WAV2LIP_96


def family_of_file(path: Path) -> Family:
    """The same of a file. Raises `AdapterError` as `weights.load_state` does."""
    stat = path.stat()
    return _family_of_file(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=32)
def _family_of_file(path: Path, changed: int, size: int) -> Family:
    return family_of(plain_names(weights.load_state(path)))


def network_of(state: Mapping[str, Any]) -> Wav2Lip:
    """Build the network of a checkpoint. Raises `AdapterError` (`weights_unknown`)."""
    names = plain_names(state)
    family = family_of(names)
    with torch.device("meta"):
        network = Wav2Lip(family)
    network.load_state_dict(
        checked(names, network, f"Wav2Lip of {family.size} pixels"), strict=True, assign=True
    )
    network.eval().requires_grad_(requires_grad=False)
    return network


def checked(names: State, network: torch.nn.Module, what: str) -> State:
    """The parameters, if they are exactly those of the network. Raises `AdapterError` (`weights_unknown`)."""
    wanted = network.state_dict()
    wrong = sorted(wanted.keys() ^ names.keys()) or sorted(
        name for name, value in names.items() if value.shape != wanted[name].shape
    )
    if wrong:
        raise AdapterError(
            f"The file holds no {what}: {len(wrong)} parameters differ, such as {wrong[0]}.",
            provider="wav2lip",
            retryable=False,
            code="weights_unknown",
        )
    return {name: _own(value) for name, value in names.items()}


def load(path: Path, device: str, *, half: bool) -> Forward:
    """Load a checkpoint onto a device. Raises `AdapterError`."""
    return Drawn(network_of(weights.load_state(path)), device, half=half and device != "cpu")


class Drawn(Forward):
    """The network as threads use it: mel (B, 80, 16) and BGR faces (B, S, S, 3) to BGR faces, uint8."""

    def __init__(self, network: Wav2Lip, device: str, *, half: bool) -> None:
        network.fuse()
        self._type = torch.float16 if half else torch.float32
        self._device = torch.device(device)
        self._network = network.to(self._device, self._type)
        # Its first argument is the format too, and has no name in the types of torch.
        self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._size = network.family.size

    @torch.inference_mode()
    def __call__(self, *batch: NDArray[Any]) -> Bytes:
        mel, faces = batch
        heard = torch.from_numpy(np.ascontiguousarray(mel, np.float32)).to(self._device, self._type)
        seen = torch.from_numpy(np.ascontiguousarray(faces)).to(self._device)
        drawn = self._network(heard[:, None], masked(seen, self._type))
        levels = (drawn.float() * 255).round_().clamp_(0, 255).to(torch.uint8)
        return np.ascontiguousarray(levels.permute(0, 2, 3, 1).cpu().numpy())


def masked(faces: torch.Tensor, kind: torch.dtype) -> torch.Tensor:
    """What the network sees of faces (B, S, S, 3), 0 to 255: their upper halves, then the whole of them."""
    whole = faces.permute(0, 3, 1, 2).to(kind) / 255
    upper = whole.clone()
    upper[:, :, faces.shape[1] // 2 :] = 0
    return torch.cat([upper, whole], dim=1).contiguous(memory_format=torch.channels_last)


def _own(value: torch.Tensor) -> torch.Tensor:
    """A parameter as the network computes, also from a file of 16 bits."""
    return value.to(torch.float32) if value.is_floating_point() else value
