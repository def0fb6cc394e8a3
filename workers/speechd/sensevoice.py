"""Hears Chinese, Cantonese, English, Japanese and Korean: SenseVoice, by sherpa-onnx.

The model is brought by who runs the sidecar: a folder with `model.onnx` or `model.int8.onnx` and
`tokens.txt`, as sherpa-onnx publishes them. It finds the language out by itself.
"""

import mmap
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from workers.speechd.ears import RATE, Heard, Samples
from workers.speechd.pauses import pieces

NAME = "sensevoice"
LANGUAGES = frozenset({"zh", "yue", "en", "ja", "ko"})
LONGEST_SECONDS = 28.0
"""The model was made for half a minute at most."""
SHORTEST_SECONDS = 0.3
_FILES = ("model.int8.onnx", "model.onnx")
_FACTS = (
    *(b"vocab_size", b"lfr_window_size", b"lfr_window_shift", b"neg_mean", b"inv_stddev"),
    *(b"normalize_samples", b"with_itn", b"without_itn", b"lang_auto"),
)
_TAG = re.compile(r"<\|[^|<>]+\|>")
_SENTENCE_END = re.compile(r"[.!?。！？…]$")
_TOKEN_SECONDS = 0.06


class NoModel(Exception):
    """There is no model to hear with; the message says why."""


@dataclass(frozen=True, slots=True)
class Take:
    """What was said, and in which language the model believes it was; "" for nothing."""

    heard: list[Heard]
    language: str


class SenseVoice:
    """Blocking, and for one thread at a time: an instance of the model cannot be shared."""

    def __init__(self, folder: Path | None, *, threads: int = 2) -> None:
        self._folder = folder
        self._threads = threads
        self._model: Any = None
        self._loading = threading.Lock()

    @property
    def loaded(self) -> list[str]:
        return [] if self._model is None else [NAME]

    def load(self) -> None:
        """Raises `NoModel`."""
        with self._loading:
            if self._model is None:
                self._model = self._loaded()

    def parts(self, samples: Samples) -> list[tuple[int, int]]:
        """What of mono sound at 16 kHz is to be heard, one part after the other. Raises `NoModel`."""
        self.load()
        return list(pieces(samples, LONGEST_SECONDS))

    def hear(self, samples: Samples, part: tuple[int, int]) -> Take:
        """The sentences of one part, in times of the whole."""
        start, end = part
        result = self._result(samples[start:end])
        heard = list(_sentences(result, start / RATE, end / RATE))
        return Take(heard, result.lang.strip("<|>") if heard else "")

    def _result(self, samples: Samples) -> Any:
        import numpy as np  # noqa: PLC0415 - loaded with the first model

        short = int(SHORTEST_SECONDS * RATE) - len(samples)
        stream = self._model.create_stream()
        # Less sound than one window of features is read beyond its end.
        stream.accept_waveform(RATE, np.pad(samples, (0, max(short, 0))))
        self._model.decode_stream(stream)
        return stream.result

    def _loaded(self) -> Any:
        if self._folder is None:
            raise NoModel("This sidecar was started without a SenseVoice model.")
        if find_spec("sherpa_onnx") is None:
            raise NoModel("SenseVoice needs the package sherpa-onnx.")
        model = next((self._folder / name for name in _FILES if (self._folder / name).is_file()), None)
        tokens = self._folder / "tokens.txt"
        if model is None or not tokens.is_file():
            raise NoModel("The SenseVoice folder needs model.onnx or model.int8.onnx, and tokens.txt.")
        _check(model, tokens)
        from sherpa_onnx import OfflineRecognizer  # noqa: PLC0415 - 40 MB of library

        try:
            return OfflineRecognizer.from_sense_voice(
                model=str(model),
                tokens=str(tokens),
                num_threads=self._threads,
                language="auto",
                use_itn=True,
            )
        except RuntimeError as exc:
            raise NoModel("The SenseVoice model cannot be loaded.") from exc


def _check(model: Path, tokens: Path) -> None:
    """Find out what the library would end the whole process for."""
    with model.open("rb") as file:
        if file.seek(0, 2) == 0:
            raise NoModel("The SenseVoice model is empty.")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            # Facts about a model stand behind its weights.
            if any(data.rfind(fact) < 0 for fact in _FACTS):
                raise NoModel("The model is no SenseVoice model for sherpa-onnx.")
    lines = tokens.read_text(encoding="utf-8", errors="replace").splitlines()
    if not lines or not all(line.split()[-1:] and line.split()[-1].isdecimal() for line in lines):
        raise NoModel("tokens.txt is no list of tokens.")


def _sentences(result: Any, start: float, end: float) -> Iterator[Heard]:
    """A result as its sentences, by the times of their tokens; as one where those do not say."""
    tokens, times = list(result.tokens), list(result.timestamps)
    if "".join(tokens).strip() != result.text.strip() or len(times) != len(tokens):
        if text := _plain(result.text):
            yield Heard(start, end, text)
        return
    for first, last in _cuts(tokens):
        if text := _plain("".join(tokens[first:last])):
            ended = min(start + times[last - 1] + _TOKEN_SECONDS, end)
            yield Heard(min(start + times[first], ended), ended, text)


def _cuts(tokens: Sequence[str]) -> Iterator[tuple[int, int]]:
    first = 0
    for index, token in enumerate(tokens, 1):
        # A point within a number or a name is not the end: the next token would begin with a space.
        following = tokens[index] if index < len(tokens) else " "
        wide = ord(token[-1]) > 0x2E7F if token else False
        if _SENTENCE_END.search(token) and (wide or following[:1] in (" ", "▁")):
            yield first, index
            first = index
    if first < len(tokens):
        yield first, len(tokens)


def _plain(text: str) -> str:
    """Without tags, which tell of languages, feelings and noises."""
    return " ".join(_TAG.sub("", text).replace("▁", " ").split())
