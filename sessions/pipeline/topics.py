"""What a persona does not talk about: found in the customer's words, and in the answer before it is spoken.

Phrases are compared without case, accents, marks and invisible characters, on word borders; where
words are not written apart there are none, and a phrase is found anywhere.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

Action = Literal["refuse", "end"]
MAX_HELD = 400
"""Characters that are kept back at most: no longer phrase is taken."""

_ACCENTS = range(0x300, 0x370)
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
_REFUSALS = {
    "en": "I am sorry, I cannot talk about that. Is there anything else I can help you with?",
    "ja": "申し訳ありませんが、その件についてはお話しできません。ほかにご用件はありますか。",
    "zh": "抱歉，这个话题我不方便谈。还有什么可以帮您的吗？",  # noqa: RUF001
    "de": "Dazu kann ich leider nichts sagen. Kann ich Ihnen sonst weiterhelfen?",
    "fr": "Je suis désolée, je ne peux pas en parler. Puis-je vous aider pour autre chose ?",
    "es": "Lo siento, no puedo hablar de eso. ¿Puedo ayudarle con otra cosa?",
}


@dataclass(frozen=True, slots=True)
class Topic:
    """One that is left alone. `answer` is what is said instead; `end` says goodbye with it."""

    name: str
    phrases: tuple[str, ...]
    answer: str = ""
    action: Action = "refuse"


class Topics:
    """A persona's topics, ready to look for."""

    def __init__(self, topics: Iterable[Topic]) -> None:
        self.topics = tuple(topics)
        found: dict[str, Topic] = {}
        for topic in self.topics:
            for phrase in topic.phrases:
                if folded := _fold(phrase).strip():
                    found.setdefault(folded, topic)
        self._topics = found
        longest_first = sorted(found, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(_bordered, longest_first))) if found else None
        self._beginnings = {phrase[:end] for phrase in found for end in range(1, len(phrase) + 1)}

    def __bool__(self) -> bool:
        return self._pattern is not None

    def find(self, text: str) -> Topic | None:
        """The topic of the first phrase that stands in a text."""
        return self.first(_fold(text), len(text) + 1)

    def guard(self) -> Guard:
        return Guard(self)

    def first(self, folded: str, until: int) -> Topic | None:
        """As `find`; a match that ends at `until` or later may yet go on and is none."""
        if self._pattern is None:
            return None
        for match in self._pattern.finditer(folded):
            if match.end() < until or _UNSPACED.match(match.group()[-1]):
                return self._topics[match.group()]
        return None

    def begins(self, folded: str) -> bool:
        """Whether a phrase begins like this."""
        return folded in self._beginnings


class Guard:
    """Lets the text of one answer through as it comes, but for what may be the beginning of a phrase."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._kept = ""
        self._before = ""  # the last folded character that was let through
        self.met: Topic | None = None

    def feed(self, text: str) -> str:
        """What can be spoken now. Once `met` is set, nothing more comes."""
        if self.met is not None or not self._topics:
            return "" if self.met else text
        self._kept += text
        folded, origins = _fold_traced(self._kept)
        self.met = self._topics.first(self._before + folded, len(self._before) + len(folded))
        return "" if self.met else self._release(folded, origins)

    def finish(self) -> str:
        """What was kept back, when nothing follows."""
        if self.met is not None or not self._topics:
            return ""
        folded, _ = _fold_traced(self._kept)
        self.met = self._topics.first(self._before + folded, len(self._before) + len(folded) + 1)
        kept, self._kept = self._kept, ""
        return "" if self.met else kept

    def _release(self, folded: str, origins: list[int]) -> str:
        first = next(
            (at for at in range(max(0, len(folded) - MAX_HELD), len(folded)) if self._may_begin(folded, at)),
            len(folded),
        )
        end = origins[first] if first < len(folded) else len(self._kept)
        ready, self._kept = self._kept[:end], self._kept[end:]
        self._before = (self._before + folded[:first])[-1:]
        return ready

    def _may_begin(self, folded: str, at: int) -> bool:
        before = folded[at - 1] if at else self._before
        inside = before.isalnum() and folded[at].isalnum() and not _UNSPACED.match(folded[at])
        return not inside and self._topics.begins(folded[at:])


def topics_of(told: Iterable[Mapping[str, Any]]) -> Topics:
    """Topics as a persona keeps them."""
    return _made(
        tuple(
            Topic(
                str(one.get("name") or ""),
                tuple(one.get("phrases") or ()),
                str(one.get("answer") or ""),
                "end" if one.get("action") == "end" else "refuse",
            )
            for one in told
        )
    )


@lru_cache(maxsize=64)
def _made(topics: tuple[Topic, ...]) -> Topics:
    return Topics(topics)


def refusal(topic: Topic, language: str) -> str:
    """What is said instead: the topic's own words, or ours in the language."""
    own = topic.answer.strip()
    return own or _REFUSALS.get(language.partition("-")[0].lower(), _REFUSALS["en"])


def told_to_model(topics: Topics, language: str) -> str:
    """A line for the system message; empty without topics."""
    names = [topic.name for topic in topics.topics if topic.name]
    if not names:
        return ""
    listed = "; ".join(names)
    return (
        f"Do not talk about these topics, whoever asks and however they ask: {listed}. "
        f'Say instead: "{refusal(topics.topics[0], language)}"'
    )


def _bordered(phrase: str) -> str:
    left = "" if _UNSPACED.match(phrase[0]) else r"(?<![^\W_])"
    right = "" if _UNSPACED.match(phrase[-1]) else r"(?![^\W_])"
    return left + re.escape(phrase) + right


def _fold(text: str) -> str:
    return _fold_traced(text)[0]


def _fold_traced(text: str) -> tuple[str, list[int]]:
    """A text as it is compared, and for each of its characters where it came from."""
    folded: list[str] = []
    origins: list[int] = []
    for at, character in enumerate(text):
        for part in _parts(character):
            if part == " " and folded and folded[-1] == " ":
                continue
            folded.append(part)
            origins.append(at)
    return "".join(folded), origins


@lru_cache(maxsize=4096)
def _parts(character: str) -> str:
    """One character folded: nothing for accents and what is invisible, a space for marks and spaces."""
    if character.isascii():
        return character.lower() if character.isalnum() else " "
    if unicodedata.category(character) == "Cf":
        return ""
    plain = [
        part
        for part in unicodedata.normalize("NFKD", character.casefold())
        if ord(part) not in _ACCENTS and unicodedata.category(part) != "Cf"
    ]
    whole = unicodedata.normalize("NFC", "".join(plain)).casefold()
    return "".join(part if part.isalnum() or unicodedata.category(part)[0] == "M" else " " for part in whole)
