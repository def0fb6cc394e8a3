"""What a front end hands to a voice: letters of the phonetic alphabet and the words they spell."""

from dataclasses import dataclass
from itertools import groupby

SENTENCE_ENDS = frozenset(".!?…")
CLAUSE_ENDS = frozenset(",;:—)”")
MAX_LETTERS = 380
"""The voices were trained on fewer than 500 letters at a time."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One letter of the phonetic alphabet and the index of its word, -1 between words."""

    symbol: str
    word: int = -1


@dataclass(frozen=True, slots=True)
class Line:
    """Some text ready to be spoken in one go. `words` are as they were written."""

    letters: tuple[Letter, ...]
    words: tuple[str, ...]

    @property
    def phonemes(self) -> str:
        return "".join(letter.symbol for letter in self.letters)

    def pieces(self, limit: int = MAX_LETTERS) -> list["Line"]:
        """One line per sentence, and none longer than a voice can say in one breath."""
        sentences = _cut_after(self.letters, SENTENCE_ENDS)
        short = [part for sentence in sentences for part in _within(sentence, limit)]
        return [self._part(part) for part in short if any(letter.word >= 0 for letter in part)]

    def _part(self, letters: list[Letter]) -> "Line":
        order = [word for word, _ in groupby(letter.word for letter in letters if letter.word >= 0)]
        index = {word: position for position, word in enumerate(order)}
        moved = tuple(Letter(letter.symbol, index.get(letter.word, -1)) for letter in letters)
        return Line(moved, tuple(self.words[word] for word in order))


def _cut_after(letters: tuple[Letter, ...], marks: frozenset[str]) -> list[list[Letter]]:
    """Cut where one of the marks is followed by a space."""
    parts: list[list[Letter]] = [[]]
    for position, letter in enumerate(letters):
        if letter.symbol == " " and position and letters[position - 1].symbol in marks:
            parts.append([])
        elif letter.symbol != " " or parts[-1]:
            parts[-1].append(letter)
    return parts


def _within(letters: list[Letter], limit: int) -> list[list[Letter]]:
    """Cut a long sentence after a clause, or between words, or anywhere where there is neither."""
    parts = []
    while len(letters) > limit:
        cut = _last(letters, limit, CLAUSE_ENDS) or _last(letters, limit, frozenset(" ")) or limit
        parts.append(letters[:cut])
        letters = letters[cut:]
    return [*parts, letters]


def _last(letters: list[Letter], limit: int, marks: frozenset[str]) -> int:
    """The place after the last of the marks in the second half of what fits; 0 where there is none."""
    for position in range(limit, limit // 2, -1):
        if letters[position - 1].symbol in marks:
            return position
    return 0
