"""Piper voices: VITS networks that read espeak's IPA.

The network itself decides how many frames of 256 samples each letter takes; that number is an inner
value of the public model, made visible here. Its own noise is seeded once per process, so two
recordings of one text differ a little, as two of a person would.
"""

import json
import unicodedata
from itertools import accumulate, groupby
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from workers.speechd import alphabet, graph
from workers.speechd.engines.base import Take
from workers.speechd.line import Line

_DURATIONS = "/Ceil_output_0"
_FRAME_SAMPLES = 256
_START, _END, _BLANK = "^", "$", "_"


class Piper:
    early_seconds = 0.03

    def __init__(self, model: Path, config: Path, *, threads: int) -> None:
        settings: dict[str, Any] = json.loads(config.read_text("utf-8"))
        self.sample_rate = int(settings["audio"]["sample_rate"])
        self._ids: dict[str, list[int]] = settings["phoneme_id_map"]
        self._scales = settings["inference"]
        onnxruntime.set_seed(1)
        self._session = graph.session(graph.with_output(model.read_bytes(), _DURATIONS), threads=threads)

    def say(self, line: Line, *, voice: str, speed: float) -> Take:  # noqa: ARG002 - a model is a voice
        ids, owners = self._spell(line)
        scales = self._scales
        inputs = {
            "input": np.array([ids], np.int64),
            "input_lengths": np.array([len(ids)], np.int64),
            "scales": np.array(
                [scales["noise_scale"], scales["length_scale"] / speed, scales["noise_w"]], np.float32
            ),
        }
        samples, frames = graph.run(self._session, inputs)
        seconds = np.asarray(frames).ravel() * (_FRAME_SAMPLES / self.sample_rate)
        return Take(np.asarray(samples, np.float32).ravel(), _edges(seconds, owners, len(line.letters)))

    def _spell(self, line: Line) -> tuple[list[int], list[int]]:
        """The model's ids, and for each the index of the letter it belongs to (-1 before the first).

        A blank follows every id and belongs to the same letter, or to the next one where that is
        written as nothing.
        """
        ids, owners = [*self._ids[_START], *self._ids[_BLANK]], [-1, -1]
        for index, spelling in enumerate(_espeak(line)):
            if not spelling and len(owners) > 2:
                owners[-1] = index
            for symbol in unicodedata.normalize("NFD", spelling):
                ids += [*self._ids.get(symbol, self._ids[" "]), *self._ids[_BLANK]]
                owners += [index, index]
        return [*ids, *self._ids[_END]], [*owners, len(line.letters)]


def _espeak(line: Line) -> list[str]:
    """espeak's spelling of each letter; what it becomes depends on its neighbours in the word."""
    words = (list(group) for _, group in groupby(line.letters, key=lambda letter: letter.word))
    return [spelling for word in words for spelling in alphabet.to_piper([letter.symbol for letter in word])]


def _edges(seconds: np.ndarray, owners: list[int], letters: int) -> tuple[float, ...]:
    spent = [0.0] * (letters + 2)
    for owner, length in zip(owners, seconds, strict=True):
        spent[owner + 1] += float(length)
    return tuple(accumulate(spent[: letters + 1]))
