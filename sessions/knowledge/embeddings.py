"""Vectors of passages and questions, where an installation has somebody who makes them."""

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Final

import numpy as np
from django.db import transaction
from django.db.models import QuerySet

from generation import providers
from generation.clips.leases import LeaseLost
from sessions.knowledge import passages
from sessions.knowledge.models import KnowledgeDocument, Passage
from workers.adapters import bridge, health
from workers.adapters.breaker import breaker
from workers.adapters.embedding.base import Embedder, Vectors
from workers.adapters.errors import AdapterError

KIND: Final = "embedding"
AT_ONCE = 64
STORED = np.dtype("<f2")


def embedder() -> Embedder | None:
    """Who makes vectors in this installation; None where nobody does."""
    found: Embedder | None = providers.embedder()
    return found


def label(made_by: Embedder) -> str:
    """What a document remembers of who made its vectors."""
    return f"{made_by.provider}:{made_by.model}"[:160]


def embed(document: KnowledgeDocument, rows: QuerySet[Any], check: Callable[[], None]) -> None:
    """Have vectors made of a document's passages. Raises `AdapterError` and `LeaseLost`.

    They are used once all are there: until then it is found by its words.
    """
    made_by = embedder()
    known = rows.values_list("embedding_model", flat=True).first()
    if made_by is None or known is None or known == label(made_by):
        return
    if known and not rows.update(embedding_model=""):
        raise LeaseLost
    found = list(Passage.objects.filter(document=document).order_by("index").defer("vector"))
    texts = [f"{row.heading}\n{row.text}" if row.heading else row.text for row in found]
    at = 0
    for vectors in bridge.iterate(lambda: _batches(made_by, texts)):
        check()
        _store(found[at : at + len(vectors)], vectors)
        at += len(vectors)
    passages.published(document, rows, embedding_model=label(made_by))


async def question_vector(made_by: Embedder, question: str) -> Vectors | None:
    """The vector (dimensions,) of a question; None while its maker is away."""
    fuse = breaker(KIND, made_by.provider)
    if not fuse.allows():
        return None
    begun = time.perf_counter()
    try:
        vectors = await made_by.embed([question], role="question")
    except AdapterError as error:
        fuse.failed(error)
        health.failed(KIND, made_by.provider, error)
        return None
    fuse.succeeded()
    health.heard(KIND, made_by.provider, (time.perf_counter() - begun) * 1000)
    found: Vectors = vectors[0]
    return found


async def _batches(made_by: Embedder, texts: Sequence[str]) -> AsyncGenerator[Vectors, None]:
    for at in range(0, len(texts), AT_ONCE):
        yield await made_by.embed(texts[at : at + AT_ONCE])


def _store(rows: Sequence[Passage], vectors: Vectors) -> None:
    for row, vector in zip(rows, vectors, strict=True):
        row.vector = vector.astype(STORED).tobytes()
    with transaction.atomic():
        Passage.objects.bulk_update(rows, ["vector"])
