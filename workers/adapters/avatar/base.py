"""What every model that draws an avatar looks like from outside.

A renderer turns sound into pictures in three steps over the state of one stream:
`extract_features` hears, `infer` decides, `compose_frame` draws. A stateless renderer's frame
depends only on the avatar and on the sound around that frame, so its fragments can be drawn by
different workers in any order and still join without a jump.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

FPS = 25
SAMPLE_RATE = 16_000
SAMPLES_PER_FRAME = SAMPLE_RATE // FPS  # 640
IDLE_FRAMES = 250  # ten seconds: the period of head motion, breathing and blinks

Picture = NDArray[np.uint8]
"""BGR, shape (height, width, 3), or BGRA, shape (height, width, 4)."""

I420 = NDArray[np.uint8]
"""Planar 4:2:0, shape (height * 3 // 2, width), BT.601 limited range; even height and width."""

Pcm = NDArray[np.int16]
"""Mono, 16 kHz."""


@dataclass(frozen=True, slots=True)
class Phone:
    """One speech sound as the synthesiser timed it; `symbol` is IPA."""

    symbol: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class AudioWindow:
    """What a renderer may hear to draw frames `start_frame` to `start_frame + frames - 1`.

    `pcm[lookback]` is the first sample of `start_frame`; `len(pcm)` is
    `lookback + frames * 640 + lookahead`, padded with zeros outside the clip. Phones are timed
    relative to the first frame, so those in the lookback have negative times; none are given
    where the synthesiser told none. `live` says that somebody is waiting, `first` that a session shows the
    idle loop before this window, `last` that it does behind it. A window that was filled up with
    silence shows only its first `shown` frames; 0 means all.
    """

    pcm: Pcm
    lookback: int
    lookahead: int
    start_frame: int
    frames: int
    phones: tuple[Phone, ...] = ()
    live: bool = False
    first: bool = False
    last: bool = False
    shown: int = 0

    @property
    def visible(self) -> int:
        """The frames that are shown."""
        return self.shown or self.frames


@dataclass(frozen=True, slots=True)
class Profile:
    """A model's fixed facts, read from `configs/models/<id>.yaml`.

    `queue` serves clips, `live_queue` sessions. `live_slots` is how many sessions may speak at once
    for each live worker. A stateful model draws one stream in order, in one place; in sessions its
    fragments hold whole multiples of `chunk_frames`, which is what it draws at a time.
    """

    id: str
    backend: str
    queue: str
    stateless: bool
    live_queue: str = ""
    live_slots: int = 1
    fps: int = FPS
    sample_rate: int = SAMPLE_RATE
    lookback_samples: int = 0
    lookahead_samples: int = 0
    first_fragment_frames: int = 25
    fragment_frames: int = 75
    memory_mb: int = 256
    width: int | None = None
    height: int | None = None
    chunk_frames: int = 1


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in fractions of the picture's size, 0 to 1."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Background:
    """What stands behind an avatar with transparency: a BGR picture of the avatar's size."""

    image: Picture


@dataclass(frozen=True, slots=True)
class Still:
    """A portrait: BGR or BGRA."""

    image: Picture


@dataclass(frozen=True, slots=True)
class Footage:
    """A short template video, its frames in playing order."""

    frames: Sequence[Picture]
    fps: float


Source = Still | Footage


@dataclass(slots=True)
class PreparedAvatar:
    """Everything a render worker needs (`bundle`), and what the catalogue shows."""

    bundle: bytes
    width: int
    height: int
    mouth_box: Box
    landmarks: list[tuple[float, float]]
    preview: Picture
    idle: Iterator[I420]
    idle_frames: int
    has_alpha: bool
    warnings: list[str] = field(default_factory=list)


class Preparer(Protocol):
    """Makes an avatar ready for one model. Raises `PreparationError`."""

    def prepare(
        self,
        source: Source,
        *,
        mouth_box: Box | None = None,
        progress: Callable[[int], None] = lambda percent: None,
    ) -> PreparedAvatar: ...


class Renderer(Protocol):
    """One model. Not thread-safe: one instance per render thread. Raises `AdapterError`.

    A stateful model's streams are given their windows in order, and are `StatefulRenderer`s.
    """

    profile: Profile

    def load(self, bundle: bytes) -> Any:
        """Unpack a prepared avatar; callers keep the result and share it between streams."""

    def open_stream(self, avatar: Any, *, start_frame: int = 0, background: Background | None = None) -> Any:
        """Begin drawing; the returned state belongs to this stream alone."""

    def extract_features(self, stream: Any, window: AudioWindow) -> Any: ...

    def infer(self, stream: Any, features: Any) -> Sequence[Any]:
        """Return one pose per frame of the window."""

    def compose_frame(self, stream: Any, pose: Any) -> I420:
        """Draw one pose. The picture is valid until the next call."""


class StatefulRenderer(Renderer, Protocol):
    """A model whose next frames depend on those before: a stream is drawn in order, in one place."""

    def reset(self, stream: Any) -> None:
        """Forget the sound and movement so far: what comes next does not continue it."""

    def close_stream(self, stream: Any) -> None:
        """Give back what the stream holds (a connection, a lease, a place on a server); never raises."""


@runtime_checkable
class Warmable(Protocol):
    """A renderer that can get ready, and be tried, without an avatar."""

    def warm(self) -> None:
        """Load what the first fragment would wait for, and try it: networks run once with the largest batch,
        services are asked whether they would serve. Raises `AdapterError` that says what is wrong; it is
        called again then, from time to time, until it succeeds. Takes no lease and disturbs nobody.
        """
