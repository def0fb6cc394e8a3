"""Cuts what is said into captions: where to break, and when each is shown.

A caption has at most two lines, is shown while its words are heard, and ends where the sense
does if it can. Scripts without spaces break between characters, but never so that a line opens
with a closing mark or a vowel sign loses its letter.
"""

# ruff: noqa: RUF001 - the marks of many scripts stand here on purpose

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

MAX_CHARS = 42
MAX_LINES = 2
MAX_MS = 7000
SHORTEST_MS = 1000

_SENTENCE_END = frozenset(".!?。！？…؟۔।")
_CLAUSE_END = frozenset(",;:，；：、،؛")
_CLOSING = frozenset(")]}»”’、。，．！？：；」』）】〕》〉ーぁぃぅぇぉっゃゅょァィゥェォッャュョ…‥%％")
_OPENING = frozenset("([{«“‘「『（【〔《〈")
_JOINERS = frozenset("\u200d\ufe0e\ufe0f")
# Han, kana and the marks between them; Thai, Lao, Khmer and Burmese; not Hangul, which has spaces.
_SPACELESS = ((0x2E80, 0x312F), (0x31A0, 0x9FFF), (0xF900, 0xFAFF), (0xFF00, 0xFFEF), (0x20000, 0x3FFFF))
_WIDE = "WF"


class TimedWord(Protocol):
    """A word and when it is heard, in ms from the start of its utterance."""

    @property
    def text(self) -> str: ...

    @property
    def start_ms(self) -> int: ...

    @property
    def end_ms(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Utterance:
    """What is said between `start_ms` and `end_ms` of the clip; `words` where they are known.

    `text` is what the reader should see. The words may be other ones ("twenty" for 20): they then
    only tell how the time passes.
    """

    text: str
    start_ms: int
    end_ms: int
    words: Sequence[TimedWord] = ()


@dataclass(frozen=True, slots=True)
class Cue:
    """One caption."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@dataclass(frozen=True, slots=True)
class _Token:
    """What a line break cannot divide; `space` says whether one stands before it."""

    text: str
    space: bool
    start_ms: int
    end_ms: int


def build_cues(
    utterances: Iterable[Utterance],
    max_chars: int = MAX_CHARS,
    max_lines: int = MAX_LINES,
    max_ms: int = MAX_MS,
) -> list[Cue]:
    """Return captions in playing order which never overlap.

    A wide character counts as two of `max_chars`. All of the text is kept, except white space.
    """
    groups: list[list[_Token]] = []
    for utterance in sorted(utterances, key=lambda each: each.start_ms):
        groups += _groups(_timed(utterance, max_chars), max_chars, max_lines, max_ms)
    cues: list[Cue] = []
    for group, following in zip(groups, [*groups[1:], None], strict=False):
        start, end = group[0].start_ms, group[-1].end_ms
        wanted = min(max(end, start + SHORTEST_MS), start + max_ms)
        if following:
            wanted = min(wanted, max(following[0].start_ms, start + 1))
        if cues:
            start = max(start, cues[-1].end_ms)
        cues.append(Cue(start, max(wanted, start + 1), _lines(group, max_chars, max_lines)))
    return cues


def width(text: str) -> int:
    """Return how much room a text takes: 2 for a wide character, 0 for one that joins another."""
    return sum(
        0 if _joins(char) else 2 if unicodedata.east_asian_width(char) in _WIDE else 1 for char in text
    )


def _joins(char: str) -> bool:
    return char in _JOINERS or unicodedata.category(char) in {"Mn", "Me", "Cf"}


def _timed(utterance: Utterance, max_chars: int) -> list[_Token]:
    """Cut the text and give each token its time, by how far into the text it stands."""
    parts = list(_split(utterance.text, max_chars))
    total = sum(len(text) for text, _ in parts)
    clock = _clock(utterance)
    tokens, at = [], 0
    for text, space in parts:
        end = at + len(text)
        tokens.append(_Token(text, space, clock(at / total), clock(end / total)))
        at = end
    return tokens


class _clock:  # noqa: N801 - used as a function
    """Share of the text (0 to 1) to ms of the clip; straight lines between the words."""

    def __init__(self, utterance: Utterance) -> None:
        words = [word for word in utterance.words if word.text.strip()]
        total = sum(len(word.text) for word in words)
        first, last = utterance.start_ms, max(utterance.start_ms, utterance.end_ms)
        self._shares, self._times = [0.0], [first]
        at = 0
        for word in words:
            self._add(at / total, first + word.start_ms, last)
            at += len(word.text)
            self._add(at / total, first + word.end_ms, last)
        if not words:
            self._add(1.0, last, last)

    def _add(self, share: float, time: int, last: int) -> None:
        self._shares.append(share)
        self._times.append(min(max(time, self._times[-1]), last))

    def __call__(self, share: float) -> int:
        after = bisect_right(self._shares, share)
        if after == len(self._shares):
            return self._times[-1]
        low, high = self._shares[after - 1], self._shares[after]
        begin, end = self._times[after - 1], self._times[after]
        return round(begin + (end - begin) * (share - low) / (high - low))


def _split(text: str, max_chars: int) -> Iterator[tuple[str, bool]]:
    """Cut text where a line may break: (token, whether white space stands before it)."""
    for word in text.split():
        space = True
        for part in _unspaced(word):
            for piece in _pieces(part, max_chars):
                yield piece, space
                space = False


def _unspaced(word: str) -> Iterator[str]:
    """Break between characters of scripts without spaces, keeping marks with their neighbours."""
    part = ""
    for char in word:
        breakable = part and (_spaceless(char) or _spaceless(part[-1]))
        if breakable and char not in _CLOSING and not _joins(char) and part[-1] not in _OPENING:
            yield part
            part = ""
        part += char
    yield part


def _pieces(part: str, max_chars: int) -> Iterator[str]:
    """Break what is longer than a line, between characters."""
    piece = ""
    for char in part:
        if piece and not _joins(char) and piece[-1] != "\u200d" and width(piece + char) > max_chars:
            yield piece
            piece = ""
        piece += char
    yield piece


def _spaceless(char: str) -> bool:
    code = ord(char)
    return any(low <= code <= high for low, high in _SPACELESS)


def _groups(tokens: list[_Token], max_chars: int, max_lines: int, max_ms: int) -> list[list[_Token]]:
    """Fill captions, then end each at a full stop, else at a comma, unless it gets too short."""
    groups = []
    while tokens:
        count = _fitting(tokens, max_chars, max_lines, max_ms)
        if count < len(tokens):
            count = _natural_end(tokens, count)
        groups.append(tokens[:count])
        tokens = tokens[count:]
    return groups


def _fitting(tokens: list[_Token], max_chars: int, max_lines: int, max_ms: int) -> int:
    count = 1
    while count < len(tokens):
        if tokens[count].end_ms - tokens[0].start_ms > max_ms:
            break
        if len(_wrap(tokens[: count + 1], max_chars)) > max_lines:
            break
        count += 1
    return count


def _natural_end(tokens: list[_Token], count: int) -> int:
    for ends, least in ((_SENTENCE_END, count // 4), (_CLAUSE_END, count // 2)):
        for cut in range(count, least, -1):
            if tokens[cut - 1].text[-1] in ends:
                return cut
    return count


def _wrap(tokens: Sequence[_Token], max_chars: int) -> list[str]:
    lines = [tokens[0].text]
    for token in tokens[1:]:
        longer = lines[-1] + " " * token.space + token.text
        if width(longer) <= max_chars:
            lines[-1] = longer
        else:
            lines.append(token.text)
    return lines


def _lines(tokens: Sequence[_Token], max_chars: int, max_lines: int) -> tuple[str, ...]:
    """Wrap; two lines are made about as long as each other, and not longer than they need be."""
    lines = _wrap(tokens, max_chars)
    if len(lines) == 1:
        return tuple(lines)
    narrow = max(*(width(token.text) for token in tokens), -(-sum(map(width, lines)) // len(lines)))
    for limit in range(narrow, max_chars + 1):
        even = _wrap(tokens, limit)
        if len(even) <= min(len(lines), max_lines):
            return tuple(even)
    return tuple(lines)
