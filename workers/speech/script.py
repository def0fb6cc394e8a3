"""A script as sentences to say, each with the silence around it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from workers.speech import markup, spans
from workers.speech.clean import clean, spoken
from workers.speech.spans import Span
from workers.speech.split import SentenceSplitter, split

SENTENCE_PAUSE_MS = 360
PARAGRAPH_PAUSE_MS = 720
ELLIPSIS_PAUSE_MS = 520
CLAUSE_PAUSE_MS = 160
"""After a piece of a sentence that was too long to be said at once."""

_ENDS = tuple(".!?…。！？؟।۔")
_CLOSING = "\"'”’»)]}」』）】"


@dataclass(frozen=True, slots=True)
class Sentence:
    """What is said in one go.

    `text` is what a reader sees, `said` what the voice gets. `lead_ms` and `tail_ms` are the silence
    before and after it, of which `planned` says that the author asked for it.
    """

    text: str
    said: str
    spans: tuple[Span, ...]
    lead_ms: int
    tail_ms: int
    planned: bool = False


def sentences(script: str, language: str, lexicon: Mapping[str, str] | None = None) -> list[Sentence]:
    """The sentences of a script; none when nothing in it sounds.

    A pause that the author wrote takes the place of the natural one. Takes time in proportion to
    the length of the script.
    """
    found: list[Sentence] = []
    lead = 0
    for part in markup.parse(script):
        if isinstance(part, markup.Pause):
            lead = _add_pause(found, lead, part.ms)
            continue
        text = markup.pronounced(part.text, lexicon or {})
        for piece in split(text):
            made = sentence(piece, language)
            if made is not None:
                found.append(replace(made, lead_ms=lead))
                lead = 0
    if found and not found[-1].planned:
        found[-1] = replace(found[-1], tail_ms=0)
    return found


def sentence(piece: str, language: str) -> Sentence | None:
    """One piece that the splitter gave; None when nothing in it sounds."""
    parts = clean(piece, language)
    said = spoken(parts)
    if not said:
        return None
    text = re.sub(r"\s+", " ", spans.shown(parts)).strip()
    return Sentence(text, _ended(said, text, language), tuple(parts), 0, natural_pause_ms(piece))


class StreamingScript:
    """Sentences of a text that still arrives: an answer of a language model."""

    def __init__(self, language: str) -> None:
        self._language = language
        self._splitter = SentenceSplitter()

    def feed(self, text: str) -> list[Sentence]:
        return list(self._made(self._splitter.feed(text)))

    def flush(self) -> list[Sentence]:
        return list(self._made(self._splitter.flush()))

    def _made(self, pieces: list[str]) -> Iterator[Sentence]:
        for piece in pieces:
            made = sentence(piece, self._language)
            if made is not None:
                yield made


def natural_pause_ms(piece: str) -> int:
    """How long a reader waits after a piece, judged by how it ends."""
    if re.search(r"\n\s*\n\s*\Z", piece):
        return PARAGRAPH_PAUSE_MS
    bare = piece.rstrip().rstrip(_CLOSING)
    if bare.endswith(("...", "…")):
        return ELLIPSIS_PAUSE_MS
    if bare.endswith(_ENDS) or piece.rstrip() != piece.rstrip(" \t"):
        return SENTENCE_PAUSE_MS
    return SENTENCE_PAUSE_MS if "\n" in piece[len(piece.rstrip()) :] else CLAUSE_PAUSE_MS


def _add_pause(found: list[Sentence], lead: int, ms: int) -> int:
    """Put a written pause after the last sentence, or in front of the first; returns the new lead."""
    if not found:
        return min(lead + ms, markup.MAX_PAUSE_MS)
    last = found[-1]
    tail = min(last.tail_ms + ms if last.planned else ms, markup.MAX_PAUSE_MS)
    found[-1] = replace(last, tail_ms=tail, planned=True)
    return 0


def _ended(said: str, text: str, language: str) -> str:
    """Voices fall at the end of what ends with a mark; a piece without one gets a comma or a stop."""
    if said.rstrip(_CLOSING).endswith((*_ENDS, ",", ";", ":", "—")) or not said[-1].isalnum():
        return said
    full, half = ("。", "、") if language.startswith(("ja", "zh")) else (".", ",")
    return said + (full if text.rstrip(_CLOSING).endswith(_ENDS) or text[:1].isupper() else half)
