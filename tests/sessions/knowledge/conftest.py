"""Documents for the tests of knowledge."""

from collections.abc import Callable

import pytest

from project.accounts.models import User
from sessions.knowledge import passages
from sessions.knowledge.models import KnowledgeDocument
from sessions.models import Persona


@pytest.fixture
def persona(alice: User) -> Persona:
    return Persona.objects.create(owner=alice, slug="shop", name="Shop")


@pytest.fixture
def document() -> Callable[..., KnowledgeDocument]:
    """Make a document of passages as if it had been prepared."""

    def make(persona: Persona, *texts: str, name: str = "handbook.txt") -> KnowledgeDocument:
        made = KnowledgeDocument.objects.create(
            persona=persona, name=name, kind="text", bytes=1, sha256=name.ljust(64, "0"), key="knowledge/x"
        )
        passages.write(made, [passages.Piece(text) for text in texts], check=lambda: None)
        rows = KnowledgeDocument.objects.filter(pk=made.pk)
        passages.published(made, rows, status="ready", passages=len(texts))
        return made

    return make
