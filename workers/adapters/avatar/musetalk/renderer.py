"""`musetalk`: the lower face of each frame painted anew by a UNet, from what Whisper hears around it.

A frame depends on the avatar's picture of that moment and on the sound around it alone, so fragments may be
drawn anywhere and in any order. Networks belong to the process, and this module loads none by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.adapters.avatar.base import I420, AudioWindow, Background, Picture, Renderer
from workers.adapters.avatar.models import ModelConfig
from workers.adapters.avatar.musetalk import faces, layout, options
from workers.adapters.avatar.musetalk.audio import BANDS, Context, windows
from workers.adapters.avatar.musetalk.sitter import Sitter
from workers.adapters.avatar.plates.plates import Plates
from workers.adapters.avatar.runtime import Forward, Host, Network, Runtime
from workers.adapters.errors import AdapterError

FADE_FRAMES = 4
"""So many frames carry a session from the idle picture to the painted one, and back."""
EARS_MB, SKETCHER_MB, PARSER_MB = 512, 1024, 512
LEAST_MB = 1024
HERE = "workers.adapters.avatar.musetalk"

Heard = NDArray[np.float32]
"""What conditions each frame's picture, shape (frames, 50, 384)."""


@dataclass(frozen=True, slots=True)
class Features:
    window: AudioWindow
    heard: Heard


@dataclass(frozen=True, slots=True)
class Pose:
    """A painted face, 256 by 256, the picture it belongs to, and how much of it is to be seen."""

    index: int
    face: Picture
    share: float = 1.0


@dataclass(slots=True)
class Stream:
    sitter: Sitter
    plates: Plates


class MuseTalkRenderer(Renderer):
    def __init__(self, config: ModelConfig, host: Host) -> None:
        self.profile = config.profile
        self._context = Context.of(config.profile)
        self._files = layout.found(config, host.weights, options.version(config.options))
        self._options = options.read(config.options, self._files.version)
        self._max_batch = config.max_batch
        self._config, self._host = config, host
        self._ears = self._network("ears", "ears:load", EARS_MB, self._context)
        self._sketcher = self._network("sketcher", "generator:load_sketcher", SKETCHER_MB)
        rest = config.memory_mb - EARS_MB - SKETCHER_MB - PARSER_MB
        self._painter = self._network("painter", "generator:load_painter", max(LEAST_MB, rest))
        self._parser = self._network("parser", "parsing:load", PARSER_MB) if self._parses() else None

    def load(self, bundle: bytes) -> Sitter:
        return Sitter(Plates.of(bundle), self._options, self._sketcher, self._parser)

    def open_stream(
        self, avatar: Sitter, *, start_frame: int = 0, background: Background | None = None
    ) -> Stream:
        return Stream(avatar, avatar.plates.before(background))

    def extract_features(self, stream: Stream, window: AudioWindow) -> Features:
        return Features(window, self._ears.run(windows(window, self._context), live=window.live))

    def infer(self, stream: Stream, features: Features) -> Sequence[Pose]:
        window, plates = features.window, stream.plates
        indexes = [plates.index(window.start_frame + place) for place in range(window.frames)]
        latents = stream.sitter.latents(indexes, live=window.live)
        stream.sitter.see(indexes, live=window.live)
        painted = self._painter.run(latents, features.heard, live=window.live)
        return [
            Pose(index, face, share)
            for index, face, share in zip(indexes, painted, shares(window), strict=True)
        ]

    def compose_frame(self, stream: Stream, pose: Pose) -> I420:
        out = stream.plates.i420(pose.index).copy()
        stream.sitter.draw(stream.plates, out, pose.index, pose.face, pose.share)
        return out

    def warm(self) -> None:
        """Load the networks, and run each once: on a GPU with the largest batch. Raises `AdapterError`.

        On a CPU one row tells as much, and the largest batch takes minutes.
        """
        rows = 1 if self._host.device == "cpu" else self._max_batch
        side, square = faces.SIDE, faces.SQUARE
        heard = self._ears.run(np.zeros((rows, BANDS, self._context.columns), np.float32))
        latents = self._sketcher.run(np.zeros((rows, side, side, 3), np.uint8))
        self._painter.run(latents, heard)
        if self._parser is not None:
            self._parser.run(np.zeros((rows, square, square, 3), np.uint8))

    def _parses(self) -> bool:
        if self._options.masks == options.PARSING and self._files.parser is None:
            raise layout.missing("the face parser", layout.PARSERS)
        return self._files.parser is not None and self._options.masks != options.LANDMARKS

    def _network(self, name: str, loader: str, memory_mb: int, *more: Any) -> Network:
        """A network of the process; its module, and torch with it, is imported when it is first run."""
        files, host = self._files, self._host

        def load() -> Forward:
            made: Forward = resolve_name(f"{HERE}.{loader}")(files, host, *more)
            return made

        named = f"{self._config.id}.{name}"
        return host.network(named, load, memory_mb=memory_mb, max_batch=self._max_batch)


def shares(window: AudioWindow) -> list[float]:
    """How much of the painted face each frame shows: all of it but where a session enters or leaves idle."""
    shown = np.ones(window.frames)
    ramp = (np.arange(FADE_FRAMES) + 1) / (FADE_FRAMES + 1)
    count = min(FADE_FRAMES, window.frames)
    if window.first:
        shown[:count] = np.minimum(shown[:count], ramp[:count])
    if window.last:
        shown[-count:] = np.minimum(shown[-count:], ramp[::-1][-count:])
    return [float(share) for share in shown]


def make(config: ModelConfig, runtime: Runtime) -> MuseTalkRenderer:
    """Raises `AdapterError` (`weights_missing`), or `ValueError` where the model's file says nonsense."""
    try:
        return MuseTalkRenderer(config, runtime.host)
    except ValueError as error:
        raise AdapterError(str(error), provider="musetalk", retryable=False, code="model_rejected") from error
