"""FlashHead in this process: drives the official `flash_head` package on the worker's GPU.

One pipeline serves all sessions of the worker by turns, live ones first; each keeps its own eight
seconds of sound and what the model remembers of its person, so none sees anything of another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pkgutil import resolve_name
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.adapters.avatar.base import I420, SAMPLES_PER_FRAME, AudioWindow, Background, StatefulRenderer
from workers.adapters.avatar.flashhead.memory import CONTEXT_SAMPLES, Memory, Recipe, Sound, remember
from workers.adapters.avatar.flashhead.portrait import Fader, Person, Pose
from workers.adapters.avatar.models import ModelConfig
from workers.adapters.avatar.pictures import to_i420
from workers.adapters.avatar.remote import decoding
from workers.adapters.avatar.runtime import Forward, Host, Network, Runtime

VARIANTS = ("lite", "pro", "pretrained")
WARM_SIDE = 512
PIPELINE = "workers.adapters.avatar.flashhead.pipeline:Pipeline"


@dataclass(frozen=True, slots=True)
class NativeOptions:
    """`options` of the backend `local` in `configs/models/flashhead.yaml`."""

    variant: str = "lite"
    repository: str = ""
    """The folder that holds the package `flash_head`; empty: it is installed."""
    checkpoints: str = "SoulX-FlashHead-1_3B"
    """Below the folder of weights."""
    wav2vec: str = "wav2vec2-base-960h"
    face_crop: bool = False
    seed: int = 9999
    crossfade_frames: int = 6

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> NativeOptions:
        """Raises `ValueError` for a variant that there is not, `TypeError` for an unknown option."""
        made = cls(**options)
        if made.variant not in VARIANTS:
            raise ValueError(f"FLASHHEAD_VARIANT is {made.variant!r}; use {' or '.join(VARIANTS)}")
        return made

    def recipe(self, host: Host, slice_frames: int) -> Recipe:
        return Recipe(
            model_type=self.variant,
            repository=self.repository,
            checkpoints=str(host.weights / self.checkpoints),
            wav2vec=str(host.weights / self.wav2vec),
            slice_frames=slice_frames,
            face_crop=self.face_crop,
            seed=self.seed,
        )


class Speaker:
    """One person, drawn slice by slice. Not thread-safe."""

    def __init__(self, network: Network, person: Person, slice_frames: int) -> None:
        self._network, self._person = network, person
        self._samples = slice_frames * SAMPLES_PER_FRAME
        self._memory = remember(person.picture)
        self._heard: Sound = np.zeros(CONTEXT_SAMPLES, np.float32)

    def begin(self, before: NDArray[np.int16] | None = None) -> None:
        """Start at the portrait again; `before` is what was heard lately, if anything."""
        self._memory.forget()
        self._heard = np.zeros(CONTEXT_SAMPLES, np.float32)
        if before is not None and len(before):
            self._hear(before[-CONTEXT_SAMPLES:])

    def draw(self, sound: NDArray[np.int16], *, live: bool) -> Iterator[I420]:
        """Draw the frames of `sound` (16 kHz, whole frames); the last slice is filled up with silence.

        Each picture is of the person's size. Raises `AdapterError`.
        """
        for start in range(0, len(sound), self._samples):
            slice_ = sound[start : start + self._samples]
            lack = self._samples - len(slice_)
            self._hear(np.pad(slice_, (0, lack)))
            drawn = self._network.run(np.array([self._memory.token], np.int64), self._heard[None], live=live)[
                0
            ]
            if lack:  # what was made up was not heard
                self._heard = np.concatenate((np.zeros(lack, np.float32), self._heard[:-lack]))
            for picture in drawn[: len(slice_) // SAMPLES_PER_FRAME]:
                yield self._fitted(picture)

    def _hear(self, sound: NDArray[np.int16]) -> None:
        fresh = sound.astype(np.float32) / 32768
        self._heard = np.concatenate((self._heard[len(fresh) :], fresh))

    def _fitted(self, rgb: NDArray[np.uint8]) -> I420:
        size = self._person.width, self._person.height
        if rgb.shape[1::-1] != size:
            return to_i420(decoding.covering(np.ascontiguousarray(rgb[:, :, ::-1]), *size))
        return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420), np.uint8)


@dataclass(slots=True)
class NativeStream:
    """One session. `seams` are the frames before which continuity was lost. Not thread-safe."""

    speaker: Speaker
    fader: Fader
    seams: list[int] = field(default_factory=list)
    next_frame: int | None = None
    pictures: Iterator[I420] | None = None


class FlashHead(StatefulRenderer):
    """Draws with the package in this process."""

    def __init__(self, config: ModelConfig, runtime: Runtime) -> None:
        self.profile = config.profile
        self._options = NativeOptions.read(config.options)
        self._network = network(runtime.host, self._options, self.profile.chunk_frames, config.memory_mb)

    def warm(self) -> None:
        """Load the package and draw once: it compiles its networks, which takes minutes."""
        grey = np.full((WARM_SIDE, WARM_SIDE, 3), 128, np.uint8)
        memory: Memory = remember(grey)
        self._network.run(np.array([memory.token], np.int64), np.zeros((1, CONTEXT_SAMPLES), np.float32))

    def load(self, bundle: bytes) -> Person:
        return Person.of(bundle)

    def open_stream(
        self, avatar: Person, *, start_frame: int = 0, background: Background | None = None
    ) -> NativeStream:
        return NativeStream(self.speaker(avatar), Fader(avatar, self._options.crossfade_frames))

    def speaker(self, person: Person) -> Speaker:
        """What draws one person, without the ways into and out of the idle loop."""
        return Speaker(self._network, person, self.profile.chunk_frames)

    def extract_features(self, stream: NativeStream, window: AudioWindow) -> Sequence[Pose]:
        """Nothing is drawn before the first frame is composed."""
        if window.first or stream.next_frame != window.start_frame:
            if stream.next_frame is not None and not window.first:
                stream.seams.append(window.start_frame)
            stream.speaker.begin(window.pcm[: window.lookback])
        stream.next_frame = window.start_frame + window.frames
        own = window.pcm[window.lookback : window.lookback + window.frames * SAMPLES_PER_FRAME]
        stream.pictures = stream.speaker.draw(own, live=window.live)
        return stream.fader.begin(window)

    def infer(self, stream: NativeStream, features: Sequence[Pose]) -> Sequence[Pose]:
        return features

    def compose_frame(self, stream: NativeStream, pose: Pose) -> I420:
        if stream.pictures is None:
            raise RuntimeError("a pose of no window")
        return stream.fader(next(stream.pictures), pose)

    def reset(self, stream: NativeStream) -> None:
        """The next window begins at the portrait."""
        stream.speaker.begin()
        stream.next_frame, stream.pictures = None, None

    def close_stream(self, stream: NativeStream) -> None:
        """The model forgets the session with its last reference."""
        stream.pictures = None


def network(host: Host, options: NativeOptions, slice_frames: int, memory_mb: int) -> Network:
    """The pipeline of this process, shared by whoever draws with it. It takes one session at a time."""
    recipe = options.recipe(host, slice_frames)
    return host.network(
        f"flashhead-{options.variant}",
        partial(_loaded, recipe, host.device),
        memory_mb=memory_mb,
        max_batch=1,
    )


def _loaded(recipe: Recipe, device: str) -> Forward:
    """By name: whoever only describes the model needs no torch."""
    return cast("Forward", resolve_name(PIPELINE)(recipe, device))


def make(config: ModelConfig, runtime: Runtime) -> FlashHead:
    return FlashHead(config, runtime)
