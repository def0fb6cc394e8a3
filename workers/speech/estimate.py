"""How long a script will be, before it is spoken."""

from collections.abc import Iterable

from workers.speech import markup
from workers.speech.script import Sentence, sentences
from workers.speech.voices import Voice

_WIDE = 2.4
"""A CJK character takes about as long as this many Latin ones."""


def estimated_ms(script: str, voice: Voice, speed: float = 1.0) -> int:
    """Milliseconds that a voice needs for a script, pauses included; within about a tenth."""
    return _duration_ms(sentences(script, voice.language), voice, speed)


def _duration_ms(plan: Iterable[Sentence], voice: Voice, speed: float) -> int:
    total = 0.0
    for sentence in plan:
        seconds = _weight(markup.plain(sentence.said)) / voice.characters_per_second
        total += sentence.lead_ms + seconds * 1000 / speed
        total += sentence.tail_ms if sentence.planned else sentence.tail_ms / speed
    return round(total)


def _weight(text: str) -> float:
    return sum(_WIDE if "\u2e80" <= character <= "\ud7ff" else 1.0 for character in text)
