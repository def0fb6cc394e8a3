"""What goes wrong between us and the object store.

* StorageError                 `retryable`: the same call may work later
  x ObjectMissing              no object has this key
  x ObjectDamaged              its bytes are not those that were stored
  x ObjectTooLarge             it is larger than the caller is ready to hold
  x StorageFull                nothing more fits: somebody has to make room first
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from project.errors import Unavailable

MISSING = {"404", "NoSuchKey", "NoSuchBucket", "NotFound"}
DENIED = {"401", "403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
FULL = {"507", "InsufficientStorage", "XMinioStorageFull", "XAmzStorageFull", "QuotaExceeded"}
# SeaweedFS and others answer a full disk with a plain InternalError; the reason is in its text.
FULL_PHRASES = ("no space left", "disk is full", "storage full", "no writable volume", "no free volume")
BUSY = {"429", "RequestTimeout", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequests"}


class StorageError(Unavailable):
    """The object store did not do its part; `retryable` says whether waiting can help."""

    code = "storage_unavailable"

    def __init__(self, message: str = "", *, retryable: bool = True, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.retryable = retryable


class ObjectMissing(StorageError):
    code = "object_missing"

    def __init__(self, key: str) -> None:
        super().__init__(f"No object {key!r}", retryable=False)
        self.key = key


class ObjectDamaged(StorageError):
    code = "object_damaged"

    def __init__(self, key: str) -> None:
        super().__init__(f"Object {key!r} does not match its checksum", retryable=False)
        self.key = key


class ObjectTooLarge(StorageError):
    code = "object_too_large"

    def __init__(self, key: str, limit: int) -> None:
        super().__init__(f"Object {key!r} is larger than {limit} bytes", retryable=False)
        self.key = key


class StorageFull(StorageError):
    code = "storage_full"

    def __init__(self, message: str = "The object store has no room left") -> None:
        super().__init__(message, retryable=False)


@contextmanager
def translated(key: str) -> Iterator[None]:
    """Turn what boto3 raises in this block into the tree above; `key` is what was being touched."""
    try:
        yield
    except ClientError as error:
        raise _from_answer(error, key) from error
    except Boto3Error as error:
        # The transfer manager hides the server's answer behind its own error.
        cause = error.__context__
        known = _from_answer(cause, key) if isinstance(cause, ClientError) else StorageError(str(error))
        raise known from error
    except BotoCoreError as error:
        # No answer, or half of one: refused, reset, timed out, cut short.
        raise StorageError(f"The object store did not answer: {type(error).__name__}") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(f"No room left beside {error.filename or 'a temporary file'}") from error
        raise


def _from_answer(error: ClientError, key: str) -> StorageError:
    detail = error.response.get("Error", {})
    code, text = str(detail.get("Code", "")), str(detail.get("Message", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in FULL or status == 507 or any(phrase in text.lower() for phrase in FULL_PHRASES):
        return StorageFull()
    if code in MISSING:
        return ObjectMissing(key)
    if code in DENIED:
        return StorageError(f"The object store refused us: {code}", retryable=False, code="storage_denied")
    retryable = status >= 500 or status == 429 or code in BUSY
    return StorageError(f"The object store answered {status} {code}", retryable=retryable)
