"""A persona's knowledge text as passages, and the one that answers a question best.

Passages are paragraphs, list items, and question-and-answer pairs. A question is compared by its
words: rare words count more than common ones, endings are cut off, and languages without spaces are
compared by pairs of characters.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

MAX_SENTENCES = 3
MAX_CHARACTERS = 400
ENOUGH = 0.34  # share of the question's weight that has to be found

_HEADING = re.compile(r"^\s*(?:#{1,6}\s+(?P<hash>.+?)\s*#*|(?P<colon>[^\n.!?。]{2,60}):)\s*$")
# Passages of documents come behind a line of their own, "[2] handbook.pdf, page 3:"; a sentence to
# models that write by themselves stands above the first.
_SOURCE = re.compile(r"^\[\d{1,2}\] [^\n]{1,250}:$")
_ITEM = re.compile(r"^\s*(?:[-*•・]|\d{1,2}[.)])\s+")
_NUMBERED = re.compile(r"^\[\d{1,2}\] .*:$")  # above a passage of a document: where it stands
_QUESTION = re.compile(r"^\s*(?:Q|Question|質問|問)\s*[:：.]\s*", re.IGNORECASE)
_ANSWER = re.compile(r"^\s*(?:A|Answer|回答|答)\s*[:：.]\s*", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")
_MARKUP = re.compile(r"[*_`]{1,3}(?=\S)|(?<=\S)[*_`]{1,3}|\[([^\]]*)\]\([^)]*\)")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_WIDE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")
_GRAMMAR = re.compile(r"[\u3040-\u309f]+")  # Japanese endings and particles
_ALIKE = {
    "hour": "open",
    "opening": "open",
    "closed": "close",
    "closing": "close",
    "cost": "price",
    "pay": "payment",
    "paid": "payment",
    "refund": "return",
    "deliver": "ship",
    "delivery": "ship",
    "shipping": "ship",
    "shipment": "ship",
    "mail": "email",
    "telephone": "phone",
    "call": "phone",
    "located": "address",
    "location": "address",
    "expensive": "price",
    "cheap": "price",
    "fee": "price",
    "bought": "buy",
    "purchase": "buy",
}


@dataclass(frozen=True, slots=True)
class Passage:
    """`cue` is what it is found by besides its own words: its heading, or the question it answers."""

    text: str
    heading: str = ""
    cue: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    text: str
    score: float


class Knowledge:
    """One knowledge text, cut and counted once."""

    def __init__(self, text: str, stop_words: frozenset[str]) -> None:
        self.passages = _passages(text)
        self._stop_words = stop_words
        self._words = [Counter(self.words(f"{p.heading} {p.cue} {p.cue} {p.text}")) for p in self.passages]
        seen = Counter(word for words in self._words for word in words)
        self._weights = {w: math.log(1 + len(self.passages) / n) for w, n in seen.items()}

    @property
    def topics(self) -> list[str]:
        """The headings, in order."""
        return list(dict.fromkeys(p.heading for p in self.passages if p.heading))

    def answer(self, question: str, before: str = "") -> Found | None:
        """What answers a question; `before` is the question before it, which a short one leans on."""
        asked = dict.fromkeys(self.words(question), 1.0)
        if len(asked) <= 2:
            asked = {**dict.fromkeys(self.words(before), 0.35), **asked}
        if not asked or not self.passages:
            return None
        scores = [self._score(asked, words) for words in self._words]
        best = max(range(len(scores)), key=scores.__getitem__)
        if scores[best] < ENOUGH or not any(w in self._words[best] for w in self.words(question)):
            return None
        return Found(self._told(self.passages[best], asked), scores[best])

    def words(self, text: str) -> list[str]:
        """The words that carry meaning, without endings; pairs of characters where none are written apart."""
        pairs = [run[i : i + 2] for run in _WIDE.findall(text) for i in range(max(1, len(run) - 1))]
        wide = [pair for pair in pairs if not _GRAMMAR.fullmatch(pair)]
        narrow = _WORD.findall(_WIDE.sub(" ", text).lower().replace("’", "'"))
        said = [w for w in narrow if w.partition("'")[0] not in self._stop_words]
        kept = [_stem(w) for w in said if len(w) > 1 or w.isdecimal()]
        return [_ALIKE.get(word, word) for word in kept] + wide

    def _score(self, asked: dict[str, float], words: Counter[str]) -> float:
        """Share of the question's weight that a passage holds; a word the text never uses weighs most."""
        unknown = math.log(2 + len(self.passages))
        total = sum(share * self._weights.get(word, unknown) for word, share in asked.items())
        found = sum(
            share * self._weights[word] * (1.0 + 0.1 * min(words[word] - 1, 2))
            for word, share in asked.items()
            if word in words
        )
        return found / total

    def _told(self, passage: Passage, asked: dict[str, float]) -> str:
        """As much of a passage as can be listened to, from the sentence that fits best."""
        sentences = [part for part in _SENTENCE_END.split(passage.text) if part.strip()]
        if len(passage.text) <= MAX_CHARACTERS and len(sentences) <= MAX_SENTENCES:
            return passage.text
        scores = [self._score(asked, Counter(self.words(sentence))) for sentence in sentences]
        first = max(range(len(scores)), key=scores.__getitem__)
        return _within(sentences[first : first + MAX_SENTENCES])


@lru_cache(maxsize=64)
def knowledge(text: str, stop_words: frozenset[str]) -> Knowledge:
    return Knowledge(text, stop_words)


def _within(sentences: Sequence[str]) -> str:
    told = sentences[0].strip()
    for sentence in sentences[1:]:
        joined = f"{told} {sentence.strip()}" if told[-1].isascii() else told + sentence.strip()
        if len(joined) > MAX_CHARACTERS:
            break
        told = joined
    return told


def _passages(text: str) -> list[Passage]:
    found: list[Passage] = []
    heading = ""
    for block in _blocks(text):
        lines = [line for line in block.split("\n") if line.strip() and not _NUMBERED.match(line)]
        if lines and _SOURCE.match(lines[0]):
            lines, heading = lines[1:], ""
        while lines and (match := _HEADING.match(lines[0])):
            heading = _plain(match["hash"] or match["colon"])
            lines = lines[1:]
        found += _block(lines, heading)
    return found


def _blocks(text: str) -> list[str]:
    blocks = re.split(r"\n\s*\n", text.replace("\r\n", "\n"))
    first = next((n for n, block in enumerate(blocks) if _SOURCE.match(block.partition("\n")[0])), 0)
    return blocks[: first - 1] + blocks[first:] if first else blocks


def _block(lines: Sequence[str], heading: str) -> Iterable[Passage]:
    """A block's items and answers one by one, everything else joined to a paragraph."""
    cue, paragraph = "", list[str]()
    parts: list[Passage] = []

    def close() -> None:
        if paragraph:
            parts.append(Passage(_plain(" ".join(paragraph)), heading, cue))
            paragraph.clear()

    for line in lines:
        if match := _QUESTION.match(line):
            close()
            cue = _plain(line[match.end() :])
        elif match := _ITEM.match(line) or _ANSWER.match(line):
            close()
            paragraph.append(line[match.end() :])
        else:
            paragraph.append(line)
    close()
    return parts


def _plain(text: str) -> str:
    return " ".join(_MARKUP.sub(lambda match: match[1] or "", text).split())


def _stem(word: str) -> str:
    """Cut English endings, so that "returns" meets "returned"."""
    word = word.removesuffix("'s").replace("'", "")
    for ending, shortest in (("ies", 3), ("ing", 4), ("ed", 4), ("es", 4), ("s", 3)):
        if word.endswith(ending) and len(word) - len(ending) >= shortest and not word.endswith("ss"):
            stem = word[: -len(ending)] + ("y" if ending == "ies" else "")
            return stem[:-1] if len(stem) > 4 and stem[-1] == stem[-2] else stem.removesuffix("e")
    return word.removesuffix("e") if len(word) > 4 else word
