"""A stateful model: its pictures say which stream drew them, what came before, and from which sound.

Each picture is a test card whose number holds the stream (8 bits), the frames drawn in it before
(8 bits) and a checksum of all sound that the stream heard up to its chunk (8 bits). So a frame that is out
of order, of another stream, or drawn from other sound is told from the right one.
"""

from __future__ import annotations

import io
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from workers.adapters import registry
from workers.adapters.avatar.base import I420, SAMPLES_PER_FRAME, AudioWindow, Background, StatefulRenderer
from workers.adapters.avatar.mock import card
from workers.adapters.avatar.mock.renderer import MockAvatar, MockRenderer
from workers.adapters.avatar.models import ModelConfig
from workers.adapters.avatar.runtime import Runtime
from workers.adapters.errors import AdapterError

CHUNK = 4
MODEL = "tape"
FILE = f"""
id: {MODEL}
name: Tape
summary: Counts what it heard.
licence: none needed
backend: local
profile:
  stateless: false
  chunk_frames: {CHUNK}
  live_slots: 2
  first_fragment_frames: 8
  fragment_frames: 12
  memory_mb: 16
backends:
  local:
    adapter: tape
    preparer: mock
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one picture says."""

    stream: int
    before: int
    checksum: int


@dataclass(eq=False)
class Tape:
    """One stream."""

    number: int
    card: I420
    before: int = 0
    heard: int = 0
    seams: list[int] = field(default_factory=list)
    closed: bool = False
    windows: list[AudioWindow] = field(default_factory=list)
    resets: int = 0
    using: threading.Lock = field(default_factory=threading.Lock)


@dataclass
class Deck:
    """All streams of a test; `errors` are raised by the next windows, `during` is called by each.

    `wanted` says that a live session waits for what the streams hold.
    """

    tapes: list[Tape] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    opening: list[Exception] = field(default_factory=list)
    warmed: list[bool] = field(default_factory=list)
    during: Any = None
    wanted: bool = False
    closings: list[int] = field(default_factory=list)

    @property
    def open(self) -> list[Tape]:
        return [tape for tape in self.tapes if not tape.closed]


deck = Deck()
_numbering = threading.Lock()


class TapeRenderer(StatefulRenderer):
    def __init__(self, config: ModelConfig) -> None:
        self.profile = config.profile
        self._mock = MockRenderer(config.profile)

    def load(self, bundle: bytes) -> MockAvatar:
        return self._mock.load(bundle)

    def open_stream(
        self, avatar: MockAvatar, *, start_frame: int = 0, background: Background | None = None
    ) -> Tape:
        with _numbering:
            tape = Tape(len(deck.tapes) + 1, card.blank(avatar.width, avatar.height))
            deck.tapes.append(tape)
        return tape

    def warm_stream(self, stream: Tape, *, live: bool) -> None:
        deck.warmed.append(live)
        if deck.opening:
            raise deck.opening.pop(0)

    def wanted(self, stream: Tape) -> bool:
        return deck.wanted

    def extract_features(self, stream: Tape, window: AudioWindow) -> Sequence[int]:
        assert not stream.closed, "a stream that was closed is used"
        assert len(window.pcm) == window.lookback + window.frames * SAMPLES_PER_FRAME + window.lookahead
        stream.windows.append(window)
        if deck.errors:
            stream.before += 1  # it is in no state to go on
            raise deck.errors.pop(0)
        with _alone(stream):
            if deck.during is not None:
                deck.during(stream, window)
            sums = []
            for frame in range(window.frames):
                if frame % CHUNK == 0:
                    start = window.lookback + frame * SAMPLES_PER_FRAME
                    chunk = window.pcm[start : start + CHUNK * SAMPLES_PER_FRAME]
                    stream.heard = checksum(chunk, stream.heard)
                sums.append(stream.heard & 0xFF)
            return sums

    def infer(self, stream: Tape, features: Sequence[int]) -> Sequence[int]:
        return features

    def compose_frame(self, stream: Tape, pose: int) -> I420:
        with _alone(stream):
            card.draw(stream.card, stream.number << 16 | (stream.before & 0xFF) << 8 | pose, 0.0)
            stream.before += 1
            return stream.card

    def reset(self, stream: Tape) -> None:
        stream.before = stream.heard = 0
        stream.resets += 1

    def close_stream(self, stream: Tape) -> None:
        assert not stream.closed, "a stream is closed twice"
        stream.closed = True
        deck.closings.append(stream.number)


@contextmanager
def _alone(stream: Tape) -> Iterator[None]:
    assert stream.using.acquire(blocking=False), "two threads draw one stream"
    try:
        yield
    finally:
        stream.using.release()


def make(config: ModelConfig, runtime: Runtime) -> TapeRenderer:
    return TapeRenderer(config)


def checksum(chunk: np.ndarray[Any, Any], before: int) -> int:
    return zlib.crc32(np.asarray(chunk, "<i2").tobytes(), before)


def expected(pcm: np.ndarray[Any, Any], stream: int, *, heard: int = 0, before: int = 0) -> list[Seen]:
    """What the pictures of a stream say that hears this sound, filled up to whole chunks."""
    whole = np.concatenate((pcm, np.zeros(-len(pcm) % (CHUNK * SAMPLES_PER_FRAME), np.int16)))
    seen = []
    for frame in range(len(pcm) // SAMPLES_PER_FRAME):
        if frame % CHUNK == 0:
            start = frame * SAMPLES_PER_FRAME
            heard = checksum(whole[start : start + CHUNK * SAMPLES_PER_FRAME], heard)
        seen.append(Seen(stream, (before + frame) & 0xFF, heard & 0xFF))
    return seen


def seen(film: bytes) -> list[Seen]:
    """Read the pictures of a fragment or a clip."""
    with av.open(io.BytesIO(film)) as container:
        numbers = [
            card.read_card(picture.to_ndarray(format="yuv420p"))[0] for picture in container.decode(video=0)
        ]
    return [Seen(number >> 16, number >> 8 & 0xFF, number & 0xFF) for number in numbers]


def lost() -> AdapterError:
    return AdapterError("The model forgot us.", provider=MODEL, retryable=True, code="model_lost")


@pytest.fixture
def tapes(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Deck:
    """The model, known to this installation while the test lasts."""
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / f"{MODEL}.yaml").write_text(FILE)
    settings.MODELS_DIR = str(folder)
    monkeypatch.setitem(registry.RENDERERS, "tape", f"{__name__}:make")
    vars(deck).update(vars(Deck()))
    return deck
