"""Speech that means nothing and costs nothing: syllables with the loudness, pitch and rhythm of a voice.

Vowels are pulses of a throat through three formants, consonants are noise, so that mouths move with it
and detectors of voices hear one. The same text always sounds the same.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

RATE = 24_000
PITCH_HZ = 120
LEVEL = 0.1  # RMS of a vowel: -20 dBFS
VOWELS = {
    "a": (730, 1090, 2440),
    "i": (270, 2290, 3010),
    "u": (300, 870, 2240),
    "ɛ": (530, 1840, 2480),
    "o": (570, 840, 2410),
}
CONSONANTS = ("m", "s", "t", "k", "l")
CONSONANT_MS, VOWEL_MS, WORD_GAP_MS = 60, 110, 20
PAUSES_MS = {",": 120, ";": 160, ":": 160, ".": 250, "!": 250, "?": 250}
_WORD = re.compile(r"\S+")


@dataclass(frozen=True)
class Babble:
    """`pcm` is mono s16le at 24 kHz; entries of `phones` and `words` are (text, start_ms, end_ms)."""

    pcm: bytes
    phones: tuple[tuple[str, int, int], ...]
    words: tuple[tuple[str, int, int], ...]


@lru_cache(maxsize=256)
def babble(text: str) -> Babble:
    parts: list[np.ndarray] = []
    phones: list[tuple[str, int, int]] = []
    words: list[tuple[str, int, int]] = []
    now = 0
    for index, word in enumerate(_WORD.findall(text)):
        begun = now
        for syllable in range(max(1, round(len(word) / 3.5))):
            now = _syllable(sum(map(ord, word)) + syllable, index, now, parts, phones)
        words.append((word, begun, now))
        pause = PAUSES_MS.get(word[-1], WORD_GAP_MS)
        parts.append(np.zeros(pause * RATE // 1000, np.float32))
        now += pause
    sound = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    return Babble((sound * 32767).astype("<i2").tobytes(), tuple(phones), tuple(words))


def _syllable(
    seed: int, index: int, now: int, parts: list[np.ndarray], phones: list[tuple[str, int, int]]
) -> int:
    consonant, vowel = CONSONANTS[seed % len(CONSONANTS)], list(VOWELS)[seed // 3 % len(VOWELS)]
    parts.append(_consonant(consonant))
    phones.append((consonant, now, now + CONSONANT_MS))
    # A voice falls through a sentence and rises again: the same pitch for long is a hum, no voice.
    parts.append(_vowel(vowel, PITCH_HZ + 12 * (index % 5) - 4 * (seed % 3)))
    phones.append((vowel, now + CONSONANT_MS, now + CONSONANT_MS + VOWEL_MS))
    return now + CONSONANT_MS + VOWEL_MS


@lru_cache(maxsize=256)
def _vowel(symbol: str, pitch: int) -> np.ndarray:
    count = VOWEL_MS * RATE // 1000
    turns = np.cumsum(pitch * (1.06 - 0.12 * np.arange(count) / count)) / RATE
    harmonics = np.arange(1, 4000 // pitch)
    strength = sum(1 / (1 + ((harmonics * pitch - f) / (60 + 0.05 * f)) ** 2) for f in VOWELS[symbol])
    strength = strength / harmonics**0.5
    sound = (strength[:, None] * np.sin(2 * np.pi * harmonics[:, None] * turns)).sum(axis=0)
    return _faded(sound * (LEVEL / np.sqrt(np.mean(sound**2))))


@lru_cache(maxsize=16)
def _consonant(symbol: str) -> np.ndarray:
    noise = np.random.default_rng(ord(symbol)).standard_normal(CONSONANT_MS * RATE // 1000)
    shape = np.diff(noise, append=0) if symbol in "stk" else np.convolve(noise, np.ones(24) / 5, "same")
    return _faded(shape * (LEVEL * 0.35 / np.sqrt(np.mean(shape**2))))


def _faded(sound: np.ndarray) -> np.ndarray:
    ramp = np.minimum(1.0, np.arange(sound.size) / (0.012 * RATE))
    return (sound * ramp * ramp[::-1]).astype(np.float32)
