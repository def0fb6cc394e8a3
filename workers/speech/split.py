"""Cuts text into sentences while it still arrives.

A cut is decided only when what follows is known, so the same text gives the same sentences however
it was cut on its way, and the sentences joined are the text. A text without an end is cut at a
clause or a space. What has been looked at is not looked at again.
"""

import re
from enum import Enum, auto

MAX_SENTENCE = 320
"""Characters. The speech of one is about 20 s."""

_ENDS = frozenset(".!?…")
_ENDS_ALONE = frozenset("。！？｡؟।॥۔‼⁇⁈⁉")
"""Marks after which no space is needed."""
_CLOSERS = frozenset("\"'”’»)]}」』）】〉》›*_")
_OPENERS = "\"'“‘«([{*_¿¡"
_CLAUSE = frozenset(",;:—–，、；：،؛.!?…)")
_MAX_CLOSERS = 8
_MAX_SPACES = 64
_MAX_WORD = 24
_WRAPPED_LINE = 60
"""A line this long that ends without a mark was wrapped, and goes on in the next."""

_TITLES = frozenset(
    [
        "adj",
        "adm",
        "apt",
        "assoc",
        "ave",
        "blvd",
        "brig",
        "capt",
        "cf",
        "ca",
        "cmdr",
        "col",
        "comdr",
        "corp",
        "cpl",
        "det",
        "dr",
        "ed",
        "eds",
        "eg",
        "e.g",
        "eq",
        "ex",
        "fig",
        "figs",
        "fr",
        "ft",
        "gen",
        "gov",
        "hon",
        "i.e",
        "ie",
        "inst",
        "jan",
        "feb",
        "mar",
        "apr",
        "jun",
        "jul",
        "aug",
        "sep",
        "sept",
        "oct",
        "nov",
        "dec",
        "lt",
        "maj",
        "messrs",
        "mfr",
        "mgr",
        "mlle",
        "mme",
        "mr",
        "mrs",
        "ms",
        "msgr",
        "mt",
        "mx",
        "no",
        "nos",
        "nr",
        "op",
        "ord",
        "p",
        "pp",
        "pres",
        "prof",
        "pvt",
        "rep",
        "reps",
        "rev",
        "rd",
        "sec",
        "sen",
        "sens",
        "sgt",
        "sr",
        "sra",
        "srta",
        "st",
        "supt",
        "tel",
        "viz",
        "vol",
        "vols",
        "vs",
        "v",
        "approx",
        "resp",
        "incl",
        "excl",
        "est",
        "min",
        "max",
        "dept",
        "univ",
    ]
)
"""After these a full stop never ends a sentence."""
_MAYBE = frozenset(
    [
        "a.m",
        "p.m",
        "am",
        "pm",
        "etc",
        "inc",
        "ltd",
        "co",
        "corp",
        "bros",
        "jr",
        "esq",
        "ph.d",
        "m.d",
        "b.a",
        "m.a",
        "d.c",
        "al",
    ]
)
"""After these it does if the next word starts with a capital."""
_STARTERS = frozenset(
    [
        "A",
        "After",
        "All",
        "Also",
        "An",
        "And",
        "Are",
        "As",
        "At",
        "Because",
        "Before",
        "But",
        "By",
        "Can",
        "Did",
        "Do",
        "Does",
        "Each",
        "Even",
        "Every",
        "First",
        "For",
        "From",
        "Give",
        "Had",
        "Has",
        "Have",
        "He",
        "Her",
        "Here",
        "His",
        "How",
        "However",
        "I",
        "If",
        "In",
        "Is",
        "It",
        "Its",
        "Just",
        "Let",
        "Like",
        "Many",
        "Maybe",
        "My",
        "No",
        "Not",
        "Now",
        "On",
        "Once",
        "One",
        "Only",
        "Or",
        "Our",
        "Over",
        "Please",
        "She",
        "Since",
        "So",
        "Some",
        "Such",
        "Take",
        "That",
        "The",
        "Their",
        "Then",
        "There",
        "These",
        "They",
        "This",
        "Those",
        "To",
        "Today",
        "Under",
        "Until",
        "We",
        "Well",
        "What",
        "When",
        "Where",
        "Which",
        "While",
        "Who",
        "Why",
        "Will",
        "With",
        "Would",
        "Yes",
        "Yet",
        "You",
        "Your",
    ]
)
_BULLET = re.compile(r"(?:[-*+•▪·–—#>]|\d{1,3}[.)])\s")
_MARKER = re.compile(r"\s*(?:\d{1,3}|[A-Za-z])\Z")
_WORD = re.compile(r"[^\s\"'“”‘’()\[\]{}<>*_]*\Z")


class _Verdict(Enum):
    END = auto()
    GO_ON = auto()
    WAIT = auto()


class SentenceSplitter:
    """Feed it text as it comes; it gives back whole sentences with the space after them."""

    def __init__(self, max_sentence: int = MAX_SENTENCE) -> None:
        self._max = max_sentence
        self._buffer = ""
        self._seen = 0
        self._line_start = 0

    def feed(self, text: str) -> list[str]:
        """The sentences that are certain now."""
        self._buffer += text
        return self._cut(final=False)

    def flush(self) -> list[str]:
        """What is left; the splitter can be used again afterwards."""
        sentences = self._cut(final=True)
        if self._buffer:
            sentences.append(self._take(len(self._buffer)))
        return sentences

    def _cut(self, *, final: bool) -> list[str]:
        found: list[str] = []
        start = 0
        while (end := self._next_end(start, final=final)) is not None:
            found.append(self._buffer[start:end])
            start = end
            self._seen = self._line_start = end
        self._buffer = self._buffer[start:]
        self._seen -= start
        self._line_start -= start
        return found

    def _take(self, end: int) -> str:
        taken, self._buffer = self._buffer[:end], self._buffer[end:]
        self._seen = self._line_start = 0
        return taken

    def _next_end(self, start: int, *, final: bool) -> int | None:
        """Where the sentence that begins at `start` ends, or None while that is not known."""
        text = self._buffer
        while self._seen < len(text):
            if self._seen - start >= self._max:
                return _forced_cut(text, start, start + self._max)
            position = self._seen
            verdict, end = self._judge(start, position, final=final)
            if verdict is _Verdict.WAIT:
                return None
            if verdict is _Verdict.END:
                return end
            if text[position] == "\n":
                self._line_start = position + 1
            self._seen += 1
        return None

    def _judge(self, start: int, at: int, *, final: bool) -> tuple[_Verdict, int]:
        mark = self._buffer[at]
        if mark == "\n":
            return self._judge_line(start, at, final=final)
        if mark in _ENDS_ALONE or mark in _ENDS:
            return self._judge_mark(start, at, final=final)
        return _Verdict.GO_ON, 0

    def _judge_mark(self, start: int, at: int, *, final: bool) -> tuple[_Verdict, int]:
        """A mark ends a sentence together with the marks and closers after it."""
        text, end = self._buffer, at + 1
        while end < len(text) and end - at <= _MAX_CLOSERS and _follows_mark(text[end]):
            end += 1
        if end == len(text) and not final:
            return _Verdict.WAIT, 0
        if end < len(text) and not text[end].isspace():
            alone = any(character in _ENDS_ALONE for character in text[at:end])
            return (_Verdict.END, end) if alone else (_Verdict.GO_ON, 0)
        return self._judge_next(start, at, end, final=final)

    def _judge_next(self, start: int, at: int, end: int, *, final: bool) -> tuple[_Verdict, int]:
        """A mark with space after it: the words on both sides decide."""
        text = self._buffer
        after = _skip_spaces(text, end)
        word_end = _skip_word(text, after)
        cut_off = word_end == len(text) and word_end - after < _MAX_WORD and after - end < _MAX_SPACES
        begun = text[after:word_end].lstrip(_OPENERS)
        if cut_off and not final and (not begun or _is_initials(_last_word(text[start:at]))):
            return _Verdict.WAIT, 0
        following = text[after:word_end]
        spaces = text[end:after]
        if spaces.count("\n") > 1 or not following:
            return _Verdict.END, after
        goes_on = _goes_on(text[start:at], text[at:end], following)
        return (_Verdict.GO_ON, 0) if goes_on else (_Verdict.END, after)

    def _judge_line(self, start: int, at: int, *, final: bool) -> tuple[_Verdict, int]:
        """A blank line ends a sentence, and so does a line end that is no wrapping."""
        text = self._buffer
        after = _skip_spaces(text, at)
        known = len(text) - after >= 5 or after - at >= _MAX_SPACES or final
        if not known:
            return _Verdict.WAIT, 0
        if not text[start:at].strip():
            return _Verdict.GO_ON, 0
        if text.count("\n", at, after) > 1 or after == len(text) or _BULLET.match(text, after):
            return _Verdict.END, after
        wrapped = at - self._line_start >= _WRAPPED_LINE or text[after].islower()
        return (_Verdict.GO_ON, 0) if wrapped else (_Verdict.END, after)


def split(text: str) -> list[str]:
    """All sentences of a text, each with the space after it."""
    splitter = SentenceSplitter()
    return [*splitter.feed(text), *splitter.flush()]


def _follows_mark(character: str) -> bool:
    return character in _CLOSERS or character in _ENDS or character in _ENDS_ALONE


def _skip_spaces(text: str, at: int) -> int:
    limit = min(len(text), at + _MAX_SPACES)
    while at < limit and text[at].isspace():
        at += 1
    return at


def _skip_word(text: str, at: int) -> int:
    limit = min(len(text), at + _MAX_WORD)
    while at < limit and not text[at].isspace():
        at += 1
    return at


def _goes_on(before: str, marks: str, following: str) -> bool:
    """Whether a sentence goes on after marks that are followed by space and a word."""
    opened = following.lstrip(_OPENERS)
    small = opened[:1].islower()
    if "." not in marks and "…" not in marks:
        closed = any(character in _CLOSERS for character in marks)
        return small and closed  # "Really?" she asked
    if small:
        return True
    if set(marks) != {"."} or len(marks) > 1:
        return False
    return is_abbreviated(before, opened)


def is_abbreviated(before: str, following: str) -> bool:
    """Whether a stop between these belongs to the word before it."""
    word = _last_word(before)
    if _MARKER.fullmatch(before) or word.lower() in _TITLES:
        return not (word.lower() == "no" and not following[:1].isdigit())
    if word.lower() in _MAYBE or not _is_initials(word):
        return False
    return re.sub(r"\W+.*", "", following) not in _STARTERS


def _last_word(before: str) -> str:
    match = _WORD.search(before, max(0, len(before) - _MAX_WORD))
    return match.group() if match else ""


def _is_initials(word: str) -> bool:
    """`J` or `U.S`: the word after them decides."""
    return (len(word) == 1 and word.isupper()) or re.fullmatch(r"(?:[A-Za-z]\.)+[A-Za-z]", word) is not None


def _forced_cut(text: str, start: int, limit: int) -> int:
    """The best place in the second half of a sentence that is too long."""
    half = start + (limit - start) // 2
    for position in range(limit, half, -1):
        if text[position - 1].isspace() and text[position - 2] in _CLAUSE:
            return position
    for position in range(limit, half, -1):
        if text[position - 1].isspace() or text[position - 1] in "，、；：،؛":
            return position
    return limit
