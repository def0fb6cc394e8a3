"""What is taken out of an answer while it is written, and where it ends when it has no end."""

from __future__ import annotations

import re

from workers.speech.split import SentenceSplitter

_CITED = re.compile(r"\s?\[\d{1,2}(?:[,;]\s?\d{1,2})*\]")
_MAY_CITE = re.compile(r"\s?\[(?:\d{1,2}[,;]?\s?)*\Z|\s\Z")
_LONGEST = 24
SLACK = 1.5
"""A sentence that is still not over is cut off at so many times the limit."""


class Citations:
    """Takes `[1]` out, which models write behind what they found in a passage: nobody can hear it."""

    def __init__(self) -> None:
        self._kept = ""

    def feed(self, text: str) -> str:
        text = _CITED.sub("", self._kept + text)
        match = _MAY_CITE.search(text, max(0, len(text) - _LONGEST))
        end = len(text) if match is None else match.start()
        self._kept = text[end:]
        return text[:end]

    def finish(self) -> str:
        kept, self._kept = self._kept, ""
        return kept


class LengthLimit:
    """Ends an answer at the first end of a sentence behind `characters`. `reached` says that it did."""

    def __init__(self, characters: int) -> None:
        self._characters = characters
        self._count = 0
        self._splitter = SentenceSplitter()
        self._certain = 0  # characters of whole sentences
        self.reached = False

    def feed(self, text: str) -> str:
        """What of a text is still said."""
        if self.reached:
            return ""
        for sentence in self._splitter.feed(text):
            self._certain += len(sentence)
            if self._certain >= self._characters:
                self.reached = True
                # A sentence is certain a little later than it was said: what came since is left out.
                return text[: max(0, self._certain - self._count)]
        left = int(self._characters * SLACK) - self._count
        if left < len(text):
            self.reached = True
            return text[: max(0, left)].rpartition(" ")[0] or text[: max(0, left)]
        self._count += len(text)
        return text
