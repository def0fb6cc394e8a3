"""English text to letters of Kokoro's alphabet.

The dictionary, tagger and rules are those inside the hibari wheel (misaki's, without its GPL
fallback). `[Parley](/ˈpɑːrli/)` gives a word's pronunciation in IPA.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

from workers.speechd import alphabet
from workers.speechd.line import Letter, Line

_GIVEN = re.compile(r"\[([^\[\]\n]{1,80})\]\(/([^/()\n]{1,80})/\)")
_SPACES = re.compile(r"\s+")


class English:
    """Not safe for use by two threads at once; the sidecar has one thread that speaks."""

    def __init__(self) -> None:
        from hibari.g2p import G2P  # noqa: PLC0415 - the dictionaries take 100 MB and half a second
        from hibari.g2p.normalize import normalize  # noqa: PLC0415

        self._g2p: Any = G2P()
        self._normalize = normalize

    def read(self, text: str) -> Line:
        return _line(self._tokens(text))

    def _tokens(self, text: str) -> Iterable[tuple[str, str, bool]]:
        """(text, phonemes, whether a space follows) of every token."""
        end = 0
        for match in _GIVEN.finditer(text):
            yield from self._plain(text[end : match.start()])
            followed = match.end() < len(text) and text[match.end()].isspace()
            yield match[1], alphabet.from_ipa(match[2]), followed
            end = match.end()
        yield from self._plain(text[end:])

    def _plain(self, text: str) -> Iterable[tuple[str, str, bool]]:
        spaced = _SPACES.sub(" ", unicodedata.normalize("NFC", text))
        tokens = self._g2p.phonemize_tokens(self._g2p.tokenize(self._normalize(spaced)))
        last = len(tokens) - 1
        for position, token in enumerate(tokens):
            follows = bool(token.whitespace) or (position == last and spaced.endswith(" "))
            yield token.text, token.phonemes or "", follows


def _line(tokens: Iterable[tuple[str, str, bool]]) -> Line:
    """Join tokens into words: what stands between two spaces is one word."""
    letters: list[Letter] = []
    words: list[str] = []
    fresh = True
    for text, phonemes, space in tokens:
        if fresh and text:
            words.append("")
            fresh = False
        if text:
            words[-1] += text
        letters += [_letter(symbol, len(words) - 1) for symbol in phonemes]
        if space:
            letters.append(Letter(" "))
            fresh = True
    return Line(tuple(letters), tuple(words))


def _letter(symbol: str, word: int) -> Letter:
    return Letter(symbol, -1 if symbol in alphabet.SILENT else word)
