"""FlashHead's network: slices of sound to pictures, for several sessions by turns.

The package's pipeline holds what one person's film continues from in five attributes of itself. They
are a few small tensors, so every session keeps its own and lends them for the length of a slice.
Facts of the loop: a slice is `frame_num - motion_frames_num` frames; the network hears the last eight
seconds, of which the slice is the end, and draws `frame_num` pictures, of which the first repeat the
ones before.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import cv2
import numpy as np
import torch

from workers.adapters.avatar.base import FPS, SAMPLE_RATE
from workers.adapters.avatar.flashhead.memory import (
    CONTEXT_SECONDS,
    REMEMBERED,
    Memory,
    Recipe,
    Sound,
    remembered,
)
from workers.adapters.avatar.flashhead.package import inference
from workers.adapters.avatar.remote.faults import fault
from workers.adapters.avatar.runtime import Array, Forward

NEEDED: Final = {
    "lite": ("Model_Lite", "VAE_LTX"),
    "pro": ("Model_Pro", "VAE_Wan/Wan2.1_VAE.pth"),
    "pretrained": ("teacher", "VAE_Wan/Wan2.1_VAE.pth"),
}
"""Below the folder of checkpoints."""


class Pipeline(Forward):
    """The loaded network: `(int64 [n], float32 [n, 128000])` to uint8 `[n, slice, height, width, 3]`, RGB.

    The integers are tokens of sessions.
    `sounds` are the last eight seconds, -1 to 1, of which the slice is the end.
    """

    def __init__(self, recipe: Recipe, device: str) -> None:
        self._lock = threading.Lock()
        self._recipe = recipe
        self._package = inference(recipe.repository)
        self._pipeline = _made(self._package, recipe, device)
        self.shape = Shape.of(self._package.get_infer_params())
        self._check_slice()

    def _check_slice(self) -> None:
        drawn, wanted = self.shape.slice_frames, self._recipe.slice_frames
        if drawn != wanted:
            raise fault(
                "model_profile_mismatch",
                f"FlashHead {self._recipe.model_type} draws {drawn} frames at a time, not {wanted}: "
                f"set FLASHHEAD_CHUNK_FRAMES={drawn}.",
                "flashhead",
            )

    def __call__(self, *batch: Array) -> Array:
        tokens, sounds = batch
        with self._lock:
            return np.stack(
                [self._draw(int(token), sound) for token, sound in zip(tokens, sounds, strict=True)]
            )

    def _draw(self, token: int, sound: Sound) -> Array:
        memory = remembered(token)
        if memory is None:
            raise fault("model_lost", "The session that was to be drawn is gone.", "flashhead")
        self._recall(memory)
        shape = self.shape
        heard = self._package.get_audio_embedding(self._pipeline, sound, shape.start, shape.end)
        film = self._package.run_pipeline(self._pipeline, heard)
        memory.state = {name: getattr(self._pipeline, name) for name in REMEMBERED}
        return shape.slice_of(film)

    def _recall(self, memory: Memory) -> None:
        """Give the pipeline a session's memory; a new one is made of its picture."""
        if "ref_img_latent" not in memory.state:
            self._introduce(memory)
            return
        for name, value in memory.state.items():
            setattr(self._pipeline, name, value)
        if "latent_motion_frames" not in memory.state:
            # The package's own way (`reset_person_name`) looks the person up among those it met last.
            self._pipeline.latent_motion_frames = memory.state["ref_img_latent"][:, :1].clone()

    def _introduce(self, memory: Memory) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "person.png"
            cv2.imwrite(str(path), memory.picture)
            recipe = self._recipe
            self._package.get_base_data(self._pipeline, str(path), recipe.seed, recipe.face_crop)


@dataclass(frozen=True, slots=True)
class Shape:
    """What the loaded model draws at a time; `start` and `end` are where a slice lies in its context."""

    slice_frames: int
    motion_frames: int
    start: int
    end: int
    width: int
    height: int

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Shape:
        """Raises `AdapterError` (`model_profile_mismatch`) where rates are not ours."""
        frames, motion = int(told["frame_num"]), int(told["motion_frames_num"])
        end = int(told["cached_audio_duration"]) * int(told["tgt_fps"])
        rates = int(told["tgt_fps"]), int(told["sample_rate"]), int(told["cached_audio_duration"])
        if rates != (FPS, SAMPLE_RATE, CONTEXT_SECONDS) or not 0 < motion < frames <= end:
            raise fault(
                "model_profile_mismatch",
                f"flash_head draws {frames} frames ({motion} again) at {rates[0]} a second from "
                f"{rates[2]} s of sound at {rates[1]} Hz; needed: {FPS}, {CONTEXT_SECONDS}, {SAMPLE_RATE}.",
                "flashhead",
            )
        return cls(frames - motion, motion, end - frames, end, int(told["width"]), int(told["height"]))

    def slice_of(self, film: torch.Tensor) -> Array:
        """The new pictures of a film of `frame_num`, as bytes. Raises `AdapterError` for another shape."""
        wanted = (self.slice_frames + self.motion_frames, self.height, self.width, 3)
        if tuple(film.shape) != wanted:
            message = f"flash_head drew {tuple(film.shape)} where {wanted} was announced."
            raise fault("frames_malformed", message, "flashhead")
        fresh = film[self.motion_frames :].clamp(0, 255).round()
        return np.asarray(fresh.to(torch.uint8).cpu().numpy())


def _made(package: ModuleType, recipe: Recipe, device: str) -> Any:
    _check_files(recipe)
    try:
        return package.get_pipeline(1, recipe.checkpoints, recipe.model_type, recipe.wav2vec)
    except torch.cuda.OutOfMemoryError:
        raise  # the process makes room and asks again
    except (RuntimeError, AssertionError, OSError, ValueError) as error:
        if not device.startswith("cuda"):
            message = "flash_head runs on a CUDA device; start the worker with --device cuda:0."
            raise fault("device_missing", message, "flashhead") from error
        raise fault(
            "model_error", f"flash_head does not load: {type(error).__name__}.", "flashhead"
        ) from error


def _check_files(recipe: Recipe) -> None:
    places = [Path(recipe.checkpoints) / name for name in NEEDED[recipe.model_type]]
    for place in (*places, Path(recipe.wav2vec)):
        if not place.exists():
            message = f"FlashHead's {place.name} is missing in {place.parent}."
            raise fault("weights_missing", message, "flashhead")
