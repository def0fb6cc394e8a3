"""What a script may say besides words: pauses and pronunciations.

* `[pause]`, `[pause 800ms]`, `[pause 1.5s]` or `<break time="0.8s"/>`: silence of that length;
* `[Parley](/ˈpɑːrli/)`: the word is shown as written and said as the IPA between the slashes says.

Anything else in brackets is text. A Markdown link to a path such as `[docs](/docs/)` stays a link:
a pronunciation has at least one letter or mark that is not ASCII.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

DEFAULT_PAUSE_MS = 500
MAX_PAUSE_MS = 10_000

PRONUNCIATION = re.compile(r"\[([^\[\]\n]{1,80})\]\(/(?=[^/()\n]*[^\x00-\x7f])([^/()\n\d]{1,80})/\)")

_LENGTH = r"(\d{1,5}(?:\.\d{1,3})?)\s?(ms|s|sec|seconds?)"
_PAUSE = re.compile(
    rf"\[pause(?:[ :=]\s?{_LENGTH})?\]|<break(?:\s+time\s?=\s?[\"']?{_LENGTH}[\"']?)?\s*/?>(?:</break>)?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Text:
    """Words to say; pronunciations still stand in them."""

    text: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Silence that the author asked for."""

    ms: int


Part = Text | Pause


def parse(script: str) -> list[Part]:
    """The parts of a script in order. Text that is only space between two pauses is left out."""
    parts: list[Part] = []
    end = 0
    for match in _PAUSE.finditer(script):
        parts += _text(script[end : match.start()])
        parts.append(Pause(_milliseconds(match)))
        end = match.end()
    return [*parts, *_text(script[end:])]


def pronounced(text: str, lexicon: Mapping[str, str]) -> str:
    """Write the lexicon's pronunciations into a text, where it has none of its own.

    Keys are words or phrases as they are written, case included; values are IPA.
    """
    if not lexicon:
        return text
    words = "|".join(re.escape(word) for word in sorted(lexicon, key=len, reverse=True))
    pattern = re.compile(rf"(\[[^\[\]\n]*\]\([^()\n]*\))|(?<!\w)({words})(?!\w)")
    return pattern.sub(lambda m: m[1] or f"[{m[2]}](/{lexicon[m[2]].strip('/')}/)", text)


def plain(text: str) -> str:
    """The text without its pronunciations, for a voice that does not understand them."""
    return PRONUNCIATION.sub(lambda match: match[1], text)


def _text(text: str) -> list[Part]:
    return [Text(text)] if text.strip() else []


def _milliseconds(match: re.Match[str]) -> int:
    amount, unit = (match[1], match[2]) if match[1] else (match[3], match[4])
    if amount is None:
        return DEFAULT_PAUSE_MS
    scale = 1 if unit.lower() == "ms" else 1000
    return min(round(float(amount) * scale), MAX_PAUSE_MS)
