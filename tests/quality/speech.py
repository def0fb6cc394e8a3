"""Real speech with long pauses in it, and what is known about it."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from tests.support.models import config
from workers.adapters.avatar.base import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME, AudioWindow, Pcm, Phone
from workers.speech.loudness import TARGET_LUFS, levelled, lufs
from workers.speech.resample import TIMELINE_RATE, resampled
from workers.speechd.mouth import Mouth
from workers.speechd.voices import engines, front_ends

FEMALE, MALE = "en-heart", "en-joe"
PAUSE_SECONDS = 2.4
SCRIPT = (
    "Good morning, and welcome to a short tour of our new building.",
    "People move from room to room, and you may ask me about everything you see.",
    "Who knew that the moon could move you to such a good mood?",
    "Maybe we should bring a big map, because the paths by the sea are easy to miss.",
)


@dataclass(frozen=True, slots=True)
class Speech:
    """16 kHz sound of whole frames; phones in milliseconds; `paused` says which frames are silent."""

    pcm: Pcm
    phones: tuple[Phone, ...]
    paused: NDArray[np.bool_]

    @property
    def frames(self) -> int:
        return len(self.pcm) // SAMPLES_PER_FRAME

    @property
    def loudness(self) -> NDArray[np.float64]:
        """How loud each frame sounds: the A-weighted level (IEC 61672), by Stevens' power law."""
        return _heard(_a_weighted(self.pcm.astype(np.float64) / 32768))

    @property
    def energy(self) -> NDArray[np.float64]:
        """The same without weighting: what a level meter shows, low murmur of nasals and all."""
        return _heard(self.pcm.astype(np.float64) / 32768)

    def windows(self, *, with_phones: bool) -> list[AudioWindow]:
        """The fragments a render worker would be given."""
        profile = config("viseme").profile
        back, ahead, size = profile.lookback_samples, profile.lookahead_samples, profile.fragment_frames
        padded = np.pad(self.pcm, (back, ahead))
        found = []
        for start in range(0, self.frames, size):
            count = min(size, self.frames - start)
            pcm = padded[start * SAMPLES_PER_FRAME :][: back + count * SAMPLES_PER_FRAME + ahead]
            phones = _within(self.phones, start, count) if with_phones else ()
            found.append(AudioWindow(pcm, back, ahead, start, count, phones))
        return found


@cache
def speech(voice: str) -> Speech:
    """The script in one voice, levelled as the service levels it, silent between the sentences."""
    mouth = Mouth(engines(1), front_ends())
    sound, phones, quiet = [np.zeros(SAMPLE_RATE // 2, np.int16)], [], [np.ones(SAMPLE_RATE // 2, bool)]
    for sentence in SCRIPT:
        for line in mouth.read(sentence, voice):
            piece = mouth.say(line, voice, 1.0)
            at = sum(map(len, sound)) * 1000 // SAMPLE_RATE
            phones += [
                Phone(one.symbol, at + round(one.start * 1000), at + round(one.end * 1000))
                for one in piece.sounds
            ]
            sound.append(_levelled(piece.pcm, piece.sample_rate))
            quiet.append(np.zeros(len(sound[-1]), bool))
        sound.append(np.zeros(round(PAUSE_SECONDS * SAMPLE_RATE), np.int16))
        quiet.append(np.ones(len(sound[-1]), bool))
    pcm, silent = np.concatenate(sound), np.concatenate(quiet)
    length = len(pcm) // SAMPLES_PER_FRAME * SAMPLES_PER_FRAME
    paused = silent[:length].reshape(-1, SAMPLES_PER_FRAME).all(axis=1)
    return Speech(pcm[:length], tuple(phones), np.asarray(paused, np.bool_))


def settled(paused: NDArray[np.bool_], after: int = FPS * 3 // 10, before: int = 4) -> NDArray[np.bool_]:
    """The frames of pauses in which the mouth has had time to close and not begun to open."""
    frames = np.arange(len(paused))
    return np.array([paused[max(0, at - after) : at + before].all() for at in frames])


def _heard(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.sqrt((samples.reshape(-1, SAMPLES_PER_FRAME) ** 2).mean(axis=1)) ** 0.6)


def _a_weighted(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    f2 = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE) ** 2
    low = (f2 + 20.6**2) * np.sqrt((f2 + 107.7**2) * (f2 + 737.9**2))
    gain = 1.2589 * 12194**2 * f2**2 / (low * (f2 + 12194**2))
    return np.fft.irfft(np.fft.rfft(samples) * gain, len(samples))


def _levelled(pcm: bytes, rate: int) -> Pcm:
    whole = np.frombuffer(resampled(pcm, rate, TIMELINE_RATE), "<i2")
    samples: NDArray[np.float32] = whole.astype(np.float32) / np.float32(32768)
    samples = levelled(samples, TARGET_LUFS - lufs(samples))
    whole = np.rint(samples * 32767).astype("<i2")
    return np.frombuffer(resampled(whole.tobytes(), TIMELINE_RATE, SAMPLE_RATE), "<i2")


def _within(phones: tuple[Phone, ...], start: int, count: int) -> tuple[Phone, ...]:
    """The phones a window of frames is given, timed from its first frame."""
    at = start * 1000 // FPS
    until = count * 1000 // FPS + 200
    moved = (Phone(one.symbol, one.start_ms - at, one.end_ms - at) for one in phones)
    return tuple(one for one in moved if one.end_ms > -1000 and one.start_ms < until)
