"""The files of networks: where they lie, whether they are what was published, and reading them safely."""

from pathlib import Path
from typing import Any

from workers.adapters.avatar.models import WeightFile
from workers.adapters.errors import AdapterError


def find(folder: Path, file: WeightFile) -> Path:
    """Where a file lies; `AdapterError` (`weights_missing`) where it does not."""
    path = folder / file.path
    if not path.is_file():
        raise AdapterError(
            f"{file.path} is missing ({file.what}); `manage.py models` says where it comes from.",
            provider="weights",
            retryable=False,
            code="weights_missing",
        )
    return path


def load_state(path: Path) -> dict[str, Any]:
    """A network's tensors by name. Nothing in the file is ever executed.

    safetensors, or what `torch.save` wrote of tensors alone, whole or under `state_dict` or
    `model_state_dict`; `AdapterError` (`weights_unsafe`) for everything else.
    """
    raise NotImplementedError
