"""Whether a voice in the microphone is the avatar's own, from the customer's loudspeaker.

Browsers cancel echo, but not always and not at once. So the microphone is held against what the avatar
said up to 0.8 s ago: in 14 bands of loudness over the last 1.2 s, some delay and some gain per band must
explain what is heard now. A room's reverberation, a telephone's band and noise change that little; a
person who begins to talk cannot be explained by it. Nothing is computed while the microphone is silent.
"""

from collections import deque
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from sessions.pipeline.vad import CHUNK_MS, RATE, Samples

Levels = npt.NDArray[np.float32]

STEP_MS = 16
STEP = STEP_MS * RATE // 1000  # samples at 16 kHz
BANDS = 14
LOWEST_HZ, HIGHEST_HZ = 150, 5_000
LONGEST_LAG = 50  # steps: 0.8 s
WINDOW = 75  # steps: 1.2 s that a delay and gains are fitted to
RECENT = 14  # steps: 224 ms that have to be explained
LAGS = 4  # delays that are tried
ENOUGH = 12  # steps with the avatar's voice that gains can be told from
DECAY_DB = 2.0  # per step: a room of half a second
FLOOR_DB = -75.0
ACTIVE_DB = -62.0  # the avatar's own level from which it can be heard at all
AUDIBLE_DB = 6.0  # above the room
USUAL = np.full(BANDS, -3.0, np.float32)  # the gain of a loud loudspeaker, until it is known
# Each moment counts what is more than 2 dB louder than the echo, 4.5 dB at most, so that a knock is
# not enough. Echoes alone came to 23 in 36 rooms and 4 minutes, voices over them to 30 within 0.2 s.
MARGIN_DB, MOST_DB = 2.0, 4.5
SUSPICIOUS = 30.0
CALM = 16.0
ALIKE = 0.75  # correlation of loudness at which a delay is certain
GAIN_CHANGE_DB = 4.0  # how much louder an echo may become, and how many steps its delay may change,
LAG_CHANGE = 6
TRUST_MS = 3_000  # from one time that it was the avatar alone to the next
TRUSTED_FITS = 2
SURE_TIMES = 2
KEEP_MS = 2_500


@dataclass(frozen=True, slots=True)
class Piece:
    """Sound of the avatar, from `start_ms` of the timeline on."""

    start_ms: int
    samples: Samples
    rate: int

    @property
    def end_ms(self) -> int:
        return self.start_ms + len(self.samples) * 1000 // self.rate


@dataclass(frozen=True, slots=True)
class Fit:
    """What an echo of one delay leaves unexplained (see SUSPICIOUS); its gains, where they could be told."""

    lag: int
    unexplained: float
    gains: Levels | None


@dataclass(frozen=True, slots=True)
class Path:
    """The way from loudspeaker to microphone, as it was a moment ago. It is trusted after a few fits."""

    lag: int
    gains: Levels
    fits: int
    until_ms: int

    @classmethod
    def of(cls, fit: Fit, before: "Path | None", now_ms: int) -> "Path | None":
        if fit.gains is None:
            return before
        if before is None or abs(before.lag - fit.lag) > LAG_CHANGE:
            return cls(fit.lag, fit.gains, 1, now_ms + TRUST_MS)
        gains: Levels = 0.7 * before.gains + 0.3 * fit.gains
        return cls(fit.lag, gains, before.fits + 1, now_ms + TRUST_MS)

    @property
    def trusted(self) -> bool:
        return self.fits >= TRUSTED_FITS

    def lags(self) -> range:
        return range(max(0, self.lag - LAG_CHANGE), min(LONGEST_LAG, self.lag + LAG_CHANGE) + 1, 2)


class EchoGuard:
    """Knows what the avatar says and what the microphone heard meanwhile."""

    def __init__(self) -> None:
        self._pieces: deque[Piece] = deque()
        self._voice = Strip()
        self._microphone = Strip()
        self._unread: deque[bytes] = deque(maxlen=WINDOW // 2)
        self._tail = np.zeros(STEP, np.int16)
        self._heard_ms = 0
        self._suspicions = 0
        self._lag = 0
        self._path: Path | None = None
        self._calm_until_ms = 0

    def said(self, pcm: bytes, at_ms: int, *, rate: int) -> None:
        """The avatar's sound from a moment on: mono s16le, of one rate for the whole session."""
        self._pieces.append(Piece(at_ms, np.frombuffer(pcm, np.int16, len(pcm) // 2), rate))
        while self._pieces[0].end_ms < self._heard_ms - KEEP_MS and len(self._pieces) > 1:
            self._pieces.popleft()

    def cut(self, at_ms: int) -> None:
        """Nothing from this moment on is played."""
        self._pieces = deque(_before(piece, at_ms) for piece in self._pieces if piece.start_ms < at_ms)

    def sounding(self, now_ms: int) -> bool:
        """Whether something that the avatar said may still come back."""
        longest = LONGEST_LAG * STEP_MS
        return any(p.start_ms <= now_ms and p.end_ms > now_ms - longest for p in self._pieces)

    def heard(self, chunk: bytes, end_ms: int) -> None:
        """Keep 32 ms of the microphone for later; they cost nothing until somebody asks."""
        if end_ms // STEP_MS - self._heard_ms // STEP_MS != len(chunk) // (2 * STEP):
            self._unread.clear()
        self._unread.append(chunk)
        self._heard_ms = end_ms

    def explains(self) -> bool:
        """Whether what the microphone heard last may be the avatar's own voice."""
        if self._heard_ms >= self._calm_until_ms:
            score = self._score()
            self._suspicions = self._suspicions + 1 if score > SUSPICIOUS else 0
            # What is well explained now is looked at again in 64 ms.
            self._calm_until_ms = self._heard_ms + (2 * CHUNK_MS if score < CALM else 0)
        return self._suspicions < SURE_TIMES

    def _score(self) -> float:
        now = self._heard_ms // STEP_MS
        self._read_microphone(now)
        self._read_voice(now)
        heard = self._microphone.read(now - WINDOW, now)
        likeness = Likeness(heard, self._voice.read(now - WINDOW - LONGEST_LAG, now))
        path = self._path if self._path and self._heard_ms < self._path.until_ms else None
        best = likeness.fit(self._lag, path)
        if best.unexplained >= CALM:  # the delay that fitted last time does not: look for another one
            lags = path.lags() if path and path.trusted else likeness.lags()
            best = min((likeness.fit(lag, path) for lag in lags), key=lambda fit: fit.unexplained)
        elif (lag := likeness.sure_lag()) is not None:
            self._path = Path.of(likeness.fit(lag, path), path, self._heard_ms)
        self._lag = best.lag
        return best.unexplained

    def _read_microphone(self, now: int) -> None:
        if self._unread:
            sound = np.frombuffer(b"".join(self._unread), np.int16)
            self._microphone.write(_levels(np.concatenate((self._tail, sound)), RATE), now)
            self._tail = sound[-STEP:]
            self._unread.clear()

    def _read_voice(self, now: int) -> None:
        begin = max(self._voice.end, now - WINDOW - LONGEST_LAG)
        if begin < now:
            rate = self._pieces[-1].rate if self._pieces else RATE
            self._voice.write(_levels(self._spoken(begin - 1, now, rate), rate), now)

    def _spoken(self, begin: int, end: int, rate: int) -> Samples:
        """The avatar's sound between two steps, silence where it said nothing."""
        step = STEP_MS * rate // 1000
        sound = np.zeros((end - begin) * step, np.int16)
        for piece in self._pieces:
            at = piece.start_ms * rate // 1000 - begin * step
            source = piece.samples[max(0, -at) :]
            count = min(len(source), len(sound) - max(0, at))
            if count > 0 and piece.rate == rate:
                sound[max(0, at) :][:count] = source[:count]
        return sound


class Strip:
    """Levels of bands over time; what was not written is silence."""

    LENGTH = 256

    def __init__(self) -> None:
        self._rows = np.full((self.LENGTH, BANDS), FLOOR_DB, np.float32)
        self.end = 0

    def write(self, rows: Levels, end: int) -> None:
        """Rows that end before step `end`; a gap before them becomes silence."""
        begin = end - len(rows)
        if begin > self.end:
            gap = np.arange(max(self.end, begin - self.LENGTH), begin) % self.LENGTH
            self._rows[gap] = FLOOR_DB
        self._rows[np.arange(begin, end) % self.LENGTH] = rows
        self.end = end

    def read(self, begin: int, end: int) -> Levels:
        """Rows of the steps from `begin` to `end`, which is at most where the strip ends."""
        rows: Levels = self._rows[np.arange(begin, end) % self.LENGTH]
        return rows


class Likeness:
    """What was heard beside what was said.

    `heard` is (WINDOW, BANDS), `said` (LONGEST_LAG + WINDOW, BANDS), in dBFS; both end now.
    """

    def __init__(self, heard: Levels, said: Levels) -> None:
        self._heard = heard
        self._said = _smeared(said)
        known = heard[heard.max(axis=1) > FLOOR_DB]  # sound that was not there tells nothing of the room
        quiet = len(known) // 10
        self._noise = np.partition(known, quiet, axis=0)[quiet] if len(known) else heard[0]
        self._recent = heard[-RECENT:]
        self._audible = self._recent > self._noise + AUDIBLE_DB

    def fit(self, lag: int, path: Path | None) -> Fit:
        """How an echo of this delay would sound; not much louder than on the way that is known."""
        source = self._said[LONGEST_LAG - lag :][:WINDOW]
        gains = self._gains(source)
        used = USUAL if gains is None else gains
        if path is not None and path.trusted:
            used = np.minimum(used, path.gains + GAIN_CHANGE_DB)
        predicted = np.maximum(source[-RECENT:] + used, self._noise)
        above = np.clip(self._recent - predicted, 0.0, 20.0) * self._audible
        excess = above.sum(axis=1) / np.maximum(self._audible.sum(axis=1), 3)
        return Fit(lag, float(np.clip(excess - MARGIN_DB, 0.0, MOST_DB).sum()), gains)

    def lags(self) -> list[int]:
        """The delays at which both get loud together, not beside each other, the likeliest first."""
        alike, found = self._alike(), list[int]()
        for _ in range(LAGS):
            index = int(np.argmax(alike))
            found.append(LONGEST_LAG - index)
            alike[max(0, index - 2) : index + 3] = -1.0
        return found

    def sure_lag(self) -> int | None:
        """The one delay that everything speaks for, if there is one."""
        alike = self._alike()
        index = int(np.argmax(alike))
        enough = int((self._said[index:][:WINDOW].max(axis=1) > ACTIVE_DB).sum()) >= 2 * ENOUGH
        return LONGEST_LAG - index if enough and alike[index] > ALIKE else None

    def _alike(self) -> Levels:
        """Correlation of loudness for each delay, the longest first."""
        loud = self._heard.mean(axis=1)
        loud -= loud.mean()
        # Counted from silence, so that a delay at which nothing was said yet is like nothing.
        others = np.lib.stride_tricks.sliding_window_view(self._said.mean(axis=1) - FLOOR_DB, WINDOW)
        spread = np.sqrt(np.maximum(others.var(axis=1) * float(loud @ loud) * WINDOW, 1e-3))
        alike: Levels = others @ loud / spread
        return alike

    def _gains(self, source: Levels) -> Levels | None:
        """The gain of each band from loudspeaker to microphone, where the avatar was heard long enough.

        From the time before the last moments if that is possible: those may be somebody else's.
        """
        active = source.max(axis=1) > ACTIVE_DB
        before = active.copy()
        before[-RECENT:] = False
        chosen = before if int(before.sum()) >= ENOUGH else active
        if int(chosen.sum()) < ENOUGH:
            return None
        gains: Levels = np.median(self._heard[chosen] - source[chosen], axis=0)
        return gains


def _smeared(levels: Levels) -> Levels:
    """Levels that fall no faster than a room lets them, over eight steps."""
    out = levels.copy()
    for step in (1, 2, 4):
        out[step:] = np.maximum(out[step:], out[:-step] - DECAY_DB * step)
    return out


def _levels(samples: Samples, rate: int) -> Levels:
    """Loudness of each band in each 16 ms but the first, which the second one reaches back to, in dBFS."""
    step = STEP_MS * rate // 1000
    window, edges = _window(2 * step), _edges()
    frames = np.lib.stride_tricks.sliding_window_view(samples, 2 * step)[::step]
    spectrum = np.fft.rfft(frames * window, axis=1)[:, : edges[-1]]
    power = np.add.reduceat(spectrum.real**2 + spectrum.imag**2, edges[:-1], axis=1)
    full = (32768.0 * step / 2) ** 2
    levels: Levels = np.maximum(10 * np.log10(power / full + 1e-12), FLOOR_DB).astype(np.float32)
    return levels


@cache
def _window(length: int) -> Levels:
    return np.hanning(length).astype(np.float32)


@cache
def _edges() -> npt.NDArray[np.int64]:
    """Bins of 31.25 Hz where bands begin and end, whatever the rate."""
    hz = np.geomspace(LOWEST_HZ, HIGHEST_HZ, BANDS + 1)
    return np.unique(np.round(hz / (1000 / (2 * STEP_MS))).astype(np.int64))


def _before(piece: Piece, at_ms: int) -> Piece:
    return Piece(piece.start_ms, piece.samples[: (at_ms - piece.start_ms) * piece.rate // 1000], piece.rate)
