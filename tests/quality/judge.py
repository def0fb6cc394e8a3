"""Renders speech with a portrait, decodes the finished fragments, and measures what can be seen."""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from tests.quality.landmarkers import Landmarker, mesh
from tests.quality.speech import Speech, settled
from tests.support.models import renderer as renderer_of
from workers.adapters.avatar.base import FPS, Picture, PreparedAvatar, Still
from workers.adapters.avatar.viseme.drawing import Portrait
from workers.adapters.avatar.viseme.prepare import VisemePreparer
from workers.rendering.fragment import render_fragment

Floats = NDArray[np.float64]
ROOT = Path(__file__).resolve().parents[2]
BUILTIN, TEST_DATA = ROOT / "generation" / "avatars" / "builtin", ROOT / "tests" / "data"
ASTRONAUT = "astronaut"
LAGS = range(-4, 5)  # frames that the mouth may be late; negative is early


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was measured on one video."""

    correlation: float
    lag: int
    with_energy: float
    reversed: float
    speaking: float
    paused: float
    closed: float
    width_u: float
    width_i: float
    still_psnr: float


@dataclass(frozen=True, slots=True)
class Video:
    """A finished video: its encoded fragments, and the portrait they were drawn from."""

    prepared: PreparedAvatar
    portrait: Portrait
    fragments: tuple[bytes, ...]

    def frames(self) -> Iterator[Picture]:
        for fragment in self.fragments:
            with av.open(BytesIO(fragment), "r") as movie:
                for frame in movie.decode(video=0):
                    yield cast("Picture", frame.to_ndarray(format="bgr24"))


def render(picture: Picture, speech: Speech, *, with_phones: bool) -> Video:
    prepared = VisemePreparer().prepare(Still(picture))
    renderer = renderer_of("viseme")
    portrait = renderer.load(prepared.bundle)
    stream = renderer.open_stream(portrait)
    fragments = tuple(
        render_fragment(renderer, stream, window, width=prepared.width, height=prepared.height).data
        for window in speech.windows(with_phones=with_phones)
    )
    return Video(prepared, portrait, fragments)


def judge(video: Video, speech: Speech, landmarker: Landmarker | None = None) -> Verdict:
    look = landmarker or mesh()
    lips, still = [], []
    reference = video.prepared.preview
    for number, frame in enumerate(video.frames()):
        lips.append(look(frame))
        if number % FPS == 0:
            still.append(_psnr_of_still_parts(frame, reference, video.portrait))
    opening = np.array([one.opening for one in lips])
    width = np.array([one.width for one in lips])
    correlation, lag = best_correlation(opening, speech.loudness)
    quiet = settled(speech.paused)
    return Verdict(
        correlation=correlation,
        lag=lag,
        with_energy=best_correlation(opening, speech.energy)[0],
        reversed=best_correlation(opening, speech.loudness[::-1])[0],
        speaking=float(opening[~speech.paused].mean()),
        paused=float(opening[quiet].mean()),
        closed=closed_share(opening, speech, float(opening[quiet].mean())),
        width_u=_width_of(width, speech, "uʊw"),
        width_i=_width_of(width, speech, "iɪ"),  # noqa: RUF001
        still_psnr=float(np.min(still)),
    )


def best_correlation(opening: Floats, loudness: Floats) -> tuple[float, int]:
    """The correlation of mouth and loudness, and how many frames late the mouth is, at their best."""
    found = []
    for lag in LAGS:
        mouth, sound = opening[max(0, lag) : len(opening) + min(0, lag)], loudness
        sound = loudness[max(0, -lag) : len(loudness) - max(0, lag)]
        found.append((float(np.corrcoef(mouth, sound)[0, 1]), lag))
    return max(found)


def closed_share(opening: Floats, speech: Speech, rest: float) -> float:
    """The share of m, b and p at which a frame shows lips as good as closed."""
    limit = max(0.012, rest + 0.008)
    seen = []
    for phone in speech.phones:
        if phone.symbol[:1] in "mbp":
            first, last = phone.start_ms * FPS // 1000, -(-phone.end_ms * FPS // 1000)
            seen.append(opening[first : max(first + 1, last)].min() <= limit)
    return float(np.mean(seen))


def _width_of(width: Floats, speech: Speech, symbols: str) -> float:
    """The mean width of the mouth in the middle of some sounds."""
    middles = [
        (phone.start_ms + phone.end_ms) * FPS // 2000
        for phone in speech.phones
        if phone.symbol[:1] in symbols
    ]
    return float(width[middles].mean())


def _psnr_of_still_parts(frame: Picture, reference: Picture, portrait: Portrait) -> float:
    """PSNR to the portrait outside of what head, breath and mouth move."""
    still = ~portrait.moving()
    if still.sum() < 400:
        return float("inf")
    error = (frame[still].astype(np.float64) - reference[still]) ** 2
    return float(10 * np.log10(255**2 / max(float(error.mean()), 1e-9)))


def portrait(name: str) -> Picture:
    """A shipped avatar's portrait by its name, or the astronaut of the tests, at twice its size."""
    path = TEST_DATA / "astronaut.jpg" if name == ASTRONAUT else next((BUILTIN / name).glob("portrait.*"))
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise FileNotFoundError(path)
    return grown(np.asarray(picture, np.uint8), 2) if name == ASTRONAUT else np.asarray(picture, np.uint8)


def grown(picture: Picture, factor: int) -> Picture:
    return np.asarray(
        cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC), np.uint8
    )
