"""What sessions leave while they go on: numbered parts, each written once and never changed."""

from collections.abc import Iterator
from pathlib import Path

from storage import keys
from storage.s3 import ObjectStore, store

CONTENT_TYPE = "application/octet-stream"


def put_part(
    session_id: str, fence: int, number: int, data: bytes, *, objects: ObjectStore | None = None
) -> None:
    """Store a part; storing it twice is harmless. Raises StorageError."""
    (objects or store()).put_bytes(keys.recording_part(session_id, fence, number), data, CONTENT_TYPE)


def part_keys(session_id: str, *, objects: ObjectStore | None = None) -> Iterator[str]:
    """The keys of all parts, of one host after the other, in the order of their writing."""
    for found in (objects or store()).list(keys.recording_parts(session_id)):
        yield found.key


def read_part(key: str, path: Path, *, objects: ObjectStore | None = None) -> None:
    """Copy a part into a file. Raises ObjectMissing, or ObjectDamaged when it is not what was stored."""
    (objects or store()).get_to_file(key, path)


def delete_parts(session_id: str, *, objects: ObjectStore | None = None) -> int:
    """Delete all parts of a session; return how many there were."""
    return (objects or store()).delete_prefix(keys.recording_parts(session_id))
