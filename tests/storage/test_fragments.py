from datetime import UTC, datetime, timedelta

import pytest

from storage import keys
from storage.errors import ObjectDamaged, ObjectMissing
from storage.fragments import find_fragment, get_fragment, put_fragment
from storage.orphans import old_objects, old_owners
from storage.s3 import ObjectStore
from tests.support.objects import MemoryStore


def test_a_fragment_is_found_after_it_was_put(store: ObjectStore) -> None:
    assert find_fragment("clip_1", 7, objects=store) is None
    put = put_fragment("clip_1", 7, b"moov", objects=store)
    assert find_fragment("clip_1", 7, objects=store) == put
    assert get_fragment("clip_1", 7, objects=store) == b"moov"
    assert put.key == keys.fragment("clip_1", 7)


def test_a_fragment_of_nobody_is_missing(store: ObjectStore) -> None:
    with pytest.raises(ObjectMissing):
        get_fragment("clip_1", 7, objects=store)


def test_an_empty_object_is_not_a_fragment(store: ObjectStore) -> None:
    store.put_bytes(keys.fragment("clip_1", 7), b"", "video/mp4")
    assert find_fragment("clip_1", 7, objects=store) is None


def test_an_object_without_our_checksum_is_rendered_again(real: ObjectStore) -> None:
    real._client.put_object(Bucket=real.bucket, Key=keys.fragment("clip_1", 7), Body=b"moov")
    assert find_fragment("clip_1", 7, objects=real) is None


def test_a_damaged_fragment_is_not_played() -> None:
    store = MemoryStore()
    put = put_fragment("clip_1", 7, b"moov", objects=store)
    store.damage(put.key)
    with pytest.raises(ObjectDamaged):
        get_fragment("clip_1", 7, objects=store)


def test_old_objects_are_found_by_their_age(store: ObjectStore) -> None:
    put_fragment("clip_1", 0, b"x", objects=store)
    store.put_bytes("probe/writable", b"x", "text/plain")
    later = datetime.now(UTC) + timedelta(minutes=1)
    assert [found.key for found in old_objects(later, objects=store)] == [keys.fragment("clip_1", 0)]
    assert list(old_objects(later - timedelta(hours=1), objects=store)) == []


def test_orphans_are_grouped_by_the_row_they_lost(store: ObjectStore) -> None:
    for name in (keys.fragment("clip_1", 0), keys.fragment("clip_1", 1), keys.upload_audio("upl_1")):
        store.put_bytes(name, b"x", "video/mp4")
    later = datetime.now(UTC) + timedelta(minutes=1)
    assert list(old_owners(later, objects=store)) == [
        ("clips/", "clip_1", [keys.fragment("clip_1", 0), keys.fragment("clip_1", 1)]),
        ("uploads/", "upl_1", [keys.upload_audio("upl_1")]),
    ]


def test_a_row_somebody_is_at_work_on_is_left_alone() -> None:
    store = MemoryStore()
    put_fragment("clip_1", 0, b"x", objects=store)
    put_fragment("clip_1", 1, b"x", objects=store)
    now = datetime.now(UTC)
    store.modified_at[keys.fragment("clip_1", 0)] = now - timedelta(days=3)
    assert list(old_owners(now - timedelta(days=1), objects=store)) == []
    assert [found.key for found in old_objects(now - timedelta(days=1), objects=store)] == [
        keys.fragment("clip_1", 0)
    ]
