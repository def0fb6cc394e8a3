"""The list of models says what is there, and how busy it is."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
import redis.asyncio as aioredis
from rest_framework.test import APIClient

from project.accounts.models import User
from tests.support.valkey import valkey_server
from workers import presence
from workers.live.slots import Slots

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def valkey() -> Iterator[str]:
    with valkey_server() as url:
        yield url


@pytest.fixture
def mock(api: Callable[[User], APIClient], alice: User) -> Callable[[], dict[str, Any]]:
    """Ask for the list and return what it says of the model `mock`."""
    client = api(alice)

    def ask() -> dict[str, Any]:
        listed = client.get("/api/v1/models").json()
        return dict(next(model for model in listed if model["id"] == "mock"))

    return ask


@pytest.fixture
def queues(valkey: str, settings: Any) -> None:
    settings.REDIS_URL = settings.CELERY_BROKER_URL = valkey
    with redis.Redis.from_url(valkey) as client:
        client.flushall()


def _take(url: str, sessions: int) -> None:
    async def take() -> None:
        async with aioredis.Redis.from_url(url) as connection:
            for number in range(sessions):
                await Slots(connection).take("live.mock", f"ses_{number}")

    asyncio.run(take())


def test_free_slots_are_those_that_no_session_holds(
    queues: None, valkey: str, mock: Callable[[], dict[str, Any]]
) -> None:
    presence.announce("live1@x", {"live.mock": 4, "live.viseme": 4})
    presence.announce("live2@x", {"live.mock": 2})
    assert mock()["slots"] == {"total": 6, "free": 6}
    _take(valkey, 5)
    assert mock()["slots"] == {"total": 6, "free": 1}
    presence.leave("live1@x", {"live.mock": 4, "live.viseme": 4})
    assert mock()["slots"] == {"total": 2, "free": 0}


def test_a_model_is_available_when_somebody_serves_its_clips(
    queues: None, mock: Callable[[], dict[str, Any]]
) -> None:
    presence.announce("live1@x", {"live.mock": 4})
    assert mock()["available"] is False
    presence.announce("render1@x", {"batch.mock": 1})
    told = mock()
    assert (told["available"], told["reason"], told["queue"], told["queue_depth"]) == (
        *(True, None),
        *("batch.mock", 0),
    )


def test_without_the_broker_the_list_says_so(mock: Callable[[], dict[str, Any]]) -> None:
    told = mock()
    assert (told["available"], told["queue_depth"], told["slots"]) == (False, None, {"total": 0, "free": 0})
    assert "broker" in told["reason"]


def test_what_workers_measured_is_told_and_single_workers_to_staff_alone(
    queues: None, mock: Callable[[], dict[str, Any]], api: Callable[[User], APIClient], settings: Any
) -> None:
    def about(fps: float | None, problem: str = "") -> dict[str, Any]:
        figures = {"fps": fps, "first_frame_ms": 90.04 if fps else None, "problem": problem}
        return {"device": "cuda:0", "memory_mb": 8000, "free_mb": 5000, "models": {"mock": figures}}

    presence.announce("gpu0@x", {"batch.mock": 2, "live.mock": 2}, about(40.0))
    presence.announce("gpu1@x", {"batch.mock": 2, "live.mock": 2}, about(60.06))
    presence.announce("gpu2@x", {"batch.mock": 2}, about(None, "The file /srv/x.pth is missing."))
    told = mock()
    assert told["measured"] == {"render_fps": 50.0, "first_frame_ms": 90.0}
    assert (told["available"], told["workers"]) == (True, [])
    assert "/srv" not in str(told)
    boss = User.objects.create_user("boss@example.com", role="admin")
    listed = {model["id"]: model for model in api(boss).get("/api/v1/models").json()}
    workers = sorted(listed["mock"]["workers"], key=lambda worker: str(worker["name"]))
    assert [worker["fps"] for worker in workers] == [40.0, 60.1, None]
    assert workers[2]["problem"] == "The file /srv/x.pth is missing."
    assert workers[0] == {
        "name": "gpu0@x",
        "device": "cuda:0",
        "memory_mb": 8000,
        "free_mb": 5000,
        "fps": 40.0,
        "first_frame_ms": 90.0,
        "problem": "",
    }
    assert listed["viseme"]["workers"] == []
    assert listed["viseme"]["measured"] == {"render_fps": None, "first_frame_ms": None}


def test_it_says_for_what_a_model_can_be_used(queues: None, mock: Callable[[], dict[str, Any]]) -> None:
    presence.announce("live1@x", {"live.mock": 4})
    told = mock()
    assert told["reasons"]["sessions"] is None
    assert told["reasons"]["clips"] == told["reason"]
    assert "No worker draws clips" in told["reason"]


def test_every_model_is_listed_with_what_is_missing(
    queues: None, api: Callable[[User], APIClient], alice: User
) -> None:
    listed = {model["id"]: model for model in api(alice).get("/api/v1/models").json()}
    assert {"mock", "viseme", "wav2lip", "musetalk", "quicktalk", "flashtalk", "flashhead"} <= set(listed)
    assert "FLASHTALK" in listed["flashtalk"]["reason"]
    assert listed["wav2lip"]["name"] == "Wav2Lip"
    assert listed["wav2lip"]["licence"]
