"""Portraits prepared as plates, and hosts whose networks are a few lines of arithmetic."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.support.models import config
from workers.adapters.avatar.alone import Alone
from workers.adapters.avatar.base import AudioWindow, Picture, PreparedAvatar, Still
from workers.adapters.avatar.models import ModelConfig
from workers.adapters.avatar.plates.prepare import PlatesPreparer
from workers.adapters.avatar.runtime import Forward, Host, Lease, Network

PORTRAITS = Path(__file__).resolve().parents[1] / "data" / "portraits"
RATE = 16_000


def portrait(name: str = "mei") -> Picture:
    return np.asarray(cv2.imread(str(PORTRAITS / f"{name}.jpg")), np.uint8)


@cache
def prepared(name: str = "mei") -> PreparedAvatar:
    """The portrait as plates; its `idle` is used up."""
    return PlatesPreparer().prepare(Still(portrait(name)))


def small(name: str = "mei") -> Picture:
    """The portrait at half its size, which is quicker to prepare."""
    return np.asarray(
        cv2.resize(portrait(name), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8
    )


def cut_out(name: str = "mei") -> Picture:
    """The same without its wall: BGRA, transparent around an oval that holds head and shoulders."""
    picture = portrait(name)
    height, width = picture.shape[:2]
    alpha = np.zeros((height, width), np.uint8)
    cv2.ellipse(
        alpha, (width // 2, int(height * 0.62)), (int(width * 0.42), int(height * 0.5)), 0, 0, 360, 255, -1
    )
    return np.dstack([picture, cv2.GaussianBlur(alpha, (0, 0), 2)])


def filmed(frames: int, *, name: str = "mei", pixels: float = 12.0) -> list[Picture]:
    """A film in which the whole picture moves to and fro."""
    picture, made = portrait(name), []
    for number in range(frames):
        dx, dy = pixels * np.sin(number / 9), pixels / 2 * np.cos(number / 7)
        shift = np.array([[1, 0, dx], [0, 1, dy]])
        size = picture.shape[1], picture.shape[0]
        made.append(
            np.asarray(cv2.warpAffine(picture, shift, size, borderMode=cv2.BORDER_REPLICATE), np.uint8)
        )
    return made


def window(
    pcm: NDArray[np.int16], start: int, frames: int, *, around: int = 3200, **marks: Any
) -> AudioWindow:
    """Frames of a clip as workers are given them: with zeros outside of it."""
    padded = np.concatenate([np.zeros(RATE, np.int16), pcm, np.zeros(2 * RATE, np.int16)])
    begin = RATE + start * 640 - around
    return AudioWindow(
        padded[begin : begin + 2 * around + frames * 640], around, around, start, frames, **marks
    )


def noise(seconds: float, level: float = 3000) -> NDArray[np.int16]:
    """Sound that says nothing, different in every frame."""
    rng = np.random.default_rng(11)
    at = np.arange(int(seconds * RATE))
    swell = 0.3 + 0.7 * np.sin(at / RATE * 2 * np.pi * 3.1) ** 2
    return np.asarray(rng.normal(0, level, len(at)) * swell, np.int16)


def wav2lip_config(**options: Any) -> ModelConfig:
    made = config("wav2lip")
    return replace(made, options=MappingProxyType({**made.options, **options}), max_batch=8)


class Arithmetic(Host):
    """A host on which every network is the same function."""

    device, half = "cpu", False

    def __init__(self, weights: Path, function: Callable[..., NDArray[Any]]) -> None:
        self.weights, self._function, self._alone = weights, function, Alone(weights)
        self.asked: list[tuple[int, bool]] = []
        """How many rows were run at once, and whether somebody waited for them live."""

    def network(
        self, name: str, load: Callable[[], Forward], *, memory_mb: int, max_batch: int = 1
    ) -> Network:
        return _Function(self)

    def lease(self, resource: str, *, live: bool, wait_seconds: float = 0.0) -> AbstractContextManager[Lease]:
        return self._alone.lease(resource, live=live)

    def answer(self, *batch: NDArray[Any]) -> NDArray[Any]:
        return self._function(*batch)


class _Function(Network):
    def __init__(self, host: Arithmetic) -> None:
        self._host = host

    def run(self, *batch: NDArray[Any], live: bool = False) -> NDArray[Any]:
        self._host.asked.append((len(batch[0]), live))
        return self._host.answer(*batch)
