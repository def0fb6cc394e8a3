"""A worker's connection to the broker, for what Celery does not carry."""

from functools import cache

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

TIMEOUT_SECONDS = 2


def broker() -> "redis.Redis":
    """Return this process's connections; a dead one is replaced at its first use."""
    return _broker(settings.REDIS_URL)


@cache
def _broker(url: str) -> "redis.Redis":
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=TIMEOUT_SECONDS,
        socket_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 1),
    )
