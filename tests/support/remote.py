"""Sound, portraits and streams for tests of avatars that a server draws."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.support import drawn_frames
from tests.support.drawn_frames import Code
from tests.support.models import config
from workers.adapters import registry
from workers.adapters.avatar.alone import Alone
from workers.adapters.avatar.base import SAMPLES_PER_FRAME, AudioWindow
from workers.adapters.avatar.models import ModelConfig
from workers.adapters.avatar.remote import bundle
from workers.adapters.avatar.remote.renderer import RemoteRenderer, RemoteStream
from workers.adapters.avatar.runtime import Host, Runtime

WIDTH, HEIGHT = 96, 160


def sound(frames: float, seed: int = 1) -> NDArray[np.int16]:
    """Noise: no two frames of it are alike."""
    samples = round(frames * SAMPLES_PER_FRAME)
    return np.random.default_rng(seed).integers(-3000, 3000, samples).astype(np.int16)


@cache
def portrait(width: int = WIDTH, height: int = HEIGHT, seed: int = 3) -> bytes:
    """A PNG with large shapes: two of other seeds are other scenes."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 255, (5, 4, 3)).astype(np.uint8)
    picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return bytes(cv2.imencode(".png", picture)[1].tobytes())


@cache
def bundled(width: int = WIDTH, height: int = HEIGHT, seed: int = 3) -> bytes:
    return bundle.pack(bundle.Reference(portrait(width, height, seed), width, height))


def configured(model: str, settings: Mapping[str, str], **options: Any) -> ModelConfig:
    """The model of this repository, with the size and the deadlines of tests."""
    made = config(model, settings)
    told = {
        "deadlines": {"connect": 2, "init": 5, "first_chunk": 5, "chunk": 5, "close": 1, "times": 0.1},
        **options,
    }
    profile = made.profile
    if profile.width:
        profile = replace(profile, width=WIDTH, height=HEIGHT)
    return replace(made, profile=profile, options={**made.options, **told})


def remote(made: ModelConfig, host: Host | None = None) -> RemoteRenderer:
    found = registry.renderer(made, Runtime(host or Alone(), made.endpoint))
    assert isinstance(found, RemoteRenderer)
    return found


@contextmanager
def streamed(renderer: RemoteRenderer, data: bytes | None = None, **more: Any) -> Iterator[RemoteStream]:
    stream = renderer.open_stream(renderer.load(data or bundled(**more)))
    try:
        yield stream
    finally:
        renderer.close_stream(stream)


def window(
    pcm: NDArray[np.int16],
    start: int,
    frames: int,
    *,
    ahead: int = 0,
    first: bool = False,
    last: bool = False,
    live: bool = False,
    shown: int = 0,
    origin: int = 0,
) -> AudioWindow:
    """Frames of a sound, zeros outside; `origin` is the motion's frame that the sound begins with."""
    begin = start * SAMPLES_PER_FRAME
    end = begin + frames * SAMPLES_PER_FRAME + ahead
    heard = np.zeros(end - begin, np.int16)
    part = pcm[begin:end]
    heard[: len(part)] = part
    return AudioWindow(
        heard, 0, ahead, origin + start, frames, live=live, first=first, last=last, shown=shown
    )


@dataclass(frozen=True)
class Drawn:
    codes: Sequence[Code]
    pictures: Sequence[NDArray[np.uint8]]


def drawn(renderer: RemoteRenderer, stream: RemoteStream, heard: AudioWindow) -> Drawn:
    """All frames of a window, and what is written on them."""
    poses = renderer.infer(stream, renderer.extract_features(stream, heard))
    pictures = [renderer.compose_frame(stream, pose).copy() for pose in poses]
    return Drawn([drawn_frames.read(picture) for picture in pictures], pictures)


def sums(pcm: NDArray[np.int16], frames: range) -> list[int]:
    """The checksums that frames drawn from this sound carry."""
    return [drawn_frames.sound_sum(pcm, frame) for frame in frames]


def in_windows(
    renderer: RemoteRenderer,
    stream: RemoteStream,
    pcm: NDArray[np.int16],
    sizes: Sequence[int],
    *,
    ahead: int,
) -> list[int]:
    """The checksums on the frames of a whole sound, drawn window by window as a clip is."""
    found: list[int] = []
    for place, frames in enumerate(sizes):
        last = place == len(sizes) - 1
        heard = window(pcm, sum(sizes[:place]), frames, ahead=ahead, last=last)
        found += [code.sound for code in drawn(renderer, stream, heard).codes]
    return found
