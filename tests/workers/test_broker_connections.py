"""Asking the broker again and again takes no new connection each time."""

from typing import Any

import redis

from tests.support.valkey import valkey_server
from workers import dispatch, presence


def test_questions_share_a_connection(settings: Any):
    with valkey_server() as url:
        settings.CELERY_BROKER_URL = settings.REDIS_URL = url
        with redis.Redis.from_url(url) as asking:

            def connections() -> int:
                return int(asking.info("stats")["total_connections_received"])

            before = connections()
            for _ in range(5):
                dispatch.depth("media")
                dispatch.waiting("media")
                presence.announce("one@here", {"media": 1})
                presence.present()
            assert connections() - before <= 2, "one for the queues, one for the workers"


def test_a_broker_that_was_replaced_is_asked_anew(settings: Any):
    for _ in range(2):
        with valkey_server() as url:
            settings.CELERY_BROKER_URL = settings.REDIS_URL = url
            assert dispatch.depth("media") == 0
            assert presence.present() == []


def test_a_worker_says_in_few_commands_that_it_is_there(settings: Any):
    with valkey_server() as url:
        settings.REDIS_URL = url
        with redis.Redis.from_url(url) as asking:
            presence.announce("one@here", {"media": 1, "live.mock": 4})
            asking.config_resetstat()
            presence.announce("one@here", {"media": 1, "live.mock": 4})
            told: dict[str, Any] = asking.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): of["calls"] for name, of in told.items()}
    assert {name: count for name, count in calls.items() if not name.startswith(("config", "info"))} == {
        "time": 1,
        "set": 1,
        "hset": 1,
        "expire": 1,
    }
