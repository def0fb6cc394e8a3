"""What a conversation looks up in its persona's documents while the customer still speaks."""

import asyncio
import logging
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from sessions.knowledge import search
from sessions.knowledge.found import Passage
from sessions.runtime.database import AWAY, in_database

PASSAGES = 4
SHORTEST = 8  # characters of a partial transcript that are worth a search

_log = logging.getLogger(__name__)
T = TypeVar("T")

__all__ = ["Passage", "Retriever"]


@dataclass(slots=True)
class _Looking:
    """A search that is under way, or done."""

    text: str
    task: asyncio.Task[list[Passage]]


class Retriever:
    """Searches one persona's documents for one session, on its event loop, which never waits for it.

    Documents are found as they are now, not as they were when the session began; those of a persona
    that is not the session owner's, nor everybody's, are never searched.
    """

    def __init__(self, persona_id: str, owner_id: str, *, limit: int = PASSAGES) -> None:
        self._persona_id = persona_id
        self._owner_id = owner_id
        self._limit = limit
        self._looking: _Looking | None = None
        self._last: list[Passage] = []

    def prefetch(self, text: str) -> None:
        """Begin to look for what is being said; an older search is given up. Returns at once."""
        if len(text.strip()) >= SHORTEST:
            self._look(text)

    async def passages(self, question: str, *, deadline_seconds: float = 0.15) -> list[Passage]:
        """What answers a question, best first; what is known by the deadline where it takes longer."""
        looking = self._look(question)
        await asyncio.wait([looking.task], timeout=deadline_seconds)
        return looking.task.result() if looking.task.done() else self._last

    def close(self) -> None:
        """Give up what is under way."""
        if self._looking is not None:
            self._looking.task.cancel()
            self._looking = None

    def _look(self, text: str) -> _Looking:
        """The search for a text: one that is under way, or was done, serves again."""
        key = " ".join(text.casefold().split()).rstrip(".?!。？！… ")
        if self._looking is not None and self._looking.text == key:
            return self._looking
        self.close()
        self._looking = _Looking(key, asyncio.create_task(self._searched(text)))
        return self._looking

    async def _searched(self, text: str) -> list[Passage]:
        try:
            self._last = await self._search(text)
        except AWAY as error:
            _log.warning("Documents of %s could not be searched: %s", self._persona_id, error)
            return []
        return self._last

    async def _search(self, text: str) -> list[Passage]:
        return await in_database(partial(self._by_words, text))

    def _by_words(self, text: str) -> list[Passage]:
        return search.search(self._persona_id, self._owner_id, text, limit=self._limit)
