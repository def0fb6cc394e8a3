"""What every maker of vectors looks like from outside."""

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
"""One row for each text, each of length 1."""
Role = Literal["passage", "question"]


class Embedder(Protocol):
    """Makes vectors; those of two models have nothing to do with each other.

    `embed` returns float32 (texts, dimensions), rows of length 1, in the order of the texts. It asks in
    batches as the provider takes them, and again where that may help. Raises `AdapterError`. May be
    called on any event loop.
    """

    provider: str
    model: str

    async def embed(self, texts: Sequence[str], *, role: Role = "passage") -> Vectors: ...


def normalised(vectors: Vectors) -> Vectors:
    """Scale rows to length 1; a row of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Vectors = vectors / np.maximum(lengths, np.float32(1e-12))
    return scaled
