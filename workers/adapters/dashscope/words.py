"""Word times as CosyVoice and Sambert tell them."""

from collections.abc import Iterable, Mapping
from typing import Any

from workers.adapters.tts.base import Word

NEAR_MS = 60


class SentenceWords:
    """CosyVoice: the words of a sentence when it ends.

    Some models count from the start of the task, some from the start of the sentence; which one it is
    shows in the first word of a sentence that is not the first.
    """

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._samples = 0
        self._begin_ms = 0

    def played(self, pcm: bytes) -> None:
        """So much more sound has come."""
        self._samples += len(pcm) // 2

    def take(self, payload: Mapping[str, Any]) -> tuple[Word, ...]:
        output = _mapping(payload.get("output"))
        if output.get("type") == "sentence-begin":
            self._begin_ms = self._samples * 1000 // self._rate
        if output.get("type") != "sentence-end":
            return ()
        words = _words(_mapping(output.get("sentence")).get("words"))
        if words and words[0].start_ms < self._begin_ms - NEAR_MS:
            words = [Word(w.text, w.start_ms + self._begin_ms, w.end_ms + self._begin_ms) for w in words]
        return tuple(words)


class GrowingWords:
    """Sambert: a sentence comes again and again while it grows, and its last word may still do so."""

    def __init__(self) -> None:
        self._told_ms = 0
        self._held: Word | None = None

    def take(self, payload: Mapping[str, Any]) -> tuple[Word, ...]:
        """The words that will not change any more."""
        sentence = _mapping(_mapping(payload.get("output")).get("sentence"))
        words = [word for word in _words(sentence.get("words")) if word.start_ms >= self._told_ms]
        if not words:
            return ()
        if self._held is not None and self._held.start_ms < words[0].start_ms:
            words.insert(0, self._held)
        self._held = words.pop()
        self._told_ms = max([self._told_ms, *(word.end_ms for word in words)])
        return tuple(words)

    def rest(self) -> tuple[Word, ...]:
        """What was held back, once all is said."""
        held, self._held = self._held, None
        return (held,) if held else ()


def _words(told: Any) -> list[Word]:
    """Those that have a text and times: a provider's extra must not end the speech."""
    entries = (_mapping(entry) for entry in (told if isinstance(told, Iterable) else ()))
    return [word for entry in entries if (word := _word(entry))]


def _word(entry: Mapping[str, Any]) -> Word | None:
    text, start, end = (entry.get(name) for name in ("text", "begin_time", "end_time"))
    if not isinstance(text, str) or not text.strip():
        return None
    if not isinstance(start, int | float) or not isinstance(end, int | float):
        return None
    return Word(text, round(start), round(max(start, end)))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
