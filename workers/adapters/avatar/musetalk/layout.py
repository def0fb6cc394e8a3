"""Which of MuseTalk's published files are there, and so which version is drawn with.

V1.0 is `musetalk/pytorch_model.bin`, V1.5 `musetalkV15/unet.pth`. Both take the same VAE and the same
Whisper, each of which is published in several forms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workers.adapters.avatar.models import ModelConfig, WeightFile
from workers.adapters.avatar.weights import find
from workers.adapters.errors import AdapterError

V1, V15 = "v1", "v15"
AUTO = "auto"
UNETS = {
    V15: ("musetalkV15/unet.safetensors", "musetalkV15/unet.pth"),
    V1: ("musetalk/model.safetensors", "musetalk/pytorch_model.bin"),
}
VAES = tuple(
    f"{folder}/diffusion_pytorch_model.{ending}"
    for ending in ("safetensors", "bin")
    for folder in ("sd-vae", "sd-vae-ft-mse")
)
WHISPERS = ("whisper/model.safetensors", "whisper/pytorch_model.bin", "whisper/tiny.pt")
PARSERS = ("face-parse-bisent/79999_iter.pth", "face-parse-bisenet/79999_iter.pth")


@dataclass(frozen=True, slots=True)
class Layout:
    """Files that belong together; `parser` is None where faces cannot be parsed."""

    version: str
    unet: Path
    unet_config: Path
    vae: Path
    vae_config: Path
    whisper: Path
    parser: Path | None


def found(config: ModelConfig, weights: Path, version: str = AUTO) -> Layout:
    """The files of a version, the newer one where both are there.

    Raises `AdapterError` (`weights_missing`).
    """
    known = {weight.path: weight for weight in config.weights}

    def there(paths: Sequence[str]) -> Path | None:
        path = next((path for path in paths if (weights / path).is_file()), None)
        return None if path is None else find(weights, known.get(path) or plain(path))

    def needed(paths: Sequence[str], what: str) -> Path:
        if (path := there(paths)) is None:
            raise missing(what, paths)
        return path

    versions = (V15, V1) if version == AUTO else (version,)
    chosen = next((one for one in versions if there(UNETS[one])), versions[0])
    unet = needed(UNETS[chosen], "its UNet")
    vae = needed(VAES, "the VAE")
    return Layout(
        version=chosen,
        unet=unet,
        unet_config=needed([f"{unet.parent.name}/musetalk.json"], "the UNet's sizes"),
        vae=vae,
        vae_config=needed([f"{vae.parent.name}/config.json"], "the VAE's sizes"),
        whisper=needed(WHISPERS, "whisper-tiny"),
        parser=there(PARSERS),
    )


def plain(path: str) -> WeightFile:
    """A file of which nothing was published but its name."""
    return WeightFile(path=path, bytes=None, sha256="", licence="", source="", what="", required=False)


def missing(what: str, paths: Sequence[str]) -> AdapterError:
    return AdapterError(
        f"MuseTalk lacks {what}: {' or '.join(paths)} in the folder of weights.",
        provider="musetalk",
        retryable=False,
        code="weights_missing",
    )
