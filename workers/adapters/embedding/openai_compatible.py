"""Vectors from any server with OpenAI's `/embeddings`."""

import asyncio
import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.adapters import options as given
from workers.adapters.answers import answered
from workers.adapters.embedding.base import Role, Vectors, normalised
from workers.adapters.endpoint import Deadlines, Endpoint
from workers.adapters.errors import AdapterError
from workers.adapters.retry import pause_or_raise
from workers.adapters.text import parsed

WHO = "embedding provider"
MAX_BODY_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a server differs. `batch` is how many texts one call takes, `characters` what is sent of each."""

    model: str
    provider: str = "openai"
    batch: int = 32
    characters: int = 4_000
    dimensions: int | None = None
    question_prefix: str = ""
    passage_prefix: str = ""
    deadlines: Deadlines = field(default_factory=lambda: Deadlines(read=30.0, pool=5.0))


class OpenAICompatible:
    """Stateless but for its pool of connections; every session of a process may share it."""

    def __init__(self, endpoint: Endpoint, dialect: Dialect) -> None:
        self._endpoint = endpoint
        self._dialect = dialect
        self.provider = dialect.provider
        self.model = dialect.model

    async def embed(self, texts: Sequence[str], *, role: Role = "passage") -> Vectors:
        dialect = self._dialect
        prefix = dialect.question_prefix if role == "question" else dialect.passage_prefix
        # An empty text is refused by most; a full stop means as little.
        sent = [prefix + (text.strip()[: dialect.characters] or ".") for text in texts]
        found = [
            await self._persistently(sent[at : at + dialect.batch])
            for at in range(0, len(sent), dialect.batch)
        ]
        if len({part.shape[1] for part in found}) > 1:
            raise self._unreadable()
        return normalised(np.concatenate(found)) if found else np.zeros((0, 0), np.float32)

    async def _persistently(self, texts: Sequence[str]) -> Vectors:
        attempt = 1
        while True:
            try:
                return await self._once(texts)
            except AdapterError as error:
                await asyncio.sleep(pause_or_raise(error, attempt, delivered=False))
                attempt += 1

    async def _once(self, texts: Sequence[str]) -> Vectors:
        body: dict[str, Any] = {"model": self.model, "input": list(texts), "encoding_format": "float"}
        if self._dialect.dimensions is not None:
            body["dimensions"] = self._dialect.dimensions
        call = answered(
            self._endpoint, "/embeddings", provider=self.provider, deadlines=self._dialect.deadlines,
            who=WHO, json=body,
        )  # fmt: skip
        read = bytearray()
        async with call as response:
            async for data in response.aiter_bytes():
                read += data
                if len(read) > MAX_BODY_BYTES:
                    raise self._unreadable()
        return self._vectors(bytes(read), len(texts))

    def _vectors(self, body: bytes, count: int) -> Vectors:
        """The rows in the order of the texts, whatever order they came in."""
        try:
            told = parsed(body)["data"]
            places = [row.get("index", place) for place, row in enumerate(told)]
            if sorted(places) != list(range(count)):
                raise self._unreadable()
            rows = [_row(row["embedding"]) for _, row in sorted(zip(places, told, strict=True), key=_place)]
            vectors = np.stack(rows)
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise self._unreadable() from exc
        if vectors.ndim != 2 or not vectors.size or not np.isfinite(vectors).all():
            raise self._unreadable()
        return vectors

    def _unreadable(self) -> AdapterError:
        message = "The embedding provider's answer cannot be read."
        return AdapterError(message, provider=self.provider, retryable=False, code="provider_error")


def _place(pair: tuple[int, Any]) -> int:
    return pair[0]


def _row(told: Any) -> NDArray[np.float32]:
    """A list of numbers, or float32 in base64: some send that without having been asked."""
    if isinstance(told, str):
        try:
            return np.frombuffer(base64.b64decode(told, validate=True), "<f4")
        except binascii.Error as exc:
            raise ValueError("not base64") from exc
    return np.asarray(told, np.float32)


def make(endpoint: Endpoint, options: Mapping[str, Any]) -> OpenAICompatible:
    return OpenAICompatible(endpoint, given.made(Dialect, options))
