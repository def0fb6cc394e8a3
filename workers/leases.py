"""Exclusive rights to things that only one may use at a time, such as a server with one shared session.

A right is a key in the broker that its holder prolongs; it ends by itself when the holder dies. Every
holder gets a fencing token that is larger than all before it, also after the broker lost its memory.
Live sessions that wait are seen by who holds it (`wanted`) and come before clips.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import redis

from workers.adapters.avatar.runtime import Lease
from workers.adapters.errors import AdapterError
from workers.live.broker import broker

KEY = "leases:"
TTL_SECONDS = 15.0
ASK_SECONDS = 0.1
WAITING_MS = 5000  # who did not ask again for so long waits no longer

# {token, 0} for the holder; {0, 1} while another holds it; {0, 2} while somebody more urgent waits.
_TAKE = """
local held, fence, line = unpack(KEYS)
local holder, ttl, live, patience = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1', tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', line, '-inf', now)
if redis.call('EXISTS', held) == 1 or (not live and redis.call('ZCARD', line) > 0) then
  if live then
    redis.call('ZADD', line, now + patience, holder)
    redis.call('PEXPIRE', line, patience * 2)
  end
  return {'0', redis.call('EXISTS', held) == 1 and 1 or 2}
end
redis.call('ZREM', line, holder)
local token = math.max(tonumber(redis.call('GET', fence) or '0') + 1, now)
redis.call('SET', fence, string.format('%.0f', token))
redis.call('SET', held, holder, 'NX', 'PX', ttl)
return {string.format('%.0f', token), 0}
"""

# {1 if it is still held, how many live sessions wait for it}
_RENEW = """
local held, line = unpack(KEYS)
if redis.call('GET', held) ~= ARGV[1] then return {0, 0} end
redis.call('PEXPIRE', held, ARGV[2])
local time = redis.call('TIME')
redis.call('ZREMRANGEBYSCORE', line, '-inf', time[1] * 1000 + math.floor(time[2] / 1000))
return {1, redis.call('ZCARD', line)}
"""

_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"

_log = logging.getLogger(__name__)
Connect = Callable[[], "redis.Redis"]


class Held(Lease):
    """A right of this process, prolonged by a thread until it is released or lost."""

    def __init__(
        self, connect: Connect, resource: str, holder: str, token: int, *, ttl_seconds: float, since: float
    ) -> None:
        """`since` is a monotonic moment before the broker granted it."""
        self._connect, self._resource, self._holder = connect, resource, holder
        self._token, self._ttl_seconds = token, ttl_seconds
        self._until = since + ttl_seconds
        self._gone = self._waited_for = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    @property
    def token(self) -> int:
        return self._token

    @property
    def lost(self) -> bool:
        return self._gone or time.monotonic() >= self._until

    @property
    def wanted(self) -> bool:
        return self._waited_for

    def check(self) -> None:
        if self.lost:
            raise AdapterError(
                "The right to use the model's server was lost.",
                provider=_kind(self._resource),
                retryable=True,
                code="lease_lost",
            )

    def start(self) -> None:
        self._thread.start()

    def release(self) -> None:
        """Give it back; never raises."""
        self._over.set()
        self._thread.join(2 * self._ttl_seconds)
        with suppress(redis.RedisError):  # it ends by itself
            self._run(_RELEASE, ["held"], [self._holder])

    def renew(self) -> None:
        """Prolong it once. Raises `redis.RedisError`."""
        began = time.monotonic()
        mine, waiting = self._run(_RENEW, ["held", "line"], [self._holder, round(self._ttl_seconds * 1000)])
        if not int(mine):
            self._gone = True
            return
        self._until, self._waited_for = began + self._ttl_seconds, int(waiting) > 0

    def _keep(self) -> None:
        pause = min(1.0, self._ttl_seconds / 3)  # often enough to see soon who waits
        while not self._over.wait(pause) and not self._gone:
            try:
                self.renew()
            except redis.RedisError as error:
                _log.info("A lease could not be prolonged: %s", error)

    def _run(self, script: str, keys: list[str], arguments: list[Any]) -> Any:
        return _run(self._connect(), self._resource, script, keys, arguments)


class Leases:
    """Takes and gives back leases at one broker."""

    def __init__(self, connect: Connect = broker, *, ttl_seconds: float = TTL_SECONDS) -> None:
        self._connect, self._ttl_seconds = connect, ttl_seconds

    @contextmanager
    def hold(self, resource: str, *, live: bool, wait_seconds: float = 0.0) -> Iterator[Held]:
        """Hold a right until the block ends.

        Raises `AdapterError` (`model_busy`, retryable) while another holds it, or, for what is not live,
        while a live session waits; also while the broker, which alone could tell, is away.
        """
        held = self._taken(resource, live=live, wait_seconds=wait_seconds)
        held.start()
        try:
            yield held
        finally:
            held.release()

    def free(self, resource: str) -> bool:
        """Whether nobody holds it now. Raises `redis.RedisError`."""
        return not self._connect().exists(_key(resource, "held"))

    def _taken(self, resource: str, *, live: bool, wait_seconds: float) -> Held:
        holder = secrets.token_hex(12)
        until = time.monotonic() + wait_seconds
        while True:
            if held := self._asked(resource, holder, live=live):
                return held
            left = until - time.monotonic()
            if left <= 0:
                # It stays in line for a moment: who asks again soon finds its place kept.
                raise _busy(resource)
            time.sleep(min(ASK_SECONDS, left))

    def _asked(self, resource: str, holder: str, *, live: bool) -> Held | None:
        ttl_ms = round(self._ttl_seconds * 1000)
        began = time.monotonic()
        try:
            token, refused = _run(
                self._connect(),
                resource,
                _TAKE,
                ["held", "fence", "line"],
                [holder, ttl_ms, int(live), WAITING_MS],
            )
        except redis.RedisError:
            raise _busy(resource) from None
        if int(refused):
            return None
        return Held(self._connect, resource, holder, int(token), ttl_seconds=self._ttl_seconds, since=began)


def lease(resource: str, *, live: bool, wait_seconds: float = 0.0) -> Any:
    """Hold a right at this service's broker: `Leases().hold`."""
    return Leases().hold(resource, live=live, wait_seconds=wait_seconds)


def _busy(resource: str) -> AdapterError:
    return AdapterError(
        "The model's server is in use.", provider=_kind(resource), retryable=True, code="model_busy"
    )


def _kind(resource: str) -> str:
    """What is held, without its address: errors are shown."""
    return resource.partition(":")[0]


def _key(resource: str, part: str) -> str:
    return f"{KEY}{{{resource}}}:{part}"


def _run(connection: Any, resource: str, script: str, keys: list[str], arguments: list[Any]) -> Any:
    return connection.eval(script, len(keys), *[_key(resource, key) for key in keys], *arguments)
