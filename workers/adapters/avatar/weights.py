"""The files of networks: where they lie, whether they are what was published, and reading them safely."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from workers.adapters.avatar.models import WeightFile
from workers.adapters.errors import AdapterError

BLOCK_BYTES = 1 << 20
TENSORS = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")
"""What files of tensors are called."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of a file: `state` is `ok`, `missing`, `changed`, `refused`, or `present` where
    nothing was published to compare it with. `detail` says it to people; `bytes` is its size here.
    """

    file: WeightFile
    state: str
    detail: str
    bytes: int = 0


def find(folder: Path, file: WeightFile) -> Path:
    """Where a file lies; `AdapterError` (`weights_missing`) where it does not."""
    path = folder / file.path
    if not path.is_file():
        what = f" ({file.what})" if file.what else ""
        raise fault(
            "weights_missing", f"{file.path}{what} is missing; `manage.py models` says where it comes from."
        )
    return path


def lacking(folder: Path, files: Iterable[WeightFile]) -> str:
    """Say which files a model still needs, and "" where it has them; optional ones are not told.

    Of sets that stand for each other, the one that is nearest to complete is told.
    """
    sets: dict[str, dict[str, list[str]]] = {}
    for file in (file for file in files if file.required):
        gone = sets.setdefault(file.choice, {}).setdefault(file.layout, [])
        if not (folder / file.path).is_file():
            gone.append(file.path)
    told = sets.get("", {}).pop("", [])
    for choice in (list(made.values()) for made in sets.values() if made and all(made.values())):
        nearest = min(choice, key=len)
        told.append(" and ".join(nearest) + (" (or another set)" if len(choice) > 1 else ""))
    return f"Missing in {folder}: {'; '.join(told)}." if told else ""


def verify(folder: Path, file: WeightFile, *, progress: Callable[[int], None] = lambda _: None) -> Verdict:
    """Compare a file with what was published of it; `progress` is told each megabyte that was read.

    Raises `OSError` where it cannot be read.
    """
    path = folder / file.path
    if not path.is_file():
        return Verdict(file, "missing", "it is not there")
    size = path.stat().st_size
    if file.bytes is not None and size != file.bytes:
        return Verdict(file, "changed", f"it has {size} bytes instead of {file.bytes}", size)
    if file.sha256:
        found = _sha256(path, progress)
        if found != file.sha256:
            return Verdict(file, "changed", f"its SHA-256 is {found} instead of {file.sha256}", size)
        compared = "size and SHA-256 are" if file.bytes else "its SHA-256 is"
        return Verdict(file, "ok", f"{compared} as published", size)
    if file.bytes is not None:
        return Verdict(file, "ok", "its size is as published; no SHA-256 is known", size)
    return Verdict(file, "present", "nothing was published to compare it with", size)


def readable(folder: Path, verdict: Verdict) -> Verdict:
    """Read a file of tensors as a worker would; `refused` where it would not. Needs torch."""
    path = folder / verdict.file.path
    if verdict.state not in ("ok", "present") or path.suffix not in TENSORS:
        return verdict
    try:
        load_state(path)
    except AdapterError as error:
        return replace(verdict, state="refused", detail=str(error))
    return verdict


def load_state(path: Path) -> dict[str, Any]:
    """A network's tensors by name, on the CPU. Nothing that the file holds is ever run.

    It may be safetensors, or what `torch.save` wrote: tensors by name, whole or below `state_dict` or
    `model_state_dict`; what else lies beside them is left out. Raises `AdapterError`: `weights_unsafe`
    for TorchScript and for pickles that name anything but tensors, `weights_unknown` for a file that is
    damaged or holds no tensors, `weights_missing`, and `package_missing` without torch.
    """
    if not path.is_file():
        raise fault("weights_missing", f"{path.name} is missing.")
    try:
        read: Callable[[Path], dict[str, Any]] = resolve_name("workers.adapters.avatar.tensors:read")
    except ImportError as exc:
        raise fault(
            "package_missing", "Networks need torch and safetensors, and they are not installed."
        ) from exc
    try:
        return read(path)
    except OSError as exc:
        raise fault("weights_unknown", f"{path.name} cannot be read: {exc.strerror}.") from exc


def fault(code: str, message: str) -> AdapterError:
    return AdapterError(message, provider="weights", retryable=False, code=code)


def _sha256(path: Path, progress: Callable[[int], None]) -> str:
    digest, read = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
            read += len(block)
            progress(read)
    return digest.hexdigest()
