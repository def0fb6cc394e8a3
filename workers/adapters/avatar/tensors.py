"""Reads tensors from files without running anything that a file holds. Imports torch: see `weights`."""

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from workers.adapters.avatar.weights import fault

WRAPPERS = ("state_dict", "model_state_dict")
MAX_WRAPPERS = 4


def read(path: Path) -> dict[str, Tensor]:
    """See `weights.load_state`."""
    with path.open("rb") as file:
        start = file.read(9)
    if start[8:] == b"{":  # eight bytes of length, then JSON
        return _checked(_safetensors(path), path)
    zipped = zipfile.is_zipfile(path)
    if zipped and _is_script(path):
        raise fault("weights_unsafe", f"{path.name} is a TorchScript program; the plain weights are needed.")
    return _checked(_saved(path, mmap=zipped), path)


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path, device="cpu")
    except (SafetensorError, OSError, ValueError) as exc:
        raise fault("weights_unknown", f"{path.name} is damaged: {exc}") from exc


def _is_script(path: Path) -> bool:
    """TorchScript carries programs in `code/` and its constants beside its data."""
    try:
        with zipfile.ZipFile(path) as archive:
            inner = [name.partition("/")[2] for name in archive.namelist()]
    except zipfile.BadZipFile as exc:
        raise fault("weights_unknown", f"{path.name} is damaged.") from exc
    return any(name == "constants.pkl" or name.startswith("code/") for name in inner)


def _saved(path: Path, *, mmap: bool) -> Any:
    try:
        if mmap and path.suffix != ".safetensors":  # whose name would choose the reader
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        with path.open("rb") as file:
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as exc:
        # What it says is long, and tells how to run the file regardless.
        raise fault(
            "weights_unsafe",
            f"{path.name} is damaged, or holds more than tensors, which would have to be run to be read. "
            "Its weights alone are needed, as safetensors or saved by torch.",
        ) from exc
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError, EOFError, OSError) as exc:
        # Whatever torch's reader stumbles over in a file that somebody cut off or made up.
        raise fault("weights_unknown", f"{path.name} cannot be read as weights.") from exc


def _checked(content: Any, path: Path) -> dict[str, Tensor]:
    for _ in range(MAX_WRAPPERS):
        if not isinstance(content, Mapping):
            break
        inner = next((content[name] for name in WRAPPERS if isinstance(content.get(name), Mapping)), None)
        if inner is None:
            break
        content = inner
    if not isinstance(content, Mapping):
        raise fault("weights_unknown", f"{path.name} holds no tensors by name.")
    state = {
        name: value.detach()
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, Tensor) and value.layout == torch.strided
    }
    if not state:
        raise fault("weights_unknown", f"{path.name} holds no tensors by name.")
    return state
