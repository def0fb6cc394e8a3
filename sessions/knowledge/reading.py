"""A file as passages."""

from collections.abc import Callable

from django.conf import settings

from sessions.knowledge import chunks, markdown, pdf, plain
from sessions.knowledge.errors import unreadable
from sessions.knowledge.models import DocumentKind
from sessions.knowledge.passages import Piece


def read(
    kind: str, data: bytes, *, language: str = "en", check: Callable[[], None] = lambda: None
) -> tuple[list[Piece], int | None]:
    """Return the passages of a file and, of a PDF, its pages. Raises `Unreadable`."""
    count = None
    if kind == DocumentKind.PDF:
        texts = pdf.pages(data, most=settings.MAX_DOCUMENT_PAGES, check=check)
        count, blocks = len(texts), pdf.blocks(texts)
    elif kind == DocumentKind.MARKDOWN:
        blocks = markdown.blocks(plain.decoded(data, language))
    else:
        blocks = plain.blocks(plain.decoded(data, language))
    found = list(chunks.pieces(blocks))
    if not found:
        raise unreadable("document_empty")
    return found, count


def kind_of(name: str, data: bytes) -> DocumentKind | None:
    """What a file is, by its content first; None where it is nothing that we read."""
    if b"%PDF-" in data[:1024]:
        return DocumentKind.PDF
    if plain.looks_binary(data):
        return None
    markdown_names = (".md", ".markdown", ".mdown", ".mkd")
    return DocumentKind.MARKDOWN if name.lower().endswith(markdown_names) else DocumentKind.TEXT
