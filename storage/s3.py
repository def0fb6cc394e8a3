"""The object store: any server that speaks S3.

Each whole object carries its SHA-256 as metadata, and every whole read is checked against it.
"""

import hashlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import quote

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError
from django.conf import settings

from project.metrics import instruments
from storage.errors import (
    ObjectDamaged,
    ObjectMissing,
    ObjectTooLarge,
    StorageError,
    StorageFull,
    translated,
)

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef, HeadObjectOutputTypeDef

CONNECT_TIMEOUT_SECONDS = 3
READ_TIMEOUT_SECONDS = 30
ATTEMPTS = 3
POOL_CONNECTIONS = 32
BLOCK_BYTES = 1024 * 1024
PART_BYTES = 8 * 1024 * 1024
DELETE_BATCH = 1000  # what one DeleteObjects call may name
MAX_EXPIRES_SECONDS = 7 * 24 * 3600  # SigV4 allows no more
DEFAULT_LIMIT_BYTES = 512 * 1024 * 1024
FULL_BELOW_BYTES = 256 * 1024 * 1024  # the server's volumes turn read-only at this (project.embedded)

# boto3 sessions are not safe to create clients from in several threads at once; clients are.
_session_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What is known of one object without reading it; `sha256` is hexadecimal."""

    size: int
    sha256: str | None
    etag: str


@dataclass(frozen=True, slots=True)
class ListedObject:
    key: str
    size: int
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a store is, and who we are there."""

    url: str
    public_url: str
    region: str
    bucket: str
    access_key_id: str
    secret_access_key: str
    data_dir: str = ""
    """Where the server keeps its data, if that is a disk of this machine."""


class ObjectStore:
    """One bucket. Safe to share between threads; raises StorageError and its kinds."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.bucket = endpoint.bucket

    @cached_property
    def _client(self) -> "S3Client":
        return _connect(self.endpoint, self.endpoint.url)

    @cached_property
    def _signer(self) -> "S3Client":
        """Signs for the address that browsers see; it never opens a connection."""
        return _connect(self.endpoint, self.endpoint.public_url)

    def ensure_bucket(self) -> None:
        """Make the bucket if it is not there."""
        try:
            self.check()
        except ObjectMissing:
            with _call("make_bucket", self.bucket):
                self._create_bucket()

    def _create_bucket(self) -> None:
        try:
            self._client.create_bucket(Bucket=self.bucket)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                raise

    def check(self) -> None:
        """Raise unless the bucket answers."""
        with _call("check", self.bucket):
            self._client.head_bucket(Bucket=self.bucket)

    def put_bytes(self, key: str, data: bytes, content_type: str) -> ObjectInfo:
        digest = hashlib.sha256(data).hexdigest()
        with self._writing("put", key):
            answer = self._client.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=data,
                ContentType=content_type,
                Metadata={"sha256": digest},
            )
        return ObjectInfo(len(data), digest, _etag(answer["ETag"]))

    def put_file(self, key: str, path: Path, content_type: str) -> ObjectInfo:
        """Store a file in parts; memory does not grow with its length."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        extra = {"ContentType": content_type, "Metadata": {"sha256": digest}}
        with self._writing("put_file", key):
            self._client.upload_file(str(path), self.bucket, key, ExtraArgs=extra, Config=_PARTS)
        stored = self.head(key)
        if stored is None or stored.size != path.stat().st_size:
            raise ObjectDamaged(key)
        return stored

    @contextmanager
    def _writing(self, operation: str, key: str) -> Iterator[None]:
        """Translate, and look at the disk where the server itself keeps silent about a full one."""
        try:
            with _call(operation, key):
                yield
        except StorageError as error:
            if error.retryable and self._disk_is_full():
                raise StorageFull from error
            raise

    def _disk_is_full(self) -> bool:
        if not self.endpoint.data_dir:
            return False
        try:
            return shutil.disk_usage(self.endpoint.data_dir).free < FULL_BELOW_BYTES
        except OSError:  # not a disk of this machine after all
            return False

    def get_bytes(self, key: str, limit: int = DEFAULT_LIMIT_BYTES) -> bytes:
        """Read a whole object of at most `limit` bytes, checked against its checksum."""
        with _call("get", key):
            answer = self._client.get_object(Bucket=self.bucket, Key=key)
            with closing(answer["Body"]) as body:
                if answer["ContentLength"] > limit:
                    raise ObjectTooLarge(key, limit)
                data = body.read()
        _verify(key, answer, hashlib.sha256(data).hexdigest())
        return data

    def get_to_file(self, key: str, path: Path) -> ObjectInfo:
        """Read a whole object into a file, which appears only once it is complete and checked."""
        with _call("get_file", key), _appearing(path) as file:
            answer = self._client.get_object(Bucket=self.bucket, Key=key)
            digest = hashlib.sha256()
            with closing(answer["Body"]) as body:
                for block in body.iter_chunks(BLOCK_BYTES):
                    digest.update(block)
                    file.write(block)
            _verify(key, answer, digest.hexdigest())
        return _info(answer)

    @contextmanager
    def open_range(self, key: str, start: int = 0, length: int | None = None) -> Iterator["StreamingBody"]:
        """Read `length` bytes from `start` (to the end without a length), as a file to read from."""
        span = f"bytes={start}-" if length is None else f"bytes={start}-{start + length - 1}"
        with _call("get_range", key):
            answer = self._client.get_object(Bucket=self.bucket, Key=key, Range=span)
            with closing(answer["Body"]) as body:
                yield body

    def head(self, key: str) -> ObjectInfo | None:
        """Say what an object is, or None where there is none."""
        try:
            with _call("head", key):
                return _info(self._client.head_object(Bucket=self.bucket, Key=key))
        except ObjectMissing:
            return None

    def delete(self, keys: Iterable[str]) -> int:
        """Delete objects, those already gone included; return how many were named."""
        remaining, deleted = iter(keys), 0
        while batch := list(islice(remaining, DELETE_BATCH)):
            self._delete_batch(batch)
            deleted += len(batch)
        return deleted

    def _delete_batch(self, keys: list[str]) -> None:
        named = [{"Key": key} for key in keys]
        with _call("delete", keys[0]):
            answer = self._client.delete_objects(
                Bucket=self.bucket,
                Delete={"Objects": named, "Quiet": True},  # type: ignore[typeddict-item]
            )
        failed = [e for e in answer.get("Errors", []) if e.get("Code") != "NoSuchKey"]
        if failed:
            raise StorageError(f"{len(failed)} of {len(keys)} objects were not deleted")

    def delete_prefix(self, prefix: str) -> int:
        """Delete everything below a prefix, which must name a folder; return how many there were."""
        if not prefix.strip("/") or not prefix.endswith("/"):
            raise ValueError(f"Not a folder to delete: {prefix!r}")
        # The listing is finished first: deleting while paging makes some servers skip objects.
        return self.delete([found.key for found in self.list(prefix)])

    def list(self, prefix: str) -> Iterator[ListedObject]:
        """Everything below a prefix, in the order of its keys."""
        pages = self._client.get_paginator("list_objects_v2")
        with _call("list", prefix):
            for page in pages.paginate(Bucket=self.bucket, Prefix=prefix):
                for found in page.get("Contents", []):
                    yield ListedObject(found["Key"], found["Size"], found["LastModified"])

    def presign_get(
        self,
        key: str,
        expires_seconds: int,
        filename: str | None = None,
        content_type: str | None = None,
        *,
        inline: bool = True,
    ) -> str:
        """Make a link that lets whoever holds it read this one object until it expires.

        With `inline` a browser shows it, else it saves it as `filename`.
        """
        if not 0 < expires_seconds <= MAX_EXPIRES_SECONDS:
            raise ValueError(f"A link cannot live for {expires_seconds} seconds")
        params = {"Bucket": self.bucket, "Key": key}
        if filename is not None or not inline:
            params["ResponseContentDisposition"] = _disposition(filename, inline=inline)
        if content_type is not None:
            params["ResponseContentType"] = content_type
        return self._signer.generate_presigned_url("get_object", Params=params, ExpiresIn=expires_seconds)


def store() -> ObjectStore:
    """The store of the settings; one per process, so that its connections are reused."""
    endpoint = Endpoint(
        url=settings.S3_ENDPOINT_URL,
        public_url=settings.S3_PUBLIC_ENDPOINT_URL or settings.S3_ENDPOINT_URL,
        region=settings.S3_REGION,
        bucket=settings.S3_BUCKET,
        access_key_id=settings.S3_ACCESS_KEY_ID,
        secret_access_key=settings.S3_SECRET_ACCESS_KEY,
        data_dir=settings.S3_DATA_DIR,
    )
    return _store(endpoint, os.getpid())


@lru_cache(maxsize=4)
def _store(endpoint: Endpoint, pid: int) -> ObjectStore:
    # `pid` is part of the question: a forked child must not share its parent's sockets.
    del pid
    return ObjectStore(endpoint)


_PARTS = TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=2)


def _connect(endpoint: Endpoint, url: str) -> "S3Client":
    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        max_pool_connections=POOL_CONNECTIONS,
        tcp_keepalive=True,
        # Servers other than Amazon's stumble over trailing checksums; ours is in the metadata.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    with _session_lock:
        return boto3.session.Session().client(
            "s3",
            endpoint_url=url or None,
            region_name=endpoint.region,
            aws_access_key_id=endpoint.access_key_id,
            aws_secret_access_key=endpoint.secret_access_key,
            config=config,
        )


@contextmanager
def _call(operation: str, key: str) -> Iterator[None]:
    """Measure one call, and translate what it raises. What is not there is an answer, no failure."""
    began = time.perf_counter()
    try:
        with translated(key):
            yield
    except StorageError as error:
        if not isinstance(error, ObjectMissing):
            instruments.storage_errors.labels(operation, error.code).inc()
        raise
    finally:
        instruments.storage_seconds.labels(operation).observe(time.perf_counter() - began)


def _info(answer: "HeadObjectOutputTypeDef | GetObjectOutputTypeDef") -> ObjectInfo:
    digest = answer["Metadata"].get("sha256")
    return ObjectInfo(answer["ContentLength"], digest, _etag(answer["ETag"]))


def _etag(raw: str) -> str:
    return raw.strip('"')


def _verify(key: str, answer: "GetObjectOutputTypeDef", digest: str) -> None:
    expected = answer["Metadata"].get("sha256")
    if expected is not None and expected != digest:
        raise ObjectDamaged(key)


@contextmanager
def _appearing(path: Path) -> Iterator[IO[bytes]]:
    """Write beside `path`, and put the file in its place only when the block ends well."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        partial = Path(file.name)
        try:
            yield file
            file.flush()
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def _disposition(filename: str | None, *, inline: bool) -> str:
    """RFC 6266, with the name in UTF-8 for browsers and in ASCII for everything older."""
    kind = "inline" if inline else "attachment"
    if filename is None:
        return kind
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\/%' else "_" for c in filename)
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"
