"""What a conversation looks up in its persona's documents while the customer still speaks."""

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from sessions.knowledge import embeddings, search, vectors
from sessions.knowledge.found import Passage
from sessions.knowledge.search import Scope
from sessions.runtime.database import AWAY, in_database
from workers.adapters.embedding.base import Embedder, Vectors

PASSAGES = 4
SHORTEST = 8  # characters of a partial transcript that are worth a search
# So long the vector of the whole question is waited for when there is one of its beginning.
PATIENCE_SECONDS = 0.06

_log = logging.getLogger(__name__)
# Reading the vectors of a large persona takes a while; nothing else of a session waits behind it.
_reading = ThreadPoolExecutor(1, thread_name_prefix="knowledge-vectors")
T = TypeVar("T")

__all__ = ["Passage", "Retriever"]


@dataclass(frozen=True, slots=True)
class _ByWords:
    """What the words of a question found."""

    scope: Scope | None
    ranking: Sequence[tuple[int, float]]
    passages: list[Passage]


@dataclass(slots=True)
class _Looking:
    """A search that is under way, or done."""

    text: str
    by_words: asyncio.Task[_ByWords]
    whole: asyncio.Task[list[Passage]]


class Retriever:
    """Searches one persona's documents for one session, on its event loop, which never waits for it.

    Documents are found as they are now, not as they were when the session began; those of a persona
    that is not the session owner's, nor everybody's, are never searched. `headed` puts the headings
    above the texts, as a language model has to be told them.
    """

    def __init__(
        self,
        persona_id: str,
        owner_id: str,
        *,
        embedder: Embedder | None = None,
        limit: int = PASSAGES,
        headed: bool = True,
    ) -> None:
        self._persona_id = persona_id
        self._owner_id = owner_id
        self._embedder = embedder
        self._limit = limit
        self._headed = headed
        self._looking: _Looking | None = None
        self._last: list[Passage] = []  # what the beginning of this question found
        self._questions = 0
        self._meaning: asyncio.Task[Vectors | None] | None = None
        self._vector: Vectors | None = None  # of what was heard last

    def prefetch(self, text: str) -> None:
        """Begin to look for what is being said; an older search is given up. Returns at once."""
        if len(text.strip()) >= SHORTEST:
            self._look(text)

    async def passages(self, question: str, *, deadline_seconds: float = 0.15) -> list[Passage]:
        """What answers a question, best first.

        Where that takes longer than the deadline, what its beginning found while it was spoken.
        """
        looking = self._look(question)
        await asyncio.wait([looking.whole], timeout=deadline_seconds)
        self._vector = None  # the next question is another one
        found = _result(looking.whole)
        if found is None:
            words = _result(looking.by_words)
            found = self._last if words is None else words.passages
        self._last = []
        self._questions += 1
        return found

    def close(self) -> None:
        """Give up what is under way."""
        self._give_up()
        if self._meaning is not None:
            self._meaning.cancel()

    # --- Looking --------------------------------------------------------------------------------

    def _look(self, text: str) -> _Looking:
        """The search for a text: one that is under way, or was done, serves again."""
        key = " ".join(text.casefold().split()).rstrip(".?!。？！… ")
        if self._looking is not None and self._looking.text == key:
            return self._looking
        self._give_up()
        by_words = asyncio.create_task(self._by_words(text))
        self._looking = _Looking(key, by_words, asyncio.create_task(self._whole(text, by_words)))
        return self._looking

    def _give_up(self) -> None:
        if self._looking is not None:
            self._looking.whole.cancel()
            self._looking.by_words.cancel()
            self._looking = None

    async def _by_words(self, text: str) -> _ByWords:
        nothing, question = _ByWords(None, (), []), self._questions
        found = await self._asked(in_database(partial(self._find, text)), nothing)
        if question == self._questions:
            self._last = found.passages
        return found

    async def _whole(self, text: str, by_words: "asyncio.Task[_ByWords]") -> list[Passage]:
        """The passages by words, and by meaning where vectors are to be had."""
        known = await asyncio.shield(by_words)
        if self._embedder is None or known.scope is None:
            return known.passages
        vector = await self._vector_of(text, self._embedder)
        if vector is None:
            return known.passages
        both = partial(self._find_both, known.scope, known.ranking, vector)
        return await self._asked(in_database(both, _reading), known.passages)

    async def _vector_of(self, text: str, embedder: Embedder) -> Vectors | None:
        """The vector of a text; that of its beginning where there is one and its own takes long.

        One is asked for at a time while somebody speaks: its answer serves, though a word behind.
        """
        if self._meaning is None or self._meaning.done():
            self._meaning = asyncio.create_task(embeddings.question_vector(embedder, text))
        asked = self._meaning
        await asyncio.wait([asked], timeout=None if self._vector is None else PATIENCE_SECONDS)
        if asked.done() and not asked.cancelled() and (vector := asked.result()) is not None:
            self._vector = vector
        return self._vector

    async def _asked(self, work: Awaitable[T], otherwise: T) -> T:
        try:
            return await work
        except AWAY as error:
            _log.warning("Documents of %s could not be searched: %s", self._persona_id, error)
            return otherwise

    # --- In threads -----------------------------------------------------------------------------

    def _find(self, text: str) -> _ByWords:
        scope = search.scope_of(self._persona_id, self._owner_id)
        if scope is None:
            return _ByWords(None, (), [])
        ranking = [(hit.passage, hit.share) for hit in search.by_words(scope, text)]
        return _ByWords(scope, ranking, self._read(scope, ranking))

    def _find_both(
        self, scope: Scope, ranking: Sequence[tuple[int, float]], vector: Vectors
    ) -> list[Passage]:
        if self._embedder is None:
            return []
        close = vectors.cache.get(scope, embeddings.label(self._embedder)).closest(vector)
        fused = search.together([passage for passage, _ in ranking], close)
        return self._read(scope, fused)

    def _read(self, scope: Scope, ranking: Sequence[tuple[int, float]]) -> list[Passage]:
        found = search.read(scope, ranking, self._limit)
        return [_headed(passage) for passage in found] if self._headed else found


def _headed(passage: Passage) -> Passage:
    return replace(passage, text=f"{passage.heading}:\n{passage.text}") if passage.heading else passage


def _result(task: "asyncio.Task[T]") -> T | None:
    """What a task has found by now; an answer is not lost to a mistake in its search."""
    if not task.done() or task.cancelled():
        return None
    if (error := task.exception()) is not None:
        _log.error("A search failed", exc_info=error)
        return None
    return task.result()
