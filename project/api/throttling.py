"""Requests a minute, counted in Redis by the generic cell rate algorithm (GCRA).

One number per key says when the bucket would be full again; a request moves it on by one interval
and is refused when that would reach further ahead than the burst allows. The script runs inside
Redis and reads its clock, so web processes need not agree on the time.
"""

import functools
import logging
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import redis
from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from project.accounts.allowances import allowance_of

if TYPE_CHECKING:  # REST framework imports this module while its views are being made
    from rest_framework.views import APIView

logger = logging.getLogger(__name__)

WINDOW_SECONDS = 60
RETRY_REDIS_SECONDS = 1.0  # after a failure, Redis is left alone for so long

# KEYS[1] the bucket; ARGV[1] how many, ARGV[2] within how many microseconds.
# Answers {allowed, remaining, microseconds until allowed, microseconds until full}.
_GCRA = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local window = tonumber(ARGV[2])
local interval = window / tonumber(ARGV[1])
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local moved = full_at + interval
local early = moved - window - now
if early > 0 then
  return {0, 0, math.ceil(early), math.ceil(full_at - now)}
end
redis.call('SET', KEYS[1], string.format('%.0f', moved), 'PX', math.ceil((moved - now) / 1000) + 1)
return {1, math.floor((window - (moved - now)) / interval + 0.000001), 0, math.ceil(moved - now)}
"""


@dataclass(frozen=True, slots=True)
class Decision:
    """`retry_after` and `reset` are in whole seconds."""

    allowed: bool
    limit: int
    remaining: int
    retry_after: int
    reset: int


class Limiter:
    """Counts calls per key. Redis away means "allowed": a lost counter must not stop the service."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(url, socket_timeout=0.25, socket_connect_timeout=0.25)
        self._script = self._redis.register_script(_GCRA)
        self._away_until = 0.0

    def take(self, key: str, *, limit: int, window_seconds: int = WINDOW_SECONDS) -> Decision | None:
        """Count one call; None when nobody could count it."""
        if limit <= 0:
            return Decision(allowed=False, limit=0, remaining=0, retry_after=window_seconds, reset=0)
        if time.monotonic() < self._away_until:
            return None
        try:
            answer = self._script(keys=[f"throttle:{key}"], args=[limit, window_seconds * 1_000_000])
        except redis.RedisError as exc:
            self._away_until = time.monotonic() + RETRY_REDIS_SECONDS
            logger.warning("Requests are not being counted: %s", exc)
            return None
        allowed, remaining, wait, reset = (int(number) for number in answer)
        return Decision(
            allowed=bool(allowed),
            limit=limit,
            remaining=remaining,
            retry_after=math.ceil(wait / 1e6),
            reset=math.ceil(reset / 1e6),
        )

    def forget(self, key: str) -> None:
        """Let a key begin anew."""
        try:
            self._redis.delete(f"throttle:{key}")
        except redis.RedisError as exc:
            logger.warning("A counter was not reset: %s", exc)


@functools.cache
def limiter() -> Limiter:
    return Limiter(settings.REDIS_URL)


class AccountThrottle(BaseThrottle):
    """Requests a minute of the caller's account, over all its keys and login sessions."""

    def __init__(self) -> None:
        self._decision: Decision | None = None

    def allow_request(self, request: Request, view: "APIView") -> bool:  # noqa: ARG002 - DRF's signature
        if not request.user.is_authenticated:
            return True
        limit = allowance_of(request.user).requests_a_minute
        self._decision = decision = limiter().take(f"account:{request.user.pk}", limit=limit)
        if decision is None:
            return True
        request._request.rate_limit_headers = headers(decision)  # type: ignore[attr-defined]  # noqa: SLF001
        return decision.allowed

    def wait(self) -> float | None:
        return self._decision.retry_after if self._decision else None


def headers(decision: Decision) -> dict[str, str]:
    """The RateLimit fields of draft-ietf-httpapi-ratelimit-headers."""
    return {
        "RateLimit-Policy": f'"requests";q={decision.limit};w={WINDOW_SECONDS}',
        "RateLimit": f'"requests";r={decision.remaining};t={decision.reset}',
    }
