"""How text is cut into the words it is found by, in every language, the same for text and question.

Case, accents and widths do not count, and common endings are cut off. Languages that write no spaces
(and Korean, whose endings hang on the word) are cut into pairs of characters.

>>> terms("Crêpes & ＡＢＣ-12")
['crepe', 'abc', '12']
>>> terms("東京都の天気")
['東京', '京都', '都の', 'の天', '天気']
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from sessions.knowledge.stopwords import STOP_WORDS

MAX_WORD = 40
MAX_QUESTION_WORDS = 24
MAX_QUESTION = 1_000  # characters of a question that are looked at, from its end

# Latin, Arabic and Hebrew accents. Marks of other scripts are letters there.
_ACCENTS = re.compile("[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u064b-\u065f\u0670]")
_MARKS = "\u0900-\u0963\u0966-\u0dff"  # vowels of the scripts of India that `\w` leaves out
_DENSE = (
    "\u0e00-\u0e7f\u0e80-\u0eff\u1000-\u109f\u1780-\u17dd"  # Thai, Lao, Burmese, Khmer
    "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af"
    "\U00020000-\U0003ffff"
)
_RUN = re.compile(rf"(?P<dense>[{_DENSE}]+)|(?P<word>(?:(?![{_DENSE}])(?:[^\W_]|[{_MARKS}]))+)")
_GRAMMAR = re.compile("[\u3040-\u309f]+")  # Japanese endings and particles


@dataclass(frozen=True, slots=True)
class Wanted:
    """A word of a question. `pair` marks two characters of a language without spaces, which may well
    stand across two words; `begins` a single character, which stands for every pair it opens.
    """

    term: str
    pair: bool = False
    begins: bool = False


def terms(text: str) -> list[str]:
    """Every word of a text, in order."""
    found: list[str] = []
    for run in _RUN.finditer(folded(text)):
        found += _pairs(run["dense"]) if run["dense"] else [_stem(run["word"][:MAX_WORD])]
    return found


def wanted(question: str) -> list[Wanted]:
    """The words of a question that carry meaning, each once; none where it is only small talk."""
    seen: dict[Wanted, None] = {}
    for run in _RUN.finditer(folded(question[-MAX_QUESTION:])):
        if dense := run["dense"]:
            seen |= dict.fromkeys(_of_dense(dense))
        elif (word := run["word"][:MAX_WORD]) not in STOP_WORDS and (len(word) > 1 or word.isdecimal()):
            seen[Wanted(_stem(word))] = None
    return list(seen)[-MAX_QUESTION_WORDS:]


def folded(text: str) -> str:
    """Without what people leave out when they type or what a recogniser cannot hear."""
    wide = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFD", wide)))


def _pairs(run: str) -> Iterable[str]:
    return [run[i : i + 2] for i in range(max(1, len(run) - 1))]


def _of_dense(run: str) -> Iterable[Wanted]:
    if len(run) == 1:
        return [] if _GRAMMAR.fullmatch(run) else [Wanted(run, pair=True, begins=True)]
    pairs = [pair for pair in _pairs(run) if not _GRAMMAR.fullmatch(pair) and pair not in STOP_WORDS]
    return [Wanted(pair, pair=True) for pair in pairs]


def _stem(word: str) -> str:
    """Cut the endings that most languages of Latin letters share, so that "returns" meets "returned"."""
    if not word.isascii() or len(word) < 4 or not word.isalpha():
        return word
    for ending, shortest in (("ies", 3), ("ing", 4), ("ed", 4), ("es", 4), ("s", 3)):
        if word.endswith(ending) and len(word) - len(ending) >= shortest and not word.endswith("ss"):
            stem = word[: -len(ending)] + ("y" if ending == "ies" else "")
            return stem[:-1] if len(stem) > 4 and stem[-1] == stem[-2] else stem.removesuffix("e")
    return word.removesuffix("e") if len(word) > 4 else word
