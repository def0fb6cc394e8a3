"""The pieces of an answer that is still being written, the first of them as early as it can be said.

Speech begins when the first piece is known, so that one is cut at the first clause, and the second
one at a clause too; what follows are whole sentences.
"""

import re
from dataclasses import replace

from workers.speech import markup
from workers.speech.script import Sentence, StreamingScript, sentence, sentences
from workers.speech.split import SentenceSplitter, is_abbreviated

CUT_PAUSE_MS = 40
"""After a piece that was cut where no mark was: the voice goes straight on."""
SECOND_LETTERS = 24

_FIRST_LETTERS = 4
_WORDS_BEFORE_JOINT = 8
_WORDS_AT_MOST = 12
_CLAUSE = ",;:–—"
_CLAUSE_ALONE = "、，；：،؛"
_END = "!?…"
_END_ALONE = "。！？।｡؟"
_JOINTS = frozenset(
    [
        *("and", "but", "or", "because", "which", "who", "that", "when", "while", "if", "so", "where"),
        *("for", "with", "from", "than", "as", "after", "before", "until", "since", "though", "although"),
        *("unless", "then", "by", "at", "in", "on", "to"),
    ]
)
_MARKS = re.compile(f"[{_CLAUSE}{_CLAUSE_ALONE}{_END}{_END_ALONE}.]")
_OPENED = re.compile(r"[(\[“«「『]")
_CLOSED = re.compile(r"[)\]”»」』]")


class AnswerScript:
    """Sentences of an answer as its text arrives; the same pieces however the text was cut."""

    def __init__(self, language: str) -> None:
        self._language = language
        self._script = StreamingScript(language)
        self._early = [_FIRST_LETTERS, SECOND_LETTERS]
        self._head = ""
        self._splitter = SentenceSplitter()

    def feed(self, text: str) -> list[Sentence]:
        """The pieces that can be said now."""
        if not self._early:
            return self._script.feed(text)
        self._head += text
        ends = self._splitter.feed(text)
        return self._opened(len(ends[0]) if ends else None)

    def flush(self) -> list[Sentence]:
        """What is left when the text is over."""
        head, self._head, self._early = self._head, "", []
        return [*self._script.feed(head), *self._script.flush()]

    def _opened(self, sentence_end: int | None) -> list[Sentence]:
        first = len(self._early) > 1
        head = self._head if sentence_end is None else self._head[:sentence_end]
        end = early_end(head, self._early[0], hurried=first) or sentence_end
        if end is None:
            return []
        piece, rest = self._head[:end], self._head[end:]
        self._early, self._head, self._splitter = self._early[1:], "", SentenceSplitter()
        made = _piece(piece, self._language)
        return [*([made] if made else []), *self.feed(rest)]


def verbatim(text: str, language: str) -> list[Sentence]:
    """The pieces of a text that is there already, with the pauses its author wrote."""
    if any(isinstance(part, markup.Pause) for part in markup.parse(text)):
        return sentences(text, language)
    script = AnswerScript(language)
    return unpaused([*script.feed(text), *script.flush()])


def unpaused(pieces: list[Sentence]) -> list[Sentence]:
    """Without the pause behind the last piece, which nothing follows."""
    return [*pieces[:-1], replace(pieces[-1], tail_ms=0)] if pieces else []


def early_end(text: str, letters: int, *, hurried: bool) -> int | None:
    """Where the first clause of at least `letters` letters ends, with the space after it.

    `hurried` takes a mark at the very end of the text for what it seems to be, and cuts a long
    run of words without any mark.
    """
    for match in _MARKS.finditer(text):
        at, mark = match.start(), match.group()
        if _letters(text[:at]) >= (1 if mark in _END + _END_ALONE + "." else letters) and _ends_clause(
            text, at, hurried=hurried
        ):
            return _behind_space(text, at + 1)
    return _joint(text) if hurried else None


def _ends_clause(text: str, at: int, *, hurried: bool) -> bool:
    mark, before, after = text[at], text[:at], text[at + 1 :]
    if len(_OPENED.findall(before)) > len(_CLOSED.findall(before)) or before.count('"') % 2:
        return False
    if mark in _CLAUSE_ALONE + _END_ALONE:
        return not after or _MARKS.match(after) is None
    if after:
        return after[0].isspace() and not (mark == "." and is_abbreviated(before, after.lstrip()))
    if not hurried or before[-1:].isdigit() or before[-1:] in ".!?…":
        return False
    return mark != "." or _surely_a_word(before)


def _surely_a_word(before: str) -> bool:
    """A stop behind such a word is no abbreviation, so what follows need not be awaited."""
    word = re.search(r"[^\W\d_]+\Z", before)
    found = word is not None and len(word.group()) > 3 and before[: word.start()][-1:].isspace()
    return found and not is_abbreviated(before, "A")


def _joint(text: str) -> int | None:
    """Where a long run of words can be parted: before a word that joins, or anywhere when it is too long."""
    words = list(re.finditer(r"\S+(?=\s)", text))
    for number, word in enumerate(words):
        joins = word.group().lower() in _JOINTS and number + 1 < len(words)
        if number >= _WORDS_AT_MOST or (number >= _WORDS_BEFORE_JOINT and joins):
            return word.start()
    return None


def _piece(text: str, language: str) -> Sentence | None:
    made = sentence(text, language)
    if made is None or not text.rstrip()[-1:].isalnum():
        return made
    said = made.said.rstrip(".。") + ("、" if language.startswith(("ja", "zh")) else ",")
    return replace(made, said=said.replace(",,", ","), tail_ms=CUT_PAUSE_MS)


def _letters(text: str) -> int:
    return sum(character.isalnum() for character in text)


def _behind_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at
