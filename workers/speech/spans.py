"""Text that is shown one way and said another, kept side by side.

Rules rewrite what nobody has rewritten yet, so what is said can always be led back to the words
that a reader sees.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from workers.adapters.tts.base import Word


@dataclass(frozen=True, slots=True)
class Span:
    """`shown` is what captions show, `said` what the voice gets."""

    shown: str
    said: str
    settled: bool = False


Change = Callable[[re.Match[str]], Span | None]


def rewrite(spans: Sequence[Span], pattern: re.Pattern[str], change: Change) -> list[Span]:
    """Apply one rule to all that is not settled; a change of None leaves a match as it is."""
    out: list[Span] = []
    for span in spans:
        out += [span] if span.settled else _rewritten(span.shown, pattern, change)
    return out


def shown(spans: Sequence[Span]) -> str:
    return "".join(span.shown for span in spans)


def said(spans: Sequence[Span]) -> str:
    return "".join(span.said for span in spans)


def shown_words(spans: Sequence[Span], heard: Sequence[Word]) -> list[Word]:
    """The words a reader sees, with the times at which they are heard.

    `heard` are the voice's words for `said(spans)`. A shown word that says nothing (an emoji, say)
    is left out.
    """
    visible = _positions(shown(spans))
    spoken = _positions(said(spans))
    owners = _owners(spans, visible, spoken)
    times: dict[int, tuple[int, int]] = {}
    for index, word in _matched([text for text, _, _ in spoken], heard):
        owner = owners[index]
        if owner is not None:
            start, end = times.get(owner, (word.start_ms, word.end_ms))
            times[owner] = (min(start, word.start_ms), max(end, word.end_ms))
    return [Word(visible[owner][0], *times[owner]) for owner in sorted(times)]


def _rewritten(text: str, pattern: re.Pattern[str], change: Change) -> list[Span]:
    out: list[Span] = []
    end = 0
    for match in pattern.finditer(text):
        span = change(match)
        if span is not None and match.end() > match.start():
            if match.start() > end:
                out.append(Span(text[end : match.start()], text[end : match.start()]))
            out.append(Span(span.shown, span.said, settled=True))
            end = match.end()
    if end < len(text):
        out.append(Span(text[end:], text[end:]))
    return out


def _positions(text: str) -> list[tuple[str, int, int]]:
    return [(match.group(), match.start(), match.end()) for match in re.finditer(r"\S+", text)]


def _owners(
    spans: Sequence[Span], visible: list[tuple[str, int, int]], spoken: list[tuple[str, int, int]]
) -> list[int | None]:
    """For each spoken word the index of the shown word that it belongs to."""
    return [_at(visible, _led_back(spans, start, end)) if visible else None for _, start, end in spoken]


def _led_back(spans: Sequence[Span], start: int, end: int) -> int:
    """The place in the shown text of a range of the said text, by its middle."""
    middle = (start + end - 1) / 2
    said_at = shown_at = 0
    for span in spans:
        if middle < said_at + len(span.said):
            share = (middle - said_at) / max(len(span.said) - 1, 1) if span.settled else 0.0
            offset = share * (len(span.shown) - 1) if span.settled else middle - said_at
            return shown_at + int(offset)
        said_at += len(span.said)
        shown_at += len(span.shown)
    return shown_at


def _at(words: list[tuple[str, int, int]], place: int) -> int:
    """The word at a place, or else the nearest one."""
    return min(range(len(words)), key=lambda i: max(words[i][1] - place, place - words[i][2] + 1, 0))


def _matched(spoken: list[str], heard: Sequence[Word]) -> list[tuple[int, Word]]:
    """Pair the voice's words with ours. Most voices split at spaces as we do; others are aligned."""
    if len(spoken) == len(heard):
        return list(enumerate(heard))
    ours, theirs = [_bare(text) for text in spoken], [_bare(word.text) for word in heard]
    pairs: list[tuple[int, Word]] = []
    for tag, a, b, c, d in SequenceMatcher(a=ours, b=theirs, autojunk=False).get_opcodes():
        if tag in ("equal", "replace"):
            for offset in range(d - c):
                index = a + offset * (b - a) // (d - c)
                pairs.append((index, heard[c + offset]))
    return pairs


def _bare(text: str) -> str:
    return re.sub(r"\W+", "", text).lower()
