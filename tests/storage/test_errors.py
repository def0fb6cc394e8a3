"""How answers of all kinds of servers become errors that a task can judge."""

import errno

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from storage.errors import ObjectMissing, StorageError, StorageFull, translated


def _answer(status: int, code: str, message: str = "") -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        "PutObject",
    )


def _translate(error: Exception) -> StorageError:
    with pytest.raises(StorageError) as caught, translated("clips/clip_1/audio.m4a"):
        raise error
    return caught.value


@pytest.mark.parametrize(
    ("error", "code", "retryable"),
    [
        (_answer(404, "NoSuchKey"), "object_missing", False),
        (_answer(404, "404"), "object_missing", False),
        (_answer(403, "AccessDenied"), "storage_denied", False),
        (_answer(403, "403"), "storage_denied", False),
        (_answer(500, "InternalError"), "storage_unavailable", True),
        (_answer(503, "SlowDown"), "storage_unavailable", True),
        (_answer(429, "TooManyRequests"), "storage_unavailable", True),
        (_answer(400, "RequestTimeout"), "storage_unavailable", True),
        (_answer(400, "InvalidRequest"), "storage_unavailable", False),
        (_answer(507, "XMinioStorageFull"), "storage_full", False),
        (_answer(507, "507"), "storage_full", False),
        (_answer(500, "InternalError", "write /data: no space left on device"), "storage_full", False),
        (_answer(500, "InternalError", "assign: No writable volumes"), "storage_full", False),
        (EndpointConnectionError(endpoint_url="http://s3"), "storage_unavailable", True),
        (ReadTimeoutError(endpoint_url="http://s3"), "storage_unavailable", True),
        (OSError(errno.ENOSPC, "No space left on device"), "storage_full", False),
    ],
)
def test_an_answer_becomes_an_error_of_ours(error: Exception, code: str, retryable: bool) -> None:
    known = _translate(error)
    assert known.code == code
    assert known.retryable is retryable


def test_a_missing_object_says_which() -> None:
    known = _translate(_answer(404, "NoSuchKey"))
    assert isinstance(known, ObjectMissing)
    assert known.key == "clips/clip_1/audio.m4a"


def test_other_errors_of_the_machine_pass_through() -> None:
    with pytest.raises(PermissionError), translated("key"):
        raise PermissionError(errno.EACCES, "Permission denied")


def test_a_full_disk_is_a_kind_of_storage_error() -> None:
    assert issubclass(StorageFull, StorageError)
