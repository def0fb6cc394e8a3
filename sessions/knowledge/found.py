"""What a search gives: a passage with where it stands."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document. `page` is that of a PDF, from 1; a higher `score` fits better."""

    document_id: str
    name: str
    page: int | None
    index: int
    text: str
    score: float
    heading: str = ""
