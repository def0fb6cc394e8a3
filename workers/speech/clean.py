"""From written text to text that can be read aloud, with the written text kept beside it.

Markdown, HTML and emoji go for every language; numbers, dates, money, units, abbreviations and
addresses become words for English. Other languages keep their numbers: their voices read them.
"""

import re
import unicodedata
from collections.abc import Sequence

from workers.speech import english, markup, spans
from workers.speech.spans import Span

_EMOJI = (
    "\U0001f000-\U0001faff\U00002600-\U000027bf\U00002b00-\U00002bff\U0001f1e6-\U0001f1ff"
    "\U00002300-\U000023ff\ufe0e\ufe0f\u200d\u20e3\U000e0020-\U000e007f"
)

_EVERYWHERE: list[tuple[re.Pattern[str], spans.Change]] = [
    (re.compile(r"^```[^\n]*$", re.MULTILINE), lambda _: Span("", "")),
    (markup.PRONUNCIATION, lambda m: Span(m[1], m.group())),
    (re.compile(r"!\[([^\]\n]*)\]\([^)\n]*\)"), lambda m: Span(m[1], m[1])),
    (re.compile(r"</?[a-zA-Z][^<>\n]{0,200}>"), lambda _: Span("", "")),
    (re.compile(f"[{_EMOJI}]+"), lambda m: Span(m.group(), "")),
    (re.compile(r"(?m)^\s{0,3}#{1,6}\s+"), lambda _: Span("", "")),
    (re.compile(r"(?m)^\s{0,3}>\s?"), lambda _: Span("", "")),
    (re.compile(r"(?m)^\s{0,12}[-*+•▪]\s+(?:\[[ xX]\]\s)?"), lambda _: Span("", "")),
    (re.compile(r"(?m)^\s{0,3}(?:[-*_]\s?){3,}$"), lambda _: Span("", "")),
    (re.compile(r"\*\*\*|\*\*|~~|(?<!\w)__|__(?!\w)|`+"), lambda _: Span("", "")),
    (
        re.compile(r"(?<![\w*])\*(?=\S)|(?<=\S)\*(?![\w*])|(?<!\w)_(?=\w)|(?<=\w)_(?!\w)"),
        lambda _: Span("", ""),
    ),
    (re.compile(r"\s?\|\s?"), lambda m: Span(m.group(), ", ")),
    (re.compile(r"([!?])[!?]+"), lambda m: Span(m.group(), "?" if "?" in m.group() else "!")),
    (re.compile(r"\s+--\s+|\s+[–—]\s+|—"), lambda m: Span(m.group(), " — ")),
    (re.compile("[‘’]"), lambda m: Span(m.group(), "'")),
    (re.compile(r"[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\u00ad]+"), lambda m: Span(m.group(), "")),
    (re.compile(r"[ \t]*\n\s*"), lambda m: Span(m.group(), " ")),
]
_LINK = re.compile(r"(?<!!)\[([^\]\n]{1,300})\]\(([^()\n]*(?:\([^()\n]*\))?[^()\n]*)\)")
_SCRIPTS = {"en": "LATIN", "ja": "CJK HIRAGANA KATAKANA LATIN", "zh": "CJK LATIN", "ar": "ARABIC LATIN"}


def clean(text: str, language: str) -> list[Span]:
    """One sentence as spans: `spans.shown` for captions, `spans.said` for the voice.

    The said text is NFC, has no control characters and no runs of space; it is empty when nothing in
    it sounds. Pronunciations stay in it as `[word](/ipa/)`.
    """
    tidy = "".join(
        c if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs", "Co") else " " for c in text
    )
    unlinked = _LINK.sub(_unlinked, unicodedata.normalize("NFC", tidy))
    parts = [Span(unlinked, unlinked)]
    for pattern, change in _EVERYWHERE:
        parts = spans.rewrite(parts, pattern, change)
    if language.lower().startswith("en"):
        for pattern, change in english.RULES:
            parts = spans.rewrite(parts, pattern, change)
    return _trimmed(parts)


def spoken(parts: Sequence[Span]) -> str:
    """What the voice gets, with its spaces in order."""
    printable = (c if c.isprintable() else " " for c in spans.said(parts))
    said = re.sub(r"\s+", " ", "".join(printable)).strip()
    said = re.sub(r"\s+([,.;:!?])", r"\1", said)
    return said if any(character.isalnum() for character in said) else ""


def speakable(text: str, language: str) -> bool:
    """Whether a voice of that language can say anything of a text.

    Numbers alone can be said in any language; letters must be of a script that the language uses.
    """
    said = spoken(clean(text, language))
    letters = [character for character in said if character.isalpha()]
    if not letters:
        return any(character.isdigit() for character in said)
    scripts = _SCRIPTS.get(language.partition("-")[0].lower())
    if scripts is None:
        return True
    known = sum(unicodedata.name(letter, "?").split()[0] in scripts for letter in letters)
    return known * 2 >= len(letters)


def _unlinked(match: re.Match[str]) -> str:
    """A Markdown link becomes its text; a pronunciation stays."""
    return match.group() if markup.PRONUNCIATION.fullmatch(match.group()) else match[1]


def _trimmed(parts: list[Span]) -> list[Span]:
    """Without the spans that show and say nothing."""
    return [part for part in parts if part.shown or part.said]
