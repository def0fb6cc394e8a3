"""Both voices on one timeline, exact to the sample: what was played, and what was said meanwhile."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from rtc.frames import SAMPLE_RATE, SAMPLES_PER_FRAME
from sessions.recording.microphone import RATE as MICROPHONE_RATE
from workers.rendering.aac import AacEncoder

Sound = NDArray[np.int16]
Layout = str  # "stereo": avatar left, customer right; "mixed": both in the middle

BLOCK_SAMPLES = SAMPLE_RATE  # a second at a time: memory does not grow with the session
FADE_SAMPLES = SAMPLE_RATE * 5 // 1000  # a voice that was cut ends within 5 ms, without a click
_UP = SAMPLE_RATE // MICROPHONE_RATE


@dataclass(frozen=True, slots=True)
class Speech:
    """Sound of the avatar that was played from `frame` on; `goes_on` into the next one, seamlessly."""

    frame: int
    frames: int
    read: Callable[[], bytes]
    goes_on: bool = False


@dataclass(frozen=True, slots=True)
class Strip:
    """Sound of the customer from `sample` on, counted at 16 kHz."""

    sample: int
    samples: int
    read: Callable[[], bytes]


class Lane:
    """One side of the film: sounds at their places, silence between them."""

    def __init__(self, sounds: Iterator[tuple[int, Sound]]) -> None:
        self._sounds = sounds
        self._next = next(sounds, None)

    def take(self, start: int, samples: int) -> Sound:
        """Return the sound from `start` on; to be asked in order."""
        out = np.zeros(samples, np.int16)
        while self._next is not None and self._next[0] < start + samples:
            at, sound = self._next
            if at < start:  # it overlaps what was taken
                at, sound = start, sound[start - at :]
            part = sound[: start + samples - at]
            out[at - start : at - start + len(part)] = part
            rest = sound[len(part) :]
            self._next = (at + len(part), rest) if len(rest) else next(self._sounds, None)
        return out


def encode(
    path: Path,
    frames: int,
    speech: Iterable[Speech],
    strips: Iterable[Strip],
    *,
    layout: Layout,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Write the sound of `frames` frames as AAC. `check` is called each second, and stops by raising."""
    avatar, customer = Lane(avatar_sound(speech)), Lane(customer_sound(strips))
    total = frames * SAMPLES_PER_FRAME
    with AacEncoder(path, channels=2, sides=2 if layout == "stereo" else 1) as encoder:
        for start in range(0, total, BLOCK_SAMPLES):
            check()
            samples = min(BLOCK_SAMPLES, total - start)
            sides = avatar.take(start, samples), customer.take(start, samples)
            encoder.push(_joined(*sides, layout).astype("<i2").tobytes())


def _joined(left: Sound, right: Sound, layout: Layout) -> Sound:
    if layout == "stereo":
        return np.stack((left, right), axis=1)
    both: NDArray[np.int32] = np.clip(left.astype(np.int32) + right, -32768, 32767)
    return both.astype(np.int16)


def avatar_sound(speech: Iterable[Speech]) -> Iterator[tuple[int, Sound]]:
    """Yield (first sample, sound) of what was played, faded where it was cut."""
    joined = False
    for part in speech:
        sound = np.frombuffer(part.read(), "<i2").copy()
        fade = min(FADE_SAMPLES, len(sound))
        ramp = np.linspace(0, 1, fade, dtype=np.float32)
        if not joined:
            sound[:fade] = sound[:fade] * ramp
        if not part.goes_on:
            sound[len(sound) - fade :] = sound[len(sound) - fade :] * ramp[::-1]
        joined = part.goes_on
        yield part.frame * SAMPLES_PER_FRAME, sound


def customer_sound(strips: Iterable[Strip]) -> Iterator[tuple[int, Sound]]:
    """Yield (first sample, sound) at 48 kHz; strips that touch are made of one stream."""
    for chain in _chains(strips):
        stream = soxr.ResampleStream(MICROPHONE_RATE, SAMPLE_RATE, 1, dtype="int16")
        at = chain[0].sample * _UP
        for number, strip in enumerate(chain, 1):
            sound = np.frombuffer(strip.read(), "<i2")
            made = stream.resample_chunk(sound, last=number == len(chain))
            if len(made):
                yield at, made
            at += len(made)


def _chains(strips: Iterable[Strip]) -> Iterator[list[Strip]]:
    chain: list[Strip] = []
    for strip in strips:
        if chain and chain[-1].sample + chain[-1].samples != strip.sample:
            yield chain
            chain = []
        chain.append(strip)
    if chain:
        yield chain
