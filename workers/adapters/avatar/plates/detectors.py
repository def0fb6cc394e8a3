"""What finds the box of a face: the bounds of the landmarks, or S3FD where its weights are there."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from workers.adapters.avatar import weights
from workers.adapters.avatar.base import Picture
from workers.adapters.avatar.models import ModelConfig
from workers.adapters.avatar.runtime import Network, Runtime
from workers.adapters.errors import AdapterError

Detect = Callable[[Picture], tuple[float, float, float, float] | None]
"""The box of the face in a BGR picture, in pixels: left, top, right, bottom; None where it sees none."""
MESH, S3FD, AUTO = "mesh", "s3fd", "auto"
FILE = "s3fd.pth"
MEMORY_MB = 2500


def detector(config: ModelConfig, runtime: Runtime) -> Detect | None:
    """The detector that the option `detector` names; None for the landmarks' own bounds.

    `auto` takes S3FD where its weights and torch are there. Raises `AdapterError`.
    """
    name = config.options.get("detector", MESH)
    if name not in {MESH, S3FD, AUTO}:
        raise AdapterError(
            f"The detector of {config.id} is one of {MESH}, {S3FD}, {AUTO}.",
            provider=config.id,
            retryable=False,
            code="model_rejected",
        )
    if name == MESH:
        return None
    file = next((file for file in config.weights if Path(file.path).name == FILE), None)
    there = file is not None and (runtime.host.weights / file.path).is_file()
    if name == AUTO and not (there and find_spec("torch")):
        return None
    if file is None:
        raise AdapterError(
            f"{config.id} knows no weights of S3FD.",
            provider=config.id,
            retryable=False,
            code="weights_missing",
        )
    return _s3fd(weights.find(runtime.host.weights, file), runtime)


def _s3fd(path: Path, runtime: Runtime) -> Detect:
    host = runtime.host
    priors: Any = import_module("workers.adapters.avatar.wav2lip.priors")

    def load() -> Any:
        # Imported here: it loads torch, and only processes that look for faces with it have that.
        module: Any = import_module("workers.adapters.avatar.wav2lip.s3fd")
        return module.load(path, host.device, half=host.half)

    network: Network = host.network(f"s3fd:{path}", load, memory_mb=MEMORY_MB, max_batch=1)

    def detect(picture: Picture) -> tuple[float, float, float, float] | None:
        box: tuple[float, float, float, float] | None = priors.best(network, picture)
        return box

    return detect
