"""What of an utterance was heard, and when, from where playout stood."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sessions.pipeline.track import FRAME_MS, Spoken

SAMPLES_PER_MS = 48


@dataclass(slots=True)
class Playing:
    """One utterance on the session's timeline. `start` is the frame that presented its first picture.

    `gaps` are the underruns in it: (ms of the utterance, frames it stood still).
    `samples` is None until it is over.
    """

    spoken: Spoken
    start: int
    characters_per_second: float
    gaps: list[tuple[int, int]] = field(default_factory=list)
    waiting_since: int | None = None
    samples: int | None = None

    def at_ms(self, ms: int) -> int:
        """Where a moment of the utterance lies on the session's timeline."""
        still = sum(frames for at, frames in self.gaps if at <= ms)
        return (self.start + still) * FRAME_MS + ms

    @property
    def length_ms(self) -> int:
        """How long its voice is heard; a guess from its text while the provider still speaks."""
        spoken = self.spoken
        if spoken.complete:
            return spoken.frames * FRAME_MS - spoken.pause_ms
        guess = round(len(spoken.text) * 1000 / self.characters_per_second)
        return max(guess, spoken.frames * FRAME_MS)

    def heard_whole(self, samples: int) -> bool:
        """Whether nothing of its voice was missed."""
        return self.spoken.complete and samples // SAMPLES_PER_MS >= self.length_ms

    def heard_text(self, samples: int) -> str:
        """The words of which at least half was played."""
        ms = samples // SAMPLES_PER_MS
        spoken = self.spoken
        if self.heard_whole(samples):
            return spoken.text
        if spoken.said:
            return _up_to(spoken.text, [w.text for w in spoken.words if w.start_ms + w.end_ms <= 2 * ms])
        return _guessed(spoken.text, ms / max(self.length_ms, 1))

    def row(self, samples: int) -> dict[str, Any]:
        """The utterance as the transcript keeps it, up to what was heard."""
        ms = samples // SAMPLES_PER_MS
        words = [
            [word.text, self.at_ms(word.start_ms), self.at_ms(word.end_ms)]
            for word in self.spoken.words
            if word.start_ms + word.end_ms <= 2 * ms
        ]
        end_ms = self.at_ms(min(ms, self.length_ms))
        return {
            "text": self.heard_text(samples),
            "start_ms": self.at_ms(0),
            "end_ms": end_ms,
            "words": words,
        }


def _up_to(text: str, words: list[str]) -> str:
    """The beginning of a text that holds these words, one after the other."""
    end = 0
    for word in words:
        at = text.find(word, end)
        end = at + len(word) if at >= 0 else end
    return text[:end].rstrip()


def _guessed(text: str, share: float) -> str:
    """The beginning of a text, by its length; whole words where there are spaces."""
    end = int(len(text) * min(share, 1.0))
    if end >= len(text):
        return text
    if " " not in text:
        return text[:end]
    return text[:end].rpartition(" ")[0].rstrip() if not text[end].isspace() else text[:end].rstrip()
