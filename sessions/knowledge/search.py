"""Searching one persona's documents: by words, and by meaning where vectors are there. Asks the database."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Q

from sessions.knowledge import index
from sessions.knowledge import models as rows
from sessions.knowledge.found import Passage
from sessions.knowledge.index import Hit

LOOKED_AT = 24  # by each way of searching; then both are put together
FUSED = 60  # of reciprocal rank fusion: how little the first few places differ
LEAST_SHARE = 0.12  # of the question's weight; with less, a passage shares a word and nothing else
BESIDE_THE_BEST = 0.45  # of the best one's share


@dataclass(frozen=True, slots=True)
class Scope:
    """A persona as whoever talks with it may search it. `number` marks its words in the index."""

    persona_id: str
    number: int
    version: int
    passages: int


def scope_of(persona_id: str, owner_id: str) -> Scope | None:
    """What there is to search; None where there is nothing, or it belongs to somebody else."""
    mine = Q(persona__owner=None) | Q(persona__owner=owner_id)
    found = rows.Knowledge.objects.filter(mine, persona=persona_id, passages__gt=0).first()
    return None if found is None else Scope(persona_id, found.pk, found.version, found.passages)


def by_words(scope: Scope, question: str) -> list[Hit]:
    """Passages with the question's words, best first."""
    hits = index.search(scope.number, question, passages=scope.passages, limit=LOOKED_AT)
    best = max((hit.share for hit in hits), default=0.0)
    return [hit for hit in hits if hit.share >= max(LEAST_SHARE, BESIDE_THE_BEST * best)]


def together(by_words: Sequence[int], by_meaning: Sequence[int]) -> list[tuple[int, float]]:
    """Put two rankings of passages together (reciprocal rank fusion): (id, score), best first."""
    scores: dict[int, float] = {}
    for ranking in (by_words, by_meaning):
        for place, passage in enumerate(ranking, 1):
            scores[passage] = scores.get(passage, 0.0) + 1 / (FUSED + place)
    return sorted(scores.items(), key=lambda found: -found[1])


def read(scope: Scope, ranked: Sequence[tuple[int, float]], limit: int) -> list[Passage]:
    """The first passages of a ranking, each text once.

    What was deleted meanwhile, or is another persona's, is left out.
    """
    scores = dict(ranked[: 2 * limit])
    # By their ids alone: a join would lead the database through all passages of the persona.
    found = rows.Passage.objects.filter(pk__in=scores).order_by().defer("vector").select_related("document")
    passages = {
        row.pk: Passage(
            row.document_id, row.document.name, row.page, row.index, row.text, scores[row.pk], row.heading
        )
        for row in found
        if row.document.persona_id == scope.persona_id and row.document.status == rows.DocumentStatus.READY
    }
    once: dict[str, Passage] = {}
    for pk in scores:
        if pk in passages:
            once.setdefault(passages[pk].text, passages[pk])
    return list(once.values())[:limit]


def search(persona_id: str, owner_id: str, question: str, *, limit: int) -> list[Passage]:
    """Search by words alone, at once."""
    scope = scope_of(persona_id, owner_id)
    if scope is None:
        return []
    return read(scope, [(hit.passage, hit.share) for hit in by_words(scope, question)], limit)
