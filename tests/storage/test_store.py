"""What a store does; every case runs against the real server and against the fake."""

import hashlib
import random
from pathlib import Path

import pytest

from storage.errors import ObjectMissing, ObjectTooLarge
from storage.s3 import ObjectStore

DATA = random.Random(7).randbytes(70_000)
KEY = "clips/clip_1/fragments/000001.mp4"


def test_what_was_put_comes_back(store: ObjectStore) -> None:
    info = store.put_bytes(KEY, DATA, "video/mp4")
    assert store.get_bytes(KEY) == DATA
    assert info.size == len(DATA)
    assert info.sha256 == hashlib.sha256(DATA).hexdigest()


def test_the_head_says_what_the_put_said(store: ObjectStore) -> None:
    assert store.head(KEY) is None
    info = store.put_bytes(KEY, DATA, "video/mp4")
    assert store.head(KEY) == info


def test_a_put_replaces_what_was_there(store: ObjectStore) -> None:
    store.put_bytes(KEY, b"old", "video/mp4")
    store.put_bytes(KEY, b"new", "video/mp4")
    assert store.get_bytes(KEY) == b"new"
    assert [found.key for found in store.list("clips/")] == [KEY]


def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    store.put_bytes(KEY, b"", "video/mp4")
    assert store.get_bytes(KEY) == b""


def test_a_missing_object_is_not_worth_a_retry(store: ObjectStore) -> None:
    with pytest.raises(ObjectMissing) as caught:
        store.get_bytes(KEY)
    assert not caught.value.retryable
    assert caught.value.code == "object_missing"


def test_an_object_over_the_limit_is_refused(store: ObjectStore) -> None:
    store.put_bytes(KEY, DATA, "video/mp4")
    assert store.get_bytes(KEY, len(DATA)) == DATA
    with pytest.raises(ObjectTooLarge):
        store.get_bytes(KEY, len(DATA) - 1)


def test_a_file_goes_up_and_comes_down(store: ObjectStore, tmp_path: Path) -> None:
    source, target = tmp_path / "source.mp4", tmp_path / "target.mp4"
    source.write_bytes(random.Random(7).randbytes(20_000_000))  # three parts
    put = store.put_file(KEY, source, "video/mp4")
    got = store.get_to_file(KEY, target)
    assert target.read_bytes() == source.read_bytes()
    assert put.sha256 == got.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert [path.name for path in tmp_path.iterdir()] != []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source.mp4", "target.mp4"]


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [
        (0, None, DATA),
        (0, 10, DATA[:10]),
        (100, 50, DATA[100:150]),
        (len(DATA) - 5, None, DATA[-5:]),
        (10, 10**9, DATA[10:]),
    ],
)
def test_a_range_is_read(store: ObjectStore, start: int, length: int | None, expected: bytes) -> None:
    store.put_bytes(KEY, DATA, "video/mp4")
    with store.open_range(KEY, start, length) as body:
        assert body.read() == expected


def test_keys_are_listed_in_playing_order(store: ObjectStore) -> None:
    names = [f"clips/clip_1/fragments/{index:06d}.mp4" for index in (11, 2, 100, 1)]
    for name in names:
        store.put_bytes(name, b"x", "video/mp4")
    store.put_bytes("clips/clip_10/fragments/000000.mp4", b"x", "video/mp4")
    assert [found.key for found in store.list("clips/clip_1/")] == sorted(names)


def test_deleting_takes_what_is_there_and_minds_nothing_else(store: ObjectStore) -> None:
    store.put_bytes(KEY, DATA, "video/mp4")
    assert store.delete([KEY, "clips/clip_1/never-was"]) == 2
    assert store.head(KEY) is None
    assert store.delete([]) == 0


def test_a_prefix_is_deleted_without_its_neighbours(store: ObjectStore) -> None:
    for name in ("clips/clip_1/a", "clips/clip_1/b/c", "clips/clip_12/a"):
        store.put_bytes(name, b"x", "video/mp4")
    assert store.delete_prefix("clips/clip_1/") == 2
    assert [found.key for found in store.list("clips/")] == ["clips/clip_12/a"]


@pytest.mark.parametrize("prefix", ["", "/", "clips", "clips/clip_1"])
def test_only_folders_are_deleted_whole(store: ObjectStore, prefix: str) -> None:
    with pytest.raises(ValueError, match="Not a folder"):
        store.delete_prefix(prefix)


@pytest.mark.parametrize("seconds", [0, -1, 8 * 24 * 3600])
def test_links_live_for_a_bounded_time(store: ObjectStore, seconds: int) -> None:
    with pytest.raises(ValueError, match="cannot live"):
        store.presign_get(KEY, seconds)
