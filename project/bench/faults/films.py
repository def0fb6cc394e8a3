"""Finished videos, looked at by FFmpeg's decoder, and compared with what a customer heard."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from project.bench.faults.talk import Stretch, Talk
from project.bench.media import PACKET_SECONDS, Sound
from workers.rendering.probe import Inspection, inspect

STEP_SECONDS = PACKET_SECONDS
STEP_SAMPLES = round(48_000 * STEP_SECONDS)
FLOOR_DB = -60.0
PAUSE_SECONDS = 0.6  # what parts two bursts of speech
SHORTEST_SECONDS = 0.4  # shorter ones say too little to be found again
LATE_SECONDS = 1.0  # by how much a burst may stand elsewhere than it came: jitter, and a busy machine
LIKE = 0.75  # correlation of loudness
# "A process that is killed loses at most its last three seconds" (docs/recordings.md), and some jitter.
LOST_SECONDS = 3.5
SOUND_APART_SECONDS = 0.12  # a frame, an AAC frame, and the encoder's delay


@dataclass
class Film:
    """What is in a file. `loudness` is the avatar's side, in dBFS for each 20 ms."""

    frames: int
    errors: int
    in_order: bool
    video_seconds: float
    audio_seconds: float
    loudness: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))

    @classmethod
    def of(cls, path: Path) -> "Film":
        """Decode a whole file. Raises `av.FFmpegError` for what is none."""
        seen: Inspection = inspect(path)
        in_order = all(later > sooner for sooner, later in pairwise(seen.pts))
        return cls(
            frames=seen.frames,
            errors=seen.errors,
            in_order=in_order,
            video_seconds=seen.frames / 25,
            audio_seconds=float(seen.audio_seconds),
            loudness=_loudness(path),
        )

    def wrong(self) -> list[str]:
        """What is wrong with the file by itself."""
        found = []
        if not self.frames:
            found.append("no pictures")
        if self.errors:
            found.append(f"{self.errors} pictures cannot be decoded")
        if not self.in_order:
            found.append("pictures are out of order")
        if abs(self.video_seconds - self.audio_seconds) > SOUND_APART_SECONDS:
            found.append(f"{self.video_seconds:.2f} s of pictures, {self.audio_seconds:.2f} s of sound")
        return found

    def unlike(self, talk: Talk, origin: float | None) -> list[str]:
        """Where it is not what the customer heard. `origin` is zero of the session's timeline (Unix)."""
        if origin is None:
            return ["the session has no origin"] if talk.stretches else []
        found: list[str] = []
        before = -math.inf
        for burst in _bursts(talk):
            due = burst.began + talk.seconds_to_wall - origin
            place, like = self._place(burst.loudness, due)
            if like < LIKE:
                found.append(f"what was heard at {due:.1f} s is not there (likeness {like:.2f})")
            elif place < before:
                found.append(f"what was heard at {due:.1f} s stands before what was heard sooner")
            else:
                before = place
        return found

    def _place(self, burst: NDArray[np.float32], due: float) -> tuple[float, float]:
        """Where a burst fits best near `due`, in seconds, and how well (correlation)."""
        first = max(0, round((due - LATE_SECONDS) / STEP_SECONDS))
        last = round((due + LATE_SECONDS) / STEP_SECONDS)
        best, place = -1.0, due
        for at in range(first, last + 1):
            there = self.loudness[at : at + len(burst)]
            if len(there) < len(burst):
                break
            like = _correlation(burst, there)
            if like > best:
                best, place = like, at * STEP_SECONDS
        return place, best


@dataclass(frozen=True, slots=True)
class Burst:
    """Speech without a longer pause in it: when it came (monotonic seconds), and its loudness every 20 ms."""

    began: float
    loudness: NDArray[np.float32]


def _bursts(talk: Talk) -> list[Burst]:
    """What the customer heard, without what a dying process may have lost."""
    found: list[Burst] = []
    for stretch in talk.stretches:
        until = (stretch.ended or math.inf) - (LOST_SECONDS if stretch.cut else 0.0)
        found += [burst for run in _runs(stretch) if (burst := _burst(run, until)) is not None]
    return found


def _runs(stretch: Stretch) -> list[list[Sound]]:
    """The audible packets of a stretch, parted at pauses of their media time or of their arrival."""
    runs: list[list[Sound]] = []
    for sound in stretch.watcher.sounds:
        if not sound.audible:
            continue
        if not runs or _apart(runs[-1][-1], sound) > PAUSE_SECONDS:
            runs.append([])
        runs[-1].append(sound)
    return runs


def _apart(one: Sound, other: Sound) -> float:
    media = ((other.timestamp - one.timestamp) & 0xFFFFFFFF) / 48_000
    return max(media, other.at - one.at)


def _burst(run: Sequence[Sound], until: float) -> Burst | None:
    kept = [sound for sound in run if sound.at < until]
    if not kept:
        return None
    steps = [((sound.timestamp - kept[0].timestamp) & 0xFFFFFFFF) // STEP_SAMPLES for sound in kept]
    if (steps[-1] + 1) * STEP_SECONDS < SHORTEST_SECONDS:
        return None
    loudness = np.full(steps[-1] + 1, FLOOR_DB, np.float32)
    for step, sound in zip(steps, kept, strict=True):
        loudness[step] = max(FLOOR_DB, sound.loudness)
    return Burst(kept[0].at, loudness)


def _loudness(path: Path) -> NDArray[np.float32]:
    """RMS of the first channel for each 20 ms, in dBFS."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return np.zeros(0, np.float32)
        rate = container.streams.audio[0].codec_context.sample_rate
        parts = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    if not parts:
        return np.zeros(0, np.float32)
    sound = np.concatenate(parts).astype(np.float32)
    step = round(rate * STEP_SECONDS)
    power = (sound[: len(sound) // step * step].reshape(-1, step) ** 2).mean(axis=1)
    decibels = 10 * np.log10(np.maximum(power, 1e-12))
    found: NDArray[np.float32] = np.maximum(decibels, FLOOR_DB).astype(np.float32)
    return found


def _correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    if one.std() == 0 or other.std() == 0:
        return -1.0
    return float(np.corrcoef(one, other)[0, 1])
