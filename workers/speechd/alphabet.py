"""The phonetic alphabets of the voices, and the plain IPA that leaves the sidecar.

The English and Japanese front ends write the alphabet Kokoro was trained on: one letter per sound,
capitals for diphthongs. Piper voices read espeak's IPA. People write ordinary IPA. What leaves with
the timings is one IPA letter per sound, without stress or length.
"""

import re
import unicodedata
from collections.abc import Sequence

STRESS = frozenset("ˈˌ")
SILENT = frozenset(';:,.!?—…"()“” ')
MODIFIERS = frozenset("ːʰʲᵝ̩̃→↓↗↘")

_SOUNDS = {
    "A": "eɪ",
    "I": "aɪ",
    "O": "oʊ",
    "Q": "əʊ",
    "S": "oʊ",
    "W": "aʊ",
    "Y": "ɔɪ",
    "ᵊ": "ə",
    "ᵻ": "ɪ",
    "T": "ɾ",
    "ʤ": "dʒ",
    "ʧ": "tʃ",
    "ʣ": "dz",
    "ʥ": "dʑ",
    "ʦ": "ts",
    "ʨ": "tɕ",
    "ꭧ": "tʂ",
    "g": "ɡ",
}

_FROM_IPA = [
    ("eɪ", "A"),
    ("aɪ", "I"),
    ("oʊ", "O"),
    ("əʊ", "O"),
    ("aʊ", "W"),
    ("ɔɪ", "Y"),
    ("d͡ʒ", "ʤ"),
    ("dʒ", "ʤ"),
    ("t͡ʃ", "ʧ"),
    ("tʃ", "ʧ"),
    ("ɜːr", "ɜɹ"),
    ("ɜːɹ", "ɜɹ"),
    ("ɜː", "ɜɹ"),
    ("ɝ", "ɜɹ"),
    ("ɚ", "əɹ"),
    ("ː", ""),
    (":", ""),
    ("'", "ˈ"),
    ("r", "ɹ"),
    ("g", "ɡ"),
    ("ɾ", "T"),
    ("ʔ", "t"),
    ("ɫ", "l"),
    ("ɒ", "ɑ"),
    ("ʍ", "w"),
    (".", ""),
    ("͡", ""),
]

_KOKORO_CONSONANTS = "bdfhjklmnpstvwzðŋɡɹʃʒθʤʧT"

_PIPER = {
    "A": "eɪ",
    "I": "aɪ",
    "O": "oʊ",
    "Q": "əʊ",
    "W": "aʊ",
    "Y": "ɔɪ",
    "ᵊ": "ə",
    "T": "ɾ",
    "ʤ": "dʒ",
    "ʧ": "tʃ",
}


def sounds(letter: str) -> str:
    """The IPA letters of one Kokoro or Piper letter; empty for marks and pauses."""
    if letter in STRESS or letter in SILENT or letter in MODIFIERS or unicodedata.combining(letter):
        return ""
    return _SOUNDS.get(letter, letter)


def from_ipa(written: str) -> str:
    """What somebody wrote between slashes, in Kokoro's alphabet: `pˈɑːrli` becomes `pˈɑɹli`.

    Stress stands before the vowel in Kokoro's alphabet and before the syllable in a dictionary, so
    the mark is moved over the consonants that follow it.
    """
    text = unicodedata.normalize("NFC", written)
    for old, new in _FROM_IPA:
        text = text.replace(old, new)
    return re.sub(f"([ˈˌ])([{_KOKORO_CONSONANTS}]+)", r"\2\1", text)


def to_piper(symbols: Sequence[str]) -> list[str]:
    """How espeak would have written each letter of a word, for a Piper voice of American English.

    A letter that melts into the one before it (the r of `ɜɹ` and `əɹ`) is written as nothing.
    """
    padded = ["", *symbols, ""]
    return [_piper(*padded[index : index + 3]) for index in range(len(symbols))]


def _piper(before: str, symbol: str, after: str) -> str:
    if symbol == "ɹ" and before in ("ɜ", "ə"):
        return ""
    if after == "ɹ":
        return {"ɜ": "ɜː", "ə": "ɚ", "ɑ": "ɑː", "ɔ": "ɔː"}.get(symbol, _PIPER.get(symbol, symbol))
    if before in STRESS and symbol in ("i", "u", "ɑ", "ɔ"):
        return symbol + "ː"
    return _PIPER.get(symbol, symbol)
