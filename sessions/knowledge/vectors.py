"""The vectors of personas that are talked with, kept in memory, and the passages closest to a question."""

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sessions.knowledge.embeddings import STORED
from sessions.knowledge.models import Passage
from sessions.knowledge.search import LOOKED_AT, Scope
from workers.adapters.embedding.base import Vectors

KEPT_BYTES = 256 * 1024 * 1024  # of all personas of a process; those asked last stay
# A question is close to something in any text; what is much further off than the closest says nothing.
BELOW_THE_CLOSEST = 0.25


@dataclass(frozen=True, slots=True)
class Matrix:
    """Passages by their ids, int64 (passages,), and their vectors, float32 (passages, dimensions)."""

    version: int
    ids: NDArray[np.int64]
    vectors: Vectors

    def closest(self, question: Vectors, limit: int = LOOKED_AT) -> list[int]:
        """The passages closest to a question's vector (dimensions,), closest first."""
        if not len(self.ids) or self.vectors.shape[1:] != question.shape:
            return []
        near = self.vectors @ question
        first = np.argpartition(near, -limit)[-limit:] if len(near) > limit else np.arange(len(near))
        first = first[np.argsort(-near[first], kind="stable")]
        kept = first[near[first] >= near[first[0]] - BELOW_THE_CLOSEST]
        return [int(pk) for pk in self.ids[kept]]


class Cache:
    """Matrices of a process. Threads may share it."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept_bytes = kept_bytes
        self._lock = threading.Lock()
        self._loading = threading.Lock()
        self._matrices: OrderedDict[tuple[int, str], Matrix] = OrderedDict()

    def get(self, scope: Scope, model: str) -> Matrix:
        """The vectors that a model made of a persona's passages; read where they have changed."""
        if (found := self._current(scope, model)) is not None:
            return found
        with self._loading:  # whoever waits finds what the first one read
            return self._current(scope, model) or self._keep(scope, model, _read(scope, model))

    def _current(self, scope: Scope, model: str) -> Matrix | None:
        with self._lock:
            found = self._matrices.get((scope.number, model))
            if found is None or found.version < scope.version:
                return None
            self._matrices.move_to_end((scope.number, model))
            return found

    def _keep(self, scope: Scope, model: str, matrix: Matrix) -> Matrix:
        with self._lock:
            self._matrices[scope.number, model] = matrix
            self._matrices.move_to_end((scope.number, model))
            while len(self._matrices) > 1 and self._size() > self._kept_bytes:
                self._matrices.popitem(last=False)
        return matrix

    def _size(self) -> int:
        return sum(matrix.vectors.nbytes for matrix in self._matrices.values())


cache = Cache()


def _read(scope: Scope, model: str) -> Matrix:
    rows = Passage.objects.filter(
        document__persona__library=scope.number,
        document__status="ready",
        document__embedding_model=model,
        vector__isnull=False,
    )
    found = [(pk, bytes(vector or b"")) for pk, vector in rows.values_list("pk", "vector").iterator(2_000)]
    if not found or len({len(vector) for _, vector in found}) > 1:
        return Matrix(scope.version, np.zeros(0, np.int64), np.zeros((0, 0), np.float32))
    packed = np.frombuffer(b"".join(vector for _, vector in found), STORED).reshape(len(found), -1)
    return Matrix(scope.version, np.array([pk for pk, _ in found], np.int64), packed.astype(np.float32))
