"""Writes a document's passages, their place in the index, and what their persona's documents come to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Count, F, QuerySet

from generation.clips.leases import LeaseLost
from sessions.knowledge import index
from sessions.knowledge.models import Knowledge, KnowledgeDocument, Passage

# Written at once: few enough that on SQLite nobody waits long for the right to write.
AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Piece:
    """A passage to be: `heading` is the path of headings it stands under, `page` that of a PDF, from 1."""

    text: str
    heading: str = ""
    page: int | None = None


def write(document: KnowledgeDocument, pieces: Sequence[Piece], check: Callable[[], None]) -> None:
    """Store passages a few at a time. They are found once the document is published."""
    knowledge, _ = Knowledge.objects.get_or_create(persona_id=document.persona_id)
    for start in range(0, len(pieces), AT_ONCE):
        check()
        _write(knowledge.pk, document, pieces[start : start + AT_ONCE], start)


def published(document: KnowledgeDocument, rows: QuerySet[Any], **changes: Any) -> None:
    """Change a document's row if it is still ours, and say that there is something new to find.

    Raises `LeaseLost`.
    """
    with transaction.atomic():
        if not rows.update(**changes):
            raise LeaseLost
        counted(document.persona_id)


def counted(persona_id: str) -> None:
    """Note that a persona's passages or vectors have changed."""
    ready = Passage.objects.filter(document__persona=persona_id, document__status="ready")
    total = ready.aggregate(n=Count("pk"))["n"]
    Knowledge.objects.filter(persona=persona_id).update(passages=total, version=F("version") + 1)


def _write(scope: int, document: KnowledgeDocument, pieces: Sequence[Piece], start: int) -> None:
    made = [
        Passage(document=document, index=number, page=piece.page, heading=piece.heading, text=piece.text)
        for number, piece in enumerate(pieces, start)
    ]
    terms = index.prepared(scope, [f"{row.heading} {row.text}" for row in made])
    with transaction.atomic():
        Passage.objects.bulk_create(made)
        index.add((row.pk, text) for row, text in zip(made, terms, strict=True))
