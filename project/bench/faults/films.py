"""Finished videos, looked at by FFmpeg's decoder, and compared with what a customer heard."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from project.bench.faults.talk import Stretch, Talk
from project.bench.media import PACKET_SECONDS, Picture, Sound
from workers.adapters.avatar.mock.card import UnreadableCardError, read_card
from workers.rendering.probe import Inspection, inspect

STEP_SECONDS = PACKET_SECONDS
STEP_SAMPLES = round(48_000 * STEP_SECONDS)
FLOOR_DB = -60.0
PAUSE_SECONDS = 0.6  # what parts two bursts of speech
STALL_SECONDS = 0.15
SHORTEST_SECONDS = 0.8  # shorter ones say too little to be found again
LATE_SECONDS = 1.0  # by how much a burst may stand elsewhere than it came: jitter, and a busy machine
LIKE = 0.75  # correlation of loudness
LIKE_MICROPHONE = 0.6  # it went through an encoder, a network and a jitter buffer
# "A process that is killed loses at most its last three seconds" (docs/recordings.md), and some jitter.
LOST_SECONDS = 3.5
# A host that cannot be told of the end reads of it when it renews its lease, every two seconds.
OVER_SECONDS = 4.0
FPS = 25
VIDEO_CLOCK = 90_000
LATE_FRAMES = round(LATE_SECONDS * FPS)
SAME_CARDS = 0.9  # of a second
MOST_OFFSET_MS = 80.0
FARTHEST_SECONDS = 2.5  # so far apart are voice and lips looked for
LIKE_LIPS = 0.5  # of whole recordings it is 0.9 and more
STANDS_SECONDS = 0.1  # a picture that stands for longer says nothing of the voice
LOOK_SECONDS = 0.005
SPOKEN_SECONDS = 2.0  # open lips for so long have to be found in the voice
SOUND_APART_SECONDS = 0.12  # a frame, an AAC frame, and the encoder's delay


@dataclass(frozen=True, slots=True)
class Card:
    """One picture of a test card: when it is shown (seconds), its frame number, how open its mouth is."""

    at: float
    number: int
    level: float


@dataclass
class Film:
    """What is in a file. `loudness` (the avatar's) and `customer` are in dBFS for each 20 ms."""

    frames: int
    errors: int
    in_order: bool
    video_seconds: float
    audio_seconds: float
    loudness: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    customer: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    cards: list[Card] = field(default_factory=list)

    @classmethod
    def of(cls, path: Path, *, cards: bool = False) -> "Film":
        """Decode a whole file, and read the test cards in it. Raises `av.FFmpegError` for what is none."""
        seen: Inspection = inspect(path)
        in_order = all(later > sooner for sooner, later in pairwise(seen.pts))
        return cls(
            frames=seen.frames,
            errors=seen.errors,
            in_order=in_order,
            video_seconds=float(seen.video_seconds),
            audio_seconds=float(seen.audio_seconds),
            loudness=_loudness(path, 0),
            customer=_loudness(path, 1),
            cards=list(_cards(path)) if cards else [],
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
        return found + self._out_of_step()

    def _out_of_step(self) -> list[str]:
        """How the voice is not that of the lips."""
        spoken = self._spoken
        if spoken.like >= LIKE_LIPS and abs(spoken.offset_ms) > MOST_OFFSET_MS:
            return [f"the voice lags {spoken.offset_ms:.0f} ms behind the lips"]
        if spoken.like < LIKE_LIPS and spoken.seconds >= SPOKEN_SECONDS:
            return [f"lips that move for {spoken.seconds:.1f} s have no voice (likeness {spoken.like:.2f})"]
        return []

    def misplaced(self) -> list[str]:
        """Where the pictures of a clip of test cards are not each in its place, from 0 on."""
        numbers = [card.number for card in self.cards]
        if numbers == list(range(self.frames)):
            return []
        if len(numbers) != self.frames:
            return [f"{len(numbers)} of {self.frames} pictures are test cards"]
        wrong = [place for place, number in enumerate(numbers) if place != number]
        return [f"{len(wrong)} pictures are others, the first at {wrong[0]}: {numbers[wrong[0]]}"]

    def unlike(self, talk: Talk, origin: float | None) -> list[str]:
        """Where it is not what the customer heard. `origin` is zero of the session's timeline (Unix)."""
        if origin is None:
            return ["the session has no origin"] if talk.stretches else []
        found = [*self._unseen(talk, origin), *self._unspoken(talk, origin)]
        before = -math.inf
        for burst in _bursts(talk):
            due = burst.began + talk.seconds_to_wall - origin
            place, like = _place(self.loudness, burst.loudness, due - LATE_SECONDS, due + LATE_SECONDS)
            if like < LIKE:
                found.append(self._elsewhere(burst, due, like))
            elif place < before:
                found.append(f"what was heard at {due:.1f} s stands before what was heard sooner")
            else:
                before = place
        return found

    def goes_on(
        self, talk: Talk, origin: float | None, away: Sequence[tuple[float, float]] = ()
    ) -> list[str]:
        """Whether it is longer than the session was. `away`: when (monotonic) the host may have heard of
        nothing, because it stood still or its broker was gone."""
        if origin is None or talk.ended is None or talk.trouble:
            return []
        heard = [until for since, until in away if since <= talk.ended <= until]
        over = max(heard, default=talk.ended) + talk.seconds_to_wall - origin
        if self.video_seconds <= over + OVER_SECONDS:
            return []
        return [f"it has {self.video_seconds:.1f} s, and was over after {over:.1f} s"]

    def _unseen(self, talk: Talk, origin: float) -> Iterator[str]:
        """Where the test cards are not those that were seen, second by second."""
        looks = list(_seen(talk))
        if not self.cards:
            if looks:
                yield f"test cards were seen for {len(looks)} s, and none can be read in it"
            return
        shown = _every_frame(self.cards)
        for seen in looks:
            due = round((seen.began + talk.seconds_to_wall - origin) * FPS)
            there, late = _found(seen, shown, due)
            if there < len(seen.numbers) * SAME_CARDS:
                around = shown[max(0, due - LATE_FRAMES) : due + seen.places[-1] + LATE_FRAMES]
                yield (
                    f"{len(seen.numbers) - there} of {len(seen.numbers)} pictures seen at {due / FPS:.1f} s "
                    f"are not there, {late / FPS:+.2f} s later: {_ranges(seen.numbers)} in {_ranges(around)}"
                )

    def _unspoken(self, talk: Talk, origin: float) -> Iterator[str]:
        """What the customer said, and is not there."""
        for said in talk.aloud:
            sound = (np.frombuffer(said.pcm, np.int16) / 32768).astype(np.float32)
            seconds = len(sound) / 16_000
            if not _connected(talk, said.at - LATE_SECONDS, said.at + seconds + LOST_SECONDS):
                continue
            due = said.at + talk.seconds_to_wall - origin
            wanted = _decibels(sound, 16_000)
            _, like = _place(self.customer, wanted, due - LATE_SECONDS, due + LATE_SECONDS)
            if like < LIKE_MICROPHONE:
                yield f"what the customer said at {due:.1f} s is not there (likeness {like:.2f})"

    @property
    def offset_ms(self) -> float | None:
        """How much the voice lags behind the lips of the test cards; None where that cannot be told."""
        spoken = self._spoken
        return spoken.offset_ms if spoken.like >= LIKE_LIPS else None

    @cached_property
    def _spoken(self) -> "Spoken":
        """How voice and lips of the test cards go together."""
        until = min(self.video_seconds, self.audio_seconds) - 0.5
        if len(self.cards) < 2 or not self.loudness.size or until <= 0.5:
            return Spoken(0.0, 0.0, -1.0)
        every = np.arange(0.5, until, LOOK_SECONDS)
        shown = np.array([card.at + 0.020 for card in self.cards])
        following = np.clip(np.searchsorted(shown, every), 1, len(shown) - 1)
        moving = every[shown[following] - shown[following - 1] <= STANDS_SECONDS]
        if not moving.size:
            return Spoken(0.0, 0.0, -1.0)
        lips = np.interp(moving, shown, [card.level for card in self.cards])
        levels = np.clip((self.loudness + 50.0) / 40.0, 0.0, 1.0)  # as a card shows loudness
        times = (np.arange(len(levels)) + 0.5) * STEP_SECONDS
        shifts = np.arange(-FARTHEST_SECONDS, FARTHEST_SECONDS + LOOK_SECONDS / 2, LOOK_SECONDS)
        scores = [_correlation(lips, np.interp(moving + shift, times, levels)) for shift in shifts]
        best = int(np.argmax(scores))
        moves = lips.std() > 0.05  # a mouth that is wide open all the while is like any sound
        seconds = float((lips > 0.1).sum() * LOOK_SECONDS) if moves else 0.0
        return Spoken(seconds, float(shifts[best] * 1000), scores[best])

    def _elsewhere(self, burst: "Burst", due: float, like: float) -> str:
        """What is wrong with a burst that does not stand where it was heard."""
        what = f"{len(burst.loudness) * STEP_SECONDS:.1f} s heard at {due:.1f} s"
        place, best = _place(self.loudness, burst.loudness, 0.0, self.audio_seconds)
        if best >= LIKE:
            return f"{what} stand at {place:.1f} s (likeness there {best:.2f}, here {like:.2f})"
        return f"{what} are not there (likeness {like:.2f}, at most {best:.2f} at {place:.1f} s)"


@dataclass(frozen=True, slots=True)
class Spoken:
    """For how long lips are open, and where (milliseconds later) the voice is most like them."""

    seconds: float
    offset_ms: float
    like: float


def _place(
    where: NDArray[np.float32], wanted: NDArray[np.float32], since: float, until: float
) -> tuple[float, float]:
    """Where loudness fits best in a span, in seconds, and how well (correlation)."""
    first, last = max(0, round(since / STEP_SECONDS)), round(until / STEP_SECONDS)
    best, place = -1.0, since
    for at in range(first, last + 1):
        there = where[at : at + len(wanted)]
        if len(there) < len(wanted):
            break
        like = _correlation(wanted, there)
        if like > best:
            best, place = like, at * STEP_SECONDS
    return place, best


def _connected(talk: Talk, since: float, until: float) -> bool:
    """Whether one connection lasted all the while."""
    return any(each.began <= since and until <= (each.ended or math.inf) for each in talk.stretches)


@dataclass(frozen=True, slots=True)
class Look:
    """The cards of a second: when the first of them came (monotonic), and for each its number and its place
    by media time, in frames after the first."""

    began: float
    numbers: tuple[int, ...]
    places: tuple[int, ...]


def _seen(talk: Talk) -> Iterator[Look]:
    """What the customer saw, without what a dying process may have lost."""
    for stretch in talk.stretches:
        until = (stretch.ended or math.inf) - (LOST_SECONDS if stretch.cut else 0.0)
        pictures = [each for each in stretch.watcher.pictures if each.card is not None and each.at < until]
        for first in range(0, len(pictures) - FPS + 1, FPS):
            second = pictures[first : first + FPS]
            if second[-1].at - second[0].at < 1.5:  # else the process stood still meanwhile
                yield Look(
                    second[0].at,
                    tuple(int(each.card or 0) for each in second),
                    tuple(_frames_between(second[0], each) for each in second),
                )


def _frames_between(one: Picture, other: Picture) -> int:
    return round(((other.timestamp - one.timestamp) & 0xFFFFFFFF) * FPS / VIDEO_CLOCK)


def _found(seen: Look, shown: Sequence[int], due: int) -> tuple[int, int]:
    """How many of the pictures stand where they have to, and how many frames later all of them do: each at
    its own distance from the first. Those that were lost on the way count for nothing."""
    best, late = -1, 0
    for moved in sorted(range(-LATE_FRAMES, LATE_FRAMES + 1), key=abs):
        places = [due + moved + place for place in seen.places]
        there = sum(
            0 <= place < len(shown) and shown[place] == number
            for place, number in zip(places, seen.numbers, strict=True)
        )
        if there > best:
            best, late = there, moved
    return best, late


def _every_frame(cards: Sequence[Card]) -> list[int]:
    """The number that is shown in each frame: a picture stands until the next one."""
    shown: list[int] = []
    for card in cards:
        shown += [shown[-1] if shown else card.number] * (round(card.at * FPS) - len(shown))
        shown.append(card.number)
    return shown


def _ranges(numbers: Iterable[int]) -> str:
    """Numbers that follow each other as 3-9."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return " ".join(f"{first}-{last}" if last > first else f"{first}" for first, last in runs)


def _cards(path: Path) -> Iterator[Card]:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            with suppress(UnreadableCardError):
                number, level = read_card(frame.to_ndarray(format="yuv420p").astype(np.uint8, copy=False))
                yield Card(frame.time or 0.0, number, level)


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
        if not runs or _parted(runs[-1][-1], sound):
            runs.append([])
        runs[-1].append(sound)
    return runs


def _parted(one: Sound, other: Sound) -> bool:
    """Whether a pause lies between two packets, or a stall: media time does not know of those."""
    media = ((other.timestamp - one.timestamp) & 0xFFFFFFFF) / 48_000
    return media > PAUSE_SECONDS or other.at - one.at - media > STALL_SECONDS


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


def _loudness(path: Path, channel: int) -> NDArray[np.float32]:
    """How loud one channel is; nothing where there is none."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return np.zeros(0, np.float32)
        codec = container.streams.audio[0].codec_context
        if codec.channels <= channel:
            return np.zeros(0, np.float32)
        rate = codec.sample_rate
        parts = [frame.to_ndarray()[channel] for frame in container.decode(audio=0)]
    return _decibels(np.concatenate(parts).astype(np.float32), rate) if parts else np.zeros(0, np.float32)


def _decibels(sound: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """RMS for each 20 ms, in dBFS; `sound` is -1 to 1."""
    step = round(rate * STEP_SECONDS)
    power = (sound[: len(sound) // step * step].reshape(-1, step) ** 2).mean(axis=1)
    found: NDArray[np.float32] = np.maximum(10 * np.log10(np.maximum(power, 1e-12)), FLOOR_DB)
    return found.astype(np.float32)


def _correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    if one.std() == 0 or other.std() == 0:
        return -1.0
    return float(np.corrcoef(one, other)[0, 1])
