"""Writes a document's passages, their place in the index, and what their persona's documents come to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Count, F

from sessions.knowledge import index
from sessions.knowledge.models import Knowledge, KnowledgeDocument, Passage

AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Piece:
    """A passage to be: `heading` is the path of headings it stands under, `page` that of a PDF, from 1."""

    text: str
    heading: str = ""
    page: int | None = None


def replace(document: KnowledgeDocument, pieces: Sequence[Piece], **changes: Any) -> None:
    """Give a document these passages instead of those it has, and change its columns with them."""
    with transaction.atomic():
        knowledge = _locked(document.persona_id)
        Passage.objects.filter(document=document).delete()
        for start in range(0, len(pieces), AT_ONCE):
            some = pieces[start : start + AT_ONCE]
            made = Passage.objects.bulk_create(
                Passage(document=document, index=number, page=p.page, heading=p.heading[:300], text=p.text)
                for number, p in enumerate(some, start)
            )
            index.add(knowledge.pk, ((row.pk, f"{row.heading} {row.text}") for row in made))
        KnowledgeDocument.objects.filter(pk=document.pk).update(
            passages=len(pieces), embedding_model="", **changes
        )
        counted(document.persona_id)


def forget(documents: Iterable[KnowledgeDocument]) -> None:
    """Delete documents of one persona with their passages and vectors; called in a transaction."""
    for document in documents:
        _locked(document.persona_id)
        document.delete()
        counted(document.persona_id)


def counted(persona_id: str) -> None:
    """Note that a persona's passages or vectors have changed."""
    total = Passage.objects.filter(document__persona=persona_id).aggregate(n=Count("pk"))["n"]
    Knowledge.objects.filter(persona=persona_id).update(passages=total, version=F("version") + 1)


def _locked(persona_id: str) -> Knowledge:
    """The persona's row, for ourselves until the transaction ends."""
    Knowledge.objects.get_or_create(persona_id=persona_id)
    return Knowledge.objects.select_for_update().get(persona_id=persona_id)
