"""`wav2lip`: the mouth of a face, drawn by a network into moving pictures of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.adapters.avatar import weights
from workers.adapters.avatar.base import I420, AudioWindow, Background, Picture, Renderer, Warmable
from workers.adapters.avatar.models import ModelConfig
from workers.adapters.avatar.plates.plates import PIXELS, Plates
from workers.adapters.avatar.runtime import Network, Runtime
from workers.adapters.avatar.wav2lip import blending, mel, speaking
from workers.adapters.errors import AdapterError

Single = NDArray[np.float32]
Bytes = NDArray[np.uint8]
PADS = (0, 10, 0, 0)
"""Pixels around the face's box: top, bottom, left, right."""
WIDE = 300  # channels of the network's own size that it holds at a time


@dataclass(frozen=True, slots=True)
class Region:
    """Where a mouth is drawn in one picture: the network's box, and the part of it that shows."""

    box: PIXELS
    shown: PIXELS
    mask: Bytes


@dataclass(slots=True)
class Wav2LipStream:
    plates: Plates
    frame: I420
    regions: dict[bytes, Region]


@dataclass(slots=True)
class Wav2LipAvatar:
    """A loaded avatar; `regions` are found once for each position of the face."""

    plates: Plates
    regions: dict[bytes, Region] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wav2LipFeatures:
    start_frame: int
    mel: Single
    shares: Single
    live: bool


@dataclass(frozen=True, slots=True)
class Wav2LipPose:
    """One frame: which picture, and the face to lay over it, of the network's size."""

    index: int
    share: float = 0.0
    face: Picture | None = None


class Wav2LipRenderer(Renderer, Warmable):
    def __init__(self, config: ModelConfig, runtime: Runtime) -> None:
        self.profile = config.profile
        self._config, self._host = config, runtime.host
        self._mode = blending.mode(config.options.get("blending", blending.DEFAULT))
        self._pads = _pads(config.options.get("pads", PADS))
        self._network: tuple[int, Network] | None = None

    def warm(self) -> None:
        """Load the network, and run it once with its largest batch. Raises `AdapterError`."""
        size, network = self._loaded()
        rows = max(1, self._config.max_batch)
        network.run(
            np.zeros((rows, mel.BANDS, mel.STEP), np.float32), np.zeros((rows, size, size, 3), np.uint8)
        )

    def load(self, bundle: bytes) -> Wav2LipAvatar:
        return Wav2LipAvatar(Plates.of(bundle))

    def open_stream(
        self, avatar: Wav2LipAvatar, *, start_frame: int = 0, background: Background | None = None
    ) -> Wav2LipStream:
        plates = avatar.plates.before(background)
        frame = np.empty((plates.height * 3 // 2, plates.width), np.uint8)
        return Wav2LipStream(plates, frame, avatar.regions)

    def extract_features(self, stream: Wav2LipStream, window: AudioWindow) -> Wav2LipFeatures:
        shares = speaking.shares(window, filmed=stream.plates.filmed)
        return Wav2LipFeatures(window.start_frame, mel.windows(window), shares, window.live)

    def infer(self, stream: Wav2LipStream, features: Wav2LipFeatures) -> Sequence[Wav2LipPose]:
        plates = stream.plates
        frames = range(features.start_frame, features.start_frame + len(features.shares))
        poses = [Wav2LipPose(plates.index(frame)) for frame in frames]
        spoken = np.flatnonzero(features.shares > 0).tolist()
        most = max(1, self._config.max_batch)
        for begin in range(0, len(spoken), most):
            places = spoken[begin : begin + most]
            faces = self._drawn(stream, features, places, [poses[place].index for place in places])
            for place, face in zip(places, faces, strict=True):
                poses[place] = Wav2LipPose(poses[place].index, float(features.shares[place]), face)
        return poses

    def compose_frame(self, stream: Wav2LipStream, pose: Wav2LipPose) -> I420:
        np.copyto(stream.frame, stream.plates.i420(pose.index))
        if pose.face is not None:
            self._lay(stream, pose, pose.face)
        return stream.frame

    def _drawn(
        self, stream: Wav2LipStream, features: Wav2LipFeatures, places: list[int], indices: list[int]
    ) -> Bytes:
        size, network = self._loaded()
        crops = [
            _resized(stream.plates.part(index, self._region(stream, index).box), size) for index in indices
        ]
        return network.run(features.mel[places], np.stack(crops), live=features.live)

    def _lay(self, stream: Wav2LipStream, pose: Wav2LipPose, face: Picture) -> None:
        region = self._region(stream, pose.index)
        left, top, right, bottom = region.box
        face = np.asarray(
            cv2.resize(face, (right - left, bottom - top), interpolation=cv2.INTER_CUBIC), np.uint8
        )
        shown = region.shown
        patch = face[shown[1] - top : shown[3] - top, shown[0] - left : shown[2] - left]
        mask = region.mask.astype(np.float32) * np.float32(1 / 255)
        if self._mode == "opentalking_improved":
            patch = blending.matched(patch, stream.plates.part(pose.index, shown), mask)
        stream.plates.paste(stream.frame, pose.index, patch, shown, mask * np.float32(pose.share))

    def _region(self, stream: Wav2LipStream, index: int) -> Region:
        plates = stream.plates
        points = plates.points(index)
        key = points.tobytes() + repr(plates.box(index)).encode()
        if key not in stream.regions:
            box = plates.box(index) if plates.crop else self._padded(plates.box(index), plates)
            left, top, right, bottom = box
            mask = blending.MODES[self._mode](points - (left, top), right - left, bottom - top)
            stream.regions[key] = _shown(box, np.rint(mask * 255).astype(np.uint8))
        return stream.regions[key]

    def _padded(self, box: PIXELS, plates: Plates) -> PIXELS:
        top, bottom, left, right = self._pads
        return (
            max(0, box[0] - left),
            max(0, box[1] - top),
            min(plates.width, box[2] + right),
            min(plates.height, box[3] + bottom),
        )

    def _loaded(self) -> tuple[int, Network]:
        """The size of the network's faces, and the network."""
        if self._network is None:
            loading = _loading()
            path, host = self._checkpoint(), self._host
            family = loading.family_of_file(path)
            network = host.network(
                f"wav2lip:{path}",
                lambda: loading.load(path, host.device, half=host.half),
                memory_mb=_memory_mb(path, family.size, self._config.max_batch, half=host.half),
                max_batch=self._config.max_batch,
            )
            self._network = family.size, network
        return self._network

    def _checkpoint(self) -> Path:
        """The file that the settings name, or the first of the known ones that is there."""
        named = str(self._config.options.get("checkpoint", ""))
        if named:
            path = self._host.weights / named
            if path.is_file():
                return path
            raise _missing(f"{named} is missing in the folder of weights.")
        for file in self._config.weights:
            if file.layout and (self._host.weights / file.path).is_file():
                return weights.find(self._host.weights, file)
        names = ", ".join(file.path for file in self._config.weights if file.layout)
        raise _missing(f"A checkpoint is missing: one of {names}.")


def make(config: ModelConfig, runtime: Runtime) -> Wav2LipRenderer:
    return Wav2LipRenderer(config, runtime)


def _shown(box: PIXELS, mask: Bytes) -> Region:
    """Keep the part of the mask where there is any, widened to even sides of the picture."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return Region(box, (box[0], box[1], box[0], box[1]), mask[:0, :0])
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    shown = box[0] + left, box[1] + top, box[0] + right, box[1] + bottom
    return Region(box, shown, np.ascontiguousarray(mask[top:bottom, left:right]))


def _resized(picture: Picture, size: int) -> Picture:
    kernel = cv2.INTER_AREA if min(picture.shape[:2]) > size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (size, size), interpolation=kernel), np.uint8)


def _pads(value: Any) -> tuple[int, int, int, int]:
    """Four pixel counts, from a list or from `0,10,0,0`."""
    try:
        parts = value.split(",") if isinstance(value, str) else list(value)
        top, bottom, left, right = (int(part) for part in parts)
    except (TypeError, ValueError) as error:
        raise _rejected("pads of wav2lip are four numbers: top, bottom, left, right") from error
    if not all(-200 <= pad <= 200 for pad in (top, bottom, left, right)):
        raise _rejected("pads of wav2lip lie between -200 and 200")
    return top, bottom, left, right


def _memory_mb(path: Path, size: int, batch: int, *, half: bool) -> int:
    numbers = batch * size * size * WIDE
    return path.stat().st_size // 1_000_000 + numbers * (2 if half else 4) // 1_000_000


def _loading() -> Any:
    """What loads networks; only processes that draw with them import torch."""
    try:
        return import_module("workers.adapters.avatar.wav2lip.loading")
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise AdapterError(
            "torch is not installed on this worker: wav2lip needs it.",
            provider="wav2lip",
            retryable=False,
            code="package_missing",
        ) from error


def _missing(message: str) -> AdapterError:
    return AdapterError(message, provider="wav2lip", retryable=False, code="weights_missing")


def _rejected(message: str) -> AdapterError:
    return AdapterError(message, provider="wav2lip", retryable=False, code="model_rejected")
