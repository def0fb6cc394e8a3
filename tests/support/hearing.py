"""What a microphone hears in a test: voices, rooms, and the avatar from a loudspeaker."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, fftconvolve, sosfilt

from workers.adapters.errors import AdapterError
from workers.adapters.stt.base import Transcript
from workers.adapters.stt.growing import Growing

RATE = 16_000
SPEECH = Path(__file__).parents[1] / "data" / "speech"
Sound = NDArray[np.float32]


@cache
def spoken(name: str) -> Sound:
    """Somebody speaking: float samples at 16 kHz in the range of int16. See tests/data/speech."""
    with av.open(str(SPEECH / f"{name}.ogg")) as container:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
        frames = [*container.decode(audio=0), None]
        parts = [part.to_ndarray()[0] for frame in frames for part in resampler.resample(frame)]
    sound = np.concatenate(parts).astype(np.float32)
    first = int(np.argmax(np.abs(sound) > 800))
    return sound[max(0, first - RATE // 100) :]


def room(seconds: float, level_db: float = -60.0, seed: int = 0) -> Sound:
    """The even noise of a room or a fan, at this level."""
    noise = np.random.default_rng(seed).standard_normal(int(seconds * RATE))
    return _f32(noise * 32768 * 10 ** (level_db / 20))


def fan(seconds: float, level_db: float = -38.0) -> Sound:
    """A fan beside the microphone: low noise with a hum in it, breathing a little."""
    noise = sosfilt(butter(1, 900, fs=RATE, output="sos"), room(seconds, 0.0, 3))
    times = np.arange(noise.size) / RATE
    hum = 6000 * np.sin(2 * np.pi * 118 * times) * (1 + 0.15 * np.sin(2 * np.pi * 0.7 * times))
    sound = noise + hum
    return _f32(sound * (32768 * 10 ** (level_db / 20) / np.sqrt(np.mean(sound**2))))


def clicks(seconds: float, every: float = 0.17, peak: float = 9000.0) -> Sound:
    """Somebody typing: short bursts, two for each key."""
    sound, rng = np.zeros(int(seconds * RATE), np.float32), np.random.default_rng(4)
    for begin in np.arange(0.1, seconds - 0.2, every):
        for later, loud in ((0.0, 1.0), (0.07, 0.5)):
            at = int((begin + later + rng.uniform(0, 0.03)) * RATE)
            burst = rng.standard_normal(160) * np.exp(-np.arange(160) / 30) * peak * loud
            sound[at : at + 160] += burst.astype(np.float32)
    return sound


def cough(peak: float = 12000.0) -> Sound:
    """A cough: a burst of breath, then a short rough tail, a third of a second in all."""
    rng, count = np.random.default_rng(5), int(0.32 * RATE)
    times = np.arange(count) / RATE
    breath = sosfilt(butter(2, [400, 3500], "band", fs=RATE, output="sos"), rng.standard_normal(count))
    shape = np.exp(-times / 0.05) + 0.35 * np.exp(-(((times - 0.2) / 0.05) ** 2))
    sound = breath * shape * np.minimum(1, times / 0.004)
    return _f32(sound * peak / np.abs(sound).max())


def loudspeaker(
    sound: Sound, *, delay_ms: int, quieter_db: float, band_hz: int = 3500, reverberation: float = 0.0
) -> Sound:
    """Sound as it comes back into the microphone of a room."""
    out = np.concatenate((np.zeros(delay_ms * RATE // 1000, np.float32), sound))
    if reverberation:
        tail = np.arange(int(RATE * reverberation))
        response = np.random.default_rng(6).standard_normal(tail.size) * np.exp(-6.9 * tail / tail.size)
        response *= 0.8 / np.sqrt((response**2).sum())
        response[0] += 1.0
        out = fftconvolve(out, response)[: out.size]
    out = sosfilt(butter(2, band_hz, fs=RATE, output="sos"), out)
    return _f32(out * 10 ** (-quieter_db / 20))


def mixed(length_seconds: float, *parts: tuple[float, Sound]) -> bytes:
    """Sounds at their moments (in seconds), together as s16le."""
    out = np.zeros(int(length_seconds * RATE), np.float32)
    for begin, sound in parts:
        at = int(begin * RATE)
        part = sound[: max(0, out.size - at)]
        out[at : at + part.size] += part
    return np.clip(np.round(out), -32768, 32767).astype("<i2").tobytes()


def pieces(pcm: bytes, ms: int = 60) -> Iterator[tuple[bytes, int]]:
    """Sound as it arrives, each piece with the ms at which it is complete."""
    size = ms * RATE // 1000 * 2
    for begin in range(0, len(pcm), size):
        piece = pcm[begin : begin + size]
        yield piece, (begin + len(piece)) * 1000 // (2 * RATE)


def _f32(sound: Any) -> Sound:
    return np.asarray(sound, np.float32)


class Scribe(Growing):
    """A recogniser of recordings that writes what it is told to; `asked` are their lengths in ms."""

    provider = "scribe"

    def __init__(self, *texts: str, fault: AdapterError | None = None) -> None:
        self.texts = list(texts) or ["When are you open?"]
        self.fault = fault
        self.asked: list[int] = []
        self.languages: list[str] = []
        self.before: Callable[[], object] = lambda: None

    def recognize(self, audio: bytes, *, language: str = "") -> Transcript:
        self.asked.append((len(audio) - 44) // 32)
        self.languages.append(language)
        if self.fault:
            raise self.fault
        return Transcript(self.texts.pop(0) if len(self.texts) > 1 else self.texts[0])

    async def listen(self, audio: bytes, *, language: str = "") -> Transcript:
        return self.recognize(audio, language=language)
