"""The sound of one reply on one timeline, as far as it is known.

Utterances follow each other; each is filled up to whole frames. Speech synthesis puts sound in at one
end, animation takes frames out at the other. What was taken and is out of every window's reach is let
go, so a long reply needs no more memory than a short one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from workers.adapters.avatar.base import SAMPLES_PER_FRAME as HEARD_PER_FRAME
from workers.adapters.avatar.base import Phone, Profile
from workers.adapters.tts.base import Word
from workers.speech.decimate import Decimator
from workers.speech.spans import Span, shown_words

SAMPLES_PER_FRAME = 1920  # 48 kHz
FRAME_MS = 40
SMALLEST_SPAN = 5
"""Frames; less is only drawn where an utterance ends."""


@dataclass(slots=True)
class Spoken:
    """One utterance of a reply. `start` and `frames` count frames of the reply; times are ms from its start.

    `pause_ms` of silence lie at its end. `timed` says that phones came with it. `said` are the words
    of the voice, `spans` lead them back to those of the text; without spans they are the same.
    """

    number: int
    text: str
    start: int
    frames: int = 0
    complete: bool = False
    pause_ms: int = 0
    timed: bool = False
    phones: list[Phone] = field(default_factory=list)
    said: list[Word] = field(default_factory=list)
    spans: tuple[Span, ...] = ()

    @property
    def words(self) -> list[Word]:
        """The words that a reader sees, as far as they are timed. Costs a little: not for every chunk."""
        return shown_words(self.spans, self.said) if self.spans else self.said

    @property
    def end(self) -> int:
        return self.start + self.frames


@dataclass(frozen=True, slots=True)
class Stretch:
    """Frames of one utterance that can be drawn now; `index` counts the spans of the utterance."""

    utterance: int
    index: int
    start: int
    frames: int
    last: bool


class Track:
    """Grows at its end, is read at its cursor."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.utterances: list[Spoken] = []
        self.cursor = 0  # the first frame that was not taken
        self.finished = False
        self._pcm = bytearray()  # 48 kHz, from frame _first on
        self._first = 0
        self._heard = bytearray()  # 16 kHz, from sample _first_heard on
        self._first_heard = 0
        self._decimator = Decimator()
        self._index = 0
        self._changed = asyncio.Event()

    @property
    def frames(self) -> int:
        """Whole frames that are known."""
        return self._first + len(self._pcm) // (2 * SAMPLES_PER_FRAME)

    @property
    def ahead(self) -> int:
        """Whole frames that are known and not taken."""
        return self.frames - self.cursor

    def begin(self, text: str, spans: tuple[Span, ...] = ()) -> Spoken:
        """Open the next utterance."""
        spoken = Spoken(len(self.utterances), text, self.frames, spans=spans)
        self.utterances.append(spoken)
        return spoken

    def add(self, pcm: bytes) -> None:
        """Put sound behind what the open utterance has; 48 kHz mono s16le."""
        spoken = self.utterances[-1]
        self._pcm += pcm
        self._heard += self._decimator.feed(pcm)
        spoken.frames = self.frames - spoken.start
        self._wake()

    def close(self) -> None:
        """End the open utterance, filled up with silence to a whole frame."""
        spoken = self.utterances[-1]
        self.add(bytes(-len(self._pcm) % (2 * SAMPLES_PER_FRAME)))
        spoken.complete = True
        self._wake()

    @property
    def over(self) -> bool:
        """Whether nothing is left to take, and nothing follows."""
        return self.finished and not self.ahead

    def finish(self) -> None:
        """Nothing follows."""
        self._heard += self._decimator.flush()
        self.finished = True
        self._wake()

    def told(self) -> None:
        """Note that an utterance's times were added to."""
        self._wake()

    async def take(self, want: int, patience: Callable[[], float], *, timed: bool = False) -> Stretch | None:
        """Take the next span of about `want` frames; None when the reply is over.

        Frames whose look-ahead, and with `timed` whose phones, have yet to come are waited for as
        long as `patience()` says in seconds; it is asked each time something changed.
        """
        while True:
            self._changed.clear()
            spoken = self._at_cursor()
            if spoken is None and self.finished:
                return None
            frames = self._ready(spoken, want, timed=timed) if spoken else 0
            if spoken and frames > 0:
                return self._cut(spoken, frames)
            wait = patience() if frames else None
            if spoken and wait is not None and wait <= 0:
                return self._cut(spoken, -frames)
            await self._change(wait)

    def sound(self, span: Stretch) -> bytes:
        """The span's sound at 48 kHz."""
        begin = (span.start - self._first) * 2 * SAMPLES_PER_FRAME
        return bytes(self._pcm[begin : begin + span.frames * 2 * SAMPLES_PER_FRAME])

    def window(self, span: Stretch) -> bytes:
        """What a renderer hears of the span at 16 kHz, with silence where nothing is known."""
        first = span.start * HEARD_PER_FRAME - self.profile.lookback_samples
        last = (span.start + span.frames) * HEARD_PER_FRAME + self.profile.lookahead_samples
        begin = max(first, self._first_heard)
        known = bytes(self._heard[2 * (begin - self._first_heard) : 2 * (last - self._first_heard)])
        return (bytes(2 * (begin - first)) + known).ljust(2 * (last - first), b"\0")

    def phones(self, span: Stretch) -> tuple[Phone, ...]:
        """The phones in the span's window, timed from its first frame."""
        origin = span.start * FRAME_MS
        first_ms = -self.profile.lookback_samples // 16
        last_ms = span.frames * FRAME_MS + self.profile.lookahead_samples // 16
        placed: list[Phone] = []
        for spoken in self.utterances:
            shift = spoken.start * FRAME_MS - origin
            if shift < last_ms and (not spoken.complete or shift + spoken.frames * FRAME_MS > first_ms):
                placed += _within(spoken.phones, shift, first_ms, last_ms)
        return tuple(placed)

    def release(self) -> None:
        """Let go of sound that no window will hear again."""
        spare = self.cursor - self._first
        del self._pcm[: spare * 2 * SAMPLES_PER_FRAME]
        self._first += spare
        heard = self.cursor * HEARD_PER_FRAME - self.profile.lookback_samples - self._first_heard
        if heard > 0:
            del self._heard[: 2 * heard]
            self._first_heard += heard

    async def room(self, frames: int) -> None:
        """Wait until no more than `frames` are known and not taken."""
        while self.ahead > frames:
            self._changed.clear()
            await self._change(None)

    def _at_cursor(self) -> Spoken | None:
        for spoken in reversed(self.utterances):
            if spoken.start <= self.cursor:
                return spoken if self.cursor < spoken.end or not spoken.complete else None
        return None

    def _ready(self, spoken: Spoken, want: int, *, timed: bool) -> int:
        """Frames that can go; negative when they could, but had better wait; 0 when there are too few."""
        left = spoken.end - self.cursor
        whole = 0 if self.profile.stateless else self.profile.chunk_frames
        if spoken.complete:
            return left if left <= (want if whole else want * 3 // 2) else want
        frames = min(left, want)
        if whole:  # what is no whole chunk is only drawn where an utterance ends
            frames -= frames % whole
        elif frames < SMALLEST_SPAN:
            return 0
        if not frames:
            return 0
        seen = len(self._heard) // 2 + self._first_heard
        needed = (self.cursor + want) * HEARD_PER_FRAME + self.profile.lookahead_samples
        return frames if left >= want and seen >= needed and (spoken.timed or not timed) else -frames

    def _cut(self, spoken: Spoken, frames: int) -> Stretch:
        index = 0 if self.cursor == spoken.start else self._index + 1
        last = spoken.complete and self.cursor + frames == spoken.end
        span = Stretch(spoken.number, index, self.cursor, frames, last)
        self.cursor, self._index = self.cursor + frames, index
        self._wake()
        return span

    def _wake(self) -> None:
        self._changed.set()

    async def _change(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass


def _within(phones: list[Phone], shift: int, first_ms: int, last_ms: int) -> list[Phone]:
    return [
        Phone(phone.symbol, phone.start_ms + shift, phone.end_ms + shift)
        for phone in phones
        if phone.end_ms + shift > first_ms and phone.start_ms + shift < last_ms
    ]
