"""The encoded pieces of a clip: put once, looked up before rendering, checked when read."""

from dataclasses import dataclass

from storage import keys
from storage.s3 import ObjectStore, store

CONTENT_TYPE = "video/mp4"
MAX_BYTES = 64 * 1024 * 1024  # a fragment is a few seconds; more than this is not one


@dataclass(frozen=True, slots=True)
class FragmentInfo:
    key: str
    size: int
    sha256: str


def put_fragment(
    clip_id: str, index: int, data: bytes, *, objects: ObjectStore | None = None
) -> FragmentInfo:
    """Store one fragment under its only key; storing it twice is harmless."""
    key = keys.fragment(clip_id, index)
    stored = (objects or store()).put_bytes(key, data, CONTENT_TYPE)
    if stored.sha256 is None:
        raise AssertionError("put_bytes always says the checksum")
    return FragmentInfo(key, stored.size, stored.sha256)


def get_fragment(clip_id: str, index: int, *, objects: ObjectStore | None = None) -> bytes:
    """Read one fragment; raises ObjectMissing, or ObjectDamaged when it is not what was stored."""
    return (objects or store()).get_bytes(keys.fragment(clip_id, index), MAX_BYTES)


def find_fragment(clip_id: str, index: int, *, objects: ObjectStore | None = None) -> FragmentInfo | None:
    """Say what is stored, or None where the fragment has to be rendered.

    An object without our checksum, or an empty one, was not finished by put_fragment.
    """
    key = keys.fragment(clip_id, index)
    found = (objects or store()).head(key)
    if found is None or not found.size or found.sha256 is None:
        return None
    return FragmentInfo(key, found.size, found.sha256)
