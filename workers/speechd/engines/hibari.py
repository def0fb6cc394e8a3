"""Hibari: small English voices, sixty times faster than realtime on one core.

The network draws the spectrum and the pitch; the signal processing of the wheel makes samples of
them. Durations are whole frames of 25 ms.
"""

import json
from importlib.resources import files

import numpy as np

from workers.speechd import graph
from workers.speechd.engines.base import Take, edges_of
from workers.speechd.line import Letter, Line

_DURATIONS = "/Clip_output_0"
_FRAME_SECONDS = 600 / 24_000


class Hibari:
    sample_rate = 24_000
    early_seconds = 0.06

    def __init__(self, *, threads: int) -> None:
        from hibari import dsp  # noqa: PLC0415 - pulls scipy, which only this voice needs

        assets = files("hibari") / "assets"
        model = graph.with_output((assets / "hibari.onnx").read_bytes(), _DURATIONS)
        self._session = graph.session(model, threads=threads)
        self._ids: dict[str, int] = json.loads((assets / "vocab.json").read_text("utf-8"))
        self._synth = dsp.synth

    def say(self, line: Line, *, voice: str, speed: float) -> Take:  # noqa: ARG002 - it has one voice
        ids = [0, *(self._id(letter) for letter in line.letters), 0]
        inputs = {"ids": np.array([ids], np.int64), "speed": np.array([speed], np.float32)}
        *spectrum, frames = graph.run(self._session, inputs)
        noise = np.random.default_rng(0)  # the same text always sounds the same
        samples = self._synth(*(part[0] for part in spectrum), noise)
        return Take(np.asarray(samples, np.float32), edges_of(frames, _FRAME_SECONDS))

    def _id(self, letter: Letter) -> int:
        return self._ids.get(letter.symbol, self._ids[" "])
