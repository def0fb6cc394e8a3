"""Vectors of passages, where an installation has somebody who makes them."""

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet

from sessions.knowledge.models import KnowledgeDocument


def embed(document: KnowledgeDocument, rows: QuerySet[Any], check: Callable[[], None]) -> None:
    """Have vectors made of a document's passages. Raises `AdapterError` and `LeaseLost`."""
