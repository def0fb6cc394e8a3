"""Figures of queues and clips, from a real broker and real rows."""

import json
import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.utils import timezone

from generation import figures
from generation.clips.models import Clip, ClipStatus
from project.metrics import instruments
from tests.support.valkey import valkey_server
from workers import dispatch, presence

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def url() -> Iterable[str]:
    with valkey_server() as url:
        yield url


@pytest.fixture
def broker(url: str, settings: Any) -> Iterable["redis.Redis"]:
    settings.REDIS_URL = settings.CELERY_BROKER_URL = url
    client = redis.Redis.from_url(url)
    client.flushall()
    yield client
    client.close()


def told(families: Iterable[Any]) -> dict[str, float]:
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in families
        for sample in family.samples
    }


def push(broker: "redis.Redis", queue: str, age: float | None) -> None:
    headers = {} if age is None else {"published_at": time.time() - age}
    broker.lpush(f"celery:{queue}", json.dumps({"headers": headers, "body": ""}))


def test_queues_tell_how_many_wait_and_for_how_long(broker: "redis.Redis") -> None:
    push(broker, "speech", 30.0)
    push(broker, "speech", 10.0)
    push(broker, "media", None)  # of a program that does not say it
    found = told(figures.queues())
    assert found["parley_queue_depth speech"] == 2
    assert 30 <= found["parley_queue_oldest_seconds speech"] < 90
    assert (found["parley_queue_depth media"], found["parley_queue_oldest_seconds media"]) == (1, 0)
    assert found["parley_queue_depth webhooks"] == found["parley_workers webhooks"] == 0


def test_a_message_that_is_none_hides_no_queue(broker: "redis.Redis") -> None:
    for nonsense in (b"{", b"[]", b"{}", b'{"headers": {"published_at": "now"}}'):
        broker.delete("celery:speech")
        broker.lpush("celery:speech", nonsense)
        found = told(figures.queues())
        assert (found["parley_queue_depth speech"], found["parley_queue_oldest_seconds speech"]) == (1, 0)


def test_what_waits_for_single_workers_has_one_name(broker: "redis.Redis") -> None:
    for name in ("one@here", "two@here"):
        presence.announce(name, {"live.mock": 2})
        push(broker, dispatch.worker_queue(name), 5.0)
    found = told(figures.queues())
    assert found["parley_queue_depth worker"] == 2
    assert found["parley_workers worker"] == 2, "or an alert finds nobody who takes from them"
    assert found["parley_workers live.mock"] == 2
    assert found["parley_live_slots mock total"] == 4
    assert found["parley_live_slots mock taken"] == 0
    assert not any("@here" in name for name in found)


def test_a_message_says_when_it_was_sent(broker: "redis.Redis") -> None:
    before = time.time()
    key, message = dispatch.live_message("live.mock", "{}")
    broker.lpush(key, message)
    assert before <= json.loads(message)["headers"]["published_at"] <= time.time()
    assert told(figures.queues())["parley_queue_depth live.mock"] == 1


def sums(stage: str, outcome: str) -> float:
    return float(instruments.clip_stage.labels(stage, outcome)._sum.get())


def test_a_clip_that_ended_tells_how_long_its_stages_took() -> None:
    begun = timezone.now() - timedelta(seconds=20)
    clip = Clip(
        status=ClipStatus.SUCCEEDED,
        created_at=begun,
        started_at=begun + timedelta(seconds=2),
        finished_at=begun + timedelta(seconds=12),
        timings={"speech_ms": 4000, "assembly_ms": 1000},
    )
    expected = {"queued": 2.0, "speech": 4.0, "rendering": 9.0, "assembling": 1.0}
    before = {stage: sums(stage, "succeeded") for stage in expected}
    figures.clip_ended(clip)
    grown = {stage: round(sums(stage, "succeeded") - before[stage], 6) for stage in expected}
    assert grown == expected


def test_a_clip_that_was_never_begun_has_no_stages() -> None:
    now = timezone.now()
    before = sums("queued", "canceled")
    figures.clip_ended(Clip(status=ClipStatus.CANCELED, created_at=now, finished_at=now))
    assert sums("queued", "canceled") == before
