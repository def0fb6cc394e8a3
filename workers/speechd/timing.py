"""From how long each letter lasted to the phones and words that a mouth follows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from workers.speechd import alphabet
from workers.speechd.line import Line

BRIDGE_SECONDS = 0.07
"""A space between two words is a pause only when it lasts longer than this."""


@dataclass(frozen=True, slots=True)
class Sound:
    """One IPA letter, in seconds from the start of its piece."""

    symbol: str
    start: float
    end: float
    word: int


@dataclass(frozen=True, slots=True)
class Spoken:
    """One word as it was written, in seconds from the start of its piece."""

    text: str
    start: float
    end: float


def sounds_of(line: Line, edges: Sequence[float]) -> list[Sound]:
    """The sounds of a line; `edges[i]` and `edges[i + 1]` are where letter i starts and ends.

    The time of a stress mark goes to the sound after it, that of a length mark to the one before.
    """
    found: list[Sound] = []
    pending: float | None = None
    for letter, start, end in zip(line.letters, edges, edges[1:], strict=False):
        if letter.symbol in alphabet.STRESS:
            pending = start if pending is None else pending
        elif symbols := alphabet.sounds(letter.symbol):
            found += _share(symbols, start if pending is None else pending, end, letter.word)
            pending = None
        elif letter.symbol in alphabet.SILENT:
            pending = None
        elif found:
            last = found[-1]
            found[-1] = Sound(last.symbol, last.start, end, last.word)
    return _bridge(found)


def words_of(line: Line, sounds: Iterable[Sound]) -> list[Spoken]:
    """When each word that sounds was said."""
    spans: dict[int, tuple[float, float]] = {}
    for sound in sounds:
        if sound.word >= 0:
            start, _ = spans.get(sound.word, (sound.start, sound.end))
            spans[sound.word] = (start, sound.end)
    return [Spoken(line.words[word], *spans[word]) for word in sorted(spans)]


def within(sounds: Iterable[Sound], length: float) -> list[Sound]:
    """Keep sounds inside a piece of that length; those that lie outside are left out."""
    kept = (Sound(s.symbol, max(s.start, 0.0), min(s.end, length), s.word) for s in sounds)
    return [sound for sound in kept if sound.end > sound.start]


def _share(symbols: str, start: float, end: float, word: int) -> list[Sound]:
    """Share a diphthong's or an affricate's time evenly between its parts."""
    step = (end - start) / len(symbols)
    return [
        Sound(symbol, start + step * index, start + step * (index + 1), word)
        for index, symbol in enumerate(symbols)
    ]


def _bridge(sounds: list[Sound]) -> list[Sound]:
    """Close the short gaps that spaces between words leave."""
    closed = list(sounds)
    for index in range(1, len(closed)):
        before, after = closed[index - 1], closed[index]
        if 0 < after.start - before.end <= BRIDGE_SECONDS:
            middle = (before.end + after.start) / 2
            closed[index - 1] = Sound(before.symbol, before.start, middle, before.word)
            closed[index] = Sound(after.symbol, middle, after.end, after.word)
    return closed
