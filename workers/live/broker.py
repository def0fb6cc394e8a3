"""A worker's connections to the broker, for what Celery does not carry."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

TIMEOUT_SECONDS = 2
PING_SECONDS = 10


def broker() -> "redis.Redis":
    """Return this process's connections; a dead one is replaced at its first use."""
    return _broker(settings.REDIS_URL)


def listener(name: str) -> Iterator[bytes]:
    """Yield what is published in channel `name`, after what the sorted set of that name holds.

    Raises `redis.RedisError` once the broker is away.
    """
    subscribe: Any = broker().pubsub  # untyped there
    with subscribe(ignore_subscribe_messages=True) as heard:
        heard.subscribe(name)
        kept: Any = broker().zrevrange(name, 0, -1)
        yield from kept
        while True:
            message = heard.get_message(timeout=PING_SECONDS)
            if message is not None:
                yield message["data"]


@cache
def _broker(url: str) -> "redis.Redis":
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=TIMEOUT_SECONDS,
        socket_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 1),
    )
