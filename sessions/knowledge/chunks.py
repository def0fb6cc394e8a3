"""Cuts what was read into passages: along headings, then paragraphs, then sentences.

A passage has about 600 to 900 characters, less where a section is shorter. Passages of one
section overlap by a sentence or so, so that no answer is cut in two.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from sessions.knowledge.passages import Piece

MOST = 900
ENOUGH = 600
OVERLAP = 120
HEADING = 300

_SENTENCE = re.compile(r"(?<=[.!?…])[\"'”’)]?\s+|(?<=[。！？｡])|\n")
_STOPS = (".", "!", "?", "…", ":", "。", "！", "？")


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, a list, a table or some code. `heading` is the path to it, from the outermost."""

    text: str
    heading: tuple[str, ...] = ()
    page: int | None = None


@dataclass(slots=True)
class _Open:
    """A passage that is being filled."""

    heading: tuple[str, ...] = ()
    page: int | None = None
    parts: list[str] = field(default_factory=list)
    length: int = 0
    repeated: int = 0  # how many parts are those of the passage before

    def add(self, part: str) -> None:
        self.parts.append(part)
        self.length += len(part) + 1

    def ends_before(self, page: int | None) -> bool:
        """Say whether a block of this page begins afresh: a sentence goes on over the end of a page."""
        if page == self.page or not self.parts:
            return False
        return self.parts[-1].endswith(_STOPS) or self.length >= ENOUGH // 2

    @property
    def holds_news(self) -> bool:
        return len(self.parts) > self.repeated


def pieces(blocks: Iterable[Block]) -> Iterator[Piece]:
    """Cut blocks into passages, in order."""
    current = _Open()
    for block in blocks:
        if block.heading != current.heading or current.ends_before(block.page):
            yield from _closed(current)
            current = _Open(block.heading, block.page)
        for part in _parts(block.text):
            if not current.holds_news:
                current.page = block.page
            if current.holds_news and current.length + len(part) > MOST:
                yield from _closed(current)
                current = _following(current, block.page, room=MOST - len(part))
            current.add(part)
        if current.length >= ENOUGH:
            yield from _closed(current)
            current = _following(current, block.page, room=OVERLAP)
    yield from _closed(current)


def _closed(current: _Open) -> Iterator[Piece]:
    text = "\n".join(current.parts).strip()
    if current.holds_news and text:
        yield Piece(text, " › ".join(current.heading)[:HEADING], current.page)


def _following(before: _Open, page: int | None, room: int) -> _Open:
    """The next passage of a section: begins with the end of the one before, where that is short."""
    opened = _Open(before.heading, page)
    last = _sentences(before.parts[-1])[-1] if before.parts else ""
    if last and len(last) <= min(OVERLAP, room):
        opened.add(last)
        opened.repeated = 1
    return opened


def _parts(text: str) -> list[str]:
    """A block as it is, or its sentences joined to parts that are short enough."""
    text = text.strip()
    if len(text) <= MOST:
        return [text] if text else []
    parts: list[str] = []
    for sentence in _sentences(text):
        if parts and len(parts[-1]) + len(sentence) < ENOUGH:
            parts[-1] = f"{parts[-1]} {sentence}" if sentence[0].isascii() else parts[-1] + sentence
        else:
            parts.append(sentence)
    return parts


def _sentences(text: str) -> list[str]:
    """Sentences, none longer than a passage."""
    found = [s.strip() for s in _SENTENCE.split(text) if s and s.strip()]
    return [piece for sentence in found for piece in _short(sentence)] or [text[:MOST]]


def _short(sentence: str) -> Iterator[str]:
    """Cut what has no sentences at spaces, and where there are none, anywhere."""
    while len(sentence) > MOST:
        cut = sentence.rfind(" ", ENOUGH // 2, ENOUGH)
        cut = cut if cut > 0 else ENOUGH
        yield sentence[:cut].strip()
        sentence = sentence[cut:].strip()
    if sentence:
        yield sentence
