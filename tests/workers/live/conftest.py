"""A real broker, and workers that are played by the tests."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import redis

from tests.support.live_worker import QUEUE, PlayedWorker
from tests.support.valkey import valkey_server
from workers import presence
from workers.live.client import RenderClient


@pytest.fixture(scope="module")
def valkey() -> Iterator[str]:
    with valkey_server() as url:
        yield url


@pytest.fixture
def broker(valkey: str, settings: Any) -> Iterator["redis.Redis"]:
    """The broker, empty, with one live worker of four slots known to it."""
    settings.REDIS_URL = settings.CELERY_BROKER_URL = valkey
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        presence.announce("live1@x", {QUEUE: 4})
        yield client


@pytest.fixture
async def client(broker: "redis.Redis") -> AsyncIterator[RenderClient]:
    made = RenderClient("process-1")
    await made.start()
    yield made
    await made.close()


@pytest.fixture
async def worker(broker: "redis.Redis", valkey: str) -> AsyncIterator[PlayedWorker]:
    made = PlayedWorker(valkey)
    yield made
    await made.broker.aclose()
