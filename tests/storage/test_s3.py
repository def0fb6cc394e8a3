"""What only the real server can show: signatures, links, damage, absence."""

import dataclasses
import os
import resource
import time
from pathlib import Path

import httpx
import pytest

from storage.errors import ObjectDamaged, StorageError
from storage.s3 import Endpoint, ObjectStore

DATA = os.urandom(50_000)
KEY = "clips/clip_1/result/video.mp4"


@pytest.fixture
def link(real: ObjectStore) -> str:
    real.put_bytes(KEY, DATA, "video/mp4")
    return real.presign_get(KEY, 60, filename="Grüße.mp4", content_type="video/mp4")


def test_whoever_has_the_link_reads_the_object(link: str) -> None:
    answer = httpx.get(link)
    assert answer.content == DATA
    assert answer.headers["content-type"] == "video/mp4"
    assert (
        answer.headers["content-disposition"]
        == "inline; filename=\"Gr__e.mp4\"; filename*=UTF-8''Gr%C3%BC%C3%9Fe.mp4"
    )


def test_a_link_serves_ranges(link: str) -> None:
    answer = httpx.get(link, headers={"Range": "bytes=100-199"})
    assert answer.status_code == 206
    assert answer.content == DATA[100:200]
    assert answer.headers["content-range"] == f"bytes 100-199/{len(DATA)}"


def test_a_player_on_our_page_may_read_it(link: str) -> None:
    answer = httpx.get(link, headers={"Origin": "http://127.0.0.1:8000"})
    assert answer.headers["access-control-allow-origin"] in ("*", "http://127.0.0.1:8000")


def test_a_link_reads_its_own_object_only(link: str, real: ObjectStore) -> None:
    real.put_bytes("clips/clip_2/result/video.mp4", b"other", "video/mp4")
    assert httpx.get(link.replace("clip_1", "clip_2")).status_code == 403
    assert httpx.get(link.replace("inline", "attachment")).status_code == 403


def test_a_link_does_not_write_or_delete(link: str, real: ObjectStore) -> None:
    assert httpx.put(link, content=b"mine").status_code == 403
    assert httpx.delete(link).status_code == 403
    assert real.get_bytes(KEY) == DATA


def test_a_link_expires(real: ObjectStore) -> None:
    real.put_bytes(KEY, DATA, "video/mp4")
    assert httpx.get(real.presign_get(KEY, 60)).status_code == 200
    link = real.presign_get(KEY, 1)
    time.sleep(2.1)  # the server's clock counts whole seconds
    assert httpx.get(link).status_code == 403


def test_links_are_signed_for_the_public_address(s3: Endpoint) -> None:
    seen = ObjectStore(dataclasses.replace(s3, public_url="https://media.example.org"))
    assert seen.presign_get(KEY, 60).startswith(f"https://media.example.org/tests/{KEY}?")


def test_nobody_reads_without_a_key(real: ObjectStore, s3: Endpoint) -> None:
    real.put_bytes(KEY, DATA, "video/mp4")
    for path in ("", "/tests", f"/tests/{KEY}", "/tests?list-type=2"):
        assert httpx.get(s3.url + path).status_code == 403
    assert httpx.put(f"{s3.url}/tests/stranger", content=b"x").status_code == 403
    assert httpx.delete(f"{s3.url}/tests/{KEY}").status_code == 403
    assert httpx.put(f"{s3.url}/strangers-bucket").status_code == 403


@pytest.mark.parametrize("change", [{"secret_access_key": "wrong"}, {"access_key_id": "nobody"}])
def test_a_wrong_key_is_denied_and_not_worth_a_retry(
    real: ObjectStore, s3: Endpoint, change: dict[str, str]
) -> None:
    real.put_bytes(KEY, DATA, "video/mp4")
    stranger = ObjectStore(dataclasses.replace(s3, **change))
    for attempt in (
        lambda: stranger.get_bytes(KEY),
        lambda: stranger.head(KEY),
        lambda: stranger.put_bytes(KEY, b"mine", "video/mp4"),
        lambda: list(stranger.list("clips/")),
        lambda: stranger.delete([KEY]),
    ):
        with pytest.raises(StorageError) as caught:
            attempt()
        assert caught.value.code == "storage_denied"
        assert not caught.value.retryable
    assert real.get_bytes(KEY) == DATA


def test_the_bucket_is_made_once(s3: Endpoint) -> None:
    fresh = ObjectStore(dataclasses.replace(s3, bucket="made-by-a-test"))
    with pytest.raises(StorageError):
        fresh.check()
    fresh.ensure_bucket()
    fresh.ensure_bucket()
    fresh.check()


def test_a_server_that_is_away_is_worth_a_retry(s3: Endpoint) -> None:
    away = ObjectStore(dataclasses.replace(s3, url="http://127.0.0.1:1"))
    with pytest.raises(StorageError) as caught:
        away.get_bytes(KEY)
    assert caught.value.retryable
    assert caught.value.code == "storage_unavailable"
    assert caught.value.status == 503


def test_damage_is_noticed(real: ObjectStore, tmp_path: Path) -> None:
    # What our checksum says and what is stored differ, as after a bad disk.
    real._client.put_object(Bucket="tests", Key=KEY, Body=DATA, Metadata={"sha256": "0" * 64})
    with pytest.raises(ObjectDamaged):
        real.get_bytes(KEY)
    with pytest.raises(ObjectDamaged):
        real.get_to_file(KEY, tmp_path / "video.mp4")
    assert list(tmp_path.iterdir()) == []


def test_a_large_file_needs_little_memory(real: ObjectStore, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    with source.open("wb") as file:
        for _ in range(30):
            file.write(os.urandom(10_000_000))
    real.put_bytes("warm", DATA, "text/plain")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    real.put_file(KEY, source, "video/mp4")
    real.get_to_file(KEY, target)
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert target.stat().st_size == 300_000_000
    assert grown_mb < 120
