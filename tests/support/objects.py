"""An object store in memory, which behaves like the real one: use it where S3 itself is not the matter.

`tests/storage/test_store.py` puts both through the same cases.
"""

import hashlib
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from storage.errors import ObjectDamaged, ObjectMissing, ObjectTooLarge, StorageError
from storage.s3 import DEFAULT_LIMIT_BYTES, MAX_EXPIRES_SECONDS, ListedObject, ObjectInfo, ObjectStore


class MemoryStore(ObjectStore):
    """Keeps objects in `objects`; raises `failure` from every call while it is set."""

    def __init__(self) -> None:
        self.bucket = "memory"
        self.objects: dict[str, bytes] = {}
        self.digests: dict[str, str] = {}
        self.content_types: dict[str, str] = {}
        self.modified_at: dict[str, datetime] = {}
        self.failure: StorageError | None = None
        self.puts: list[str] = []

    def _answer(self) -> None:
        if self.failure is not None:
            raise self.failure

    def damage(self, key: str) -> None:
        """Change the stored bytes behind the store's back."""
        self.objects[key] = bytes(b ^ 0xFF for b in self.objects[key])

    def ensure_bucket(self) -> None:
        self._answer()

    def check(self) -> None:
        self._answer()

    def put_bytes(self, key: str, data: bytes, content_type: str) -> ObjectInfo:
        self._answer()
        self.puts.append(key)
        self.objects[key] = bytes(data)
        self.digests[key] = hashlib.sha256(data).hexdigest()
        self.content_types[key] = content_type
        self.modified_at[key] = datetime.now(UTC)
        return self._info(key)

    def put_file(self, key: str, path: Path, content_type: str) -> ObjectInfo:
        return self.put_bytes(key, path.read_bytes(), content_type)

    def get_bytes(self, key: str, limit: int = DEFAULT_LIMIT_BYTES) -> bytes:
        data = self._read(key)
        if len(data) > limit:
            raise ObjectTooLarge(key, limit)
        if hashlib.sha256(data).hexdigest() != self.digests[key]:
            raise ObjectDamaged(key)
        return data

    def get_to_file(self, key: str, path: Path) -> ObjectInfo:
        path.write_bytes(self.get_bytes(key))
        return self._info(key)

    @contextmanager
    def open_range(self, key: str, start: int = 0, length: int | None = None) -> Iterator[io.BytesIO]:  # type: ignore[override]
        data = self._read(key)
        yield io.BytesIO(data[start:] if length is None else data[start : start + length])

    def head(self, key: str) -> ObjectInfo | None:
        self._answer()
        return self._info(key) if key in self.objects else None

    def delete(self, keys: Iterable[str]) -> int:
        self._answer()
        named = list(keys)
        for key in named:
            self.objects.pop(key, None)
        return len(named)

    def list(self, prefix: str) -> Iterator[ListedObject]:
        self._answer()
        for key in sorted(self.objects):
            if key.startswith(prefix):
                yield ListedObject(key, len(self.objects[key]), self.modified_at[key])

    def presign_get(
        self,
        key: str,
        expires_seconds: int,
        filename: str | None = None,
        content_type: str | None = None,
        *,
        inline: bool = True,
    ) -> str:
        if not 0 < expires_seconds <= MAX_EXPIRES_SECONDS:
            raise ValueError(f"A link cannot live for {expires_seconds} seconds")
        kind = "inline" if inline else "attachment"
        return f"http://objects.test/memory/{key}?X-Amz-Expires={expires_seconds}&kind={kind}"

    def _read(self, key: str) -> bytes:
        self._answer()
        if key not in self.objects:
            raise ObjectMissing(key)
        return self.objects[key]

    def _info(self, key: str) -> ObjectInfo:
        data = self.objects[key]
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        return ObjectInfo(len(data), self.digests[key], etag)
