"""An account at a faithful server, a broker in memory, and a Redis that is really there."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from generation.providers import cloning, listing, publishing
from tests.support.clips import TASKS
from tests.support.elevenlabs import ElevenLabsService, elevenlabs
from tests.support.valkey import valkey_server
from workers import dispatch
from workers.adapters import breaker, health

SECRET = "xi-4711-never-to-be-seen"


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test begins as a fresh process, whose figures nobody publishes beside it."""
    monkeypatch.setattr(publishing, "start", lambda: None)
    monkeypatch.setitem(TASKS, dispatch.CLONE_VOICE, cloning.work)
    listing.forget()
    health.reset()
    breaker.reset()
    yield
    listing.forget()
    health.reset()
    breaker.reset()
    publishing.client.cache_clear()


@pytest.fixture
def eleven(settings: Any) -> Iterator[ElevenLabsService]:
    with elevenlabs(key=SECRET, most_per_page=100) as service:
        settings.PROVIDERS = settings.PROVIDERS | {
            "ELEVENLABS": {"base_url": service.url, "api_key": SECRET, "model": ""}
        }
        yield service


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    with valkey_server() as url:
        yield url


@pytest.fixture
def valkey(valkey_url: str, settings: Any) -> Iterator["redis.Redis"]:
    settings.REDIS_URL = valkey_url
    publishing.client.cache_clear()
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
        yield client


@pytest.fixture
def logs(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Everything that is logged, down to the smallest."""
    caplog.set_level(logging.DEBUG)
    return caplog
