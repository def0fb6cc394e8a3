"""The right to one live rendering stream, held for a turn.

Every live worker says how many sessions of 512x640 it carries (`workers.presence`); the sum is how many
may speak at once. A session takes a slot of the worker with the most room before its first fragment
(two or more where its pictures are larger), keeps it while it asks for more, and loses it a few seconds
after its last request, or when it is interrupted. Who
comes while none is free waits in line. All of it is one script in the broker, so that no two processes
can give away the same slot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import redis.asyncio as aioredis

from workers.live.broker import broker
from workers.presence import LIVE

HELD = "live:slots:"
LEASE_MS = 4000  # longer than a conversation's look-ahead lets it pause between two requests
PIXELS = 512 * 640  # of the pictures that slots are counted in
WAITING_MS = 2000  # who did not ask again for so long has left the line

# Members are scored by the moment they lapse; `owners` says on which worker each of them counts, and for
# how many slots; `line` holds who waits, by arrival. Returns {worker, 0}, or {'', position from 1}.
_TAKE = """
local held, owners, line, asked, arrivals, workers = unpack(KEYS)
local member, lease, patience, weight = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', held, '-inf', now)) do
  redis.call('ZREM', held, gone)
  redis.call('HDEL', owners, gone)
end
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', asked, '-inf', now)) do
  redis.call('ZREM', asked, gone)
  redis.call('ZREM', line, gone)
end
local mine = redis.call('HGET', owners, member)
if mine then
  redis.call('ZADD', held, now + lease, member)
  return {string.match(mine, '|(.*)'), 0}
end
local load, used = {}, 0
for _, owner in ipairs(redis.call('HVALS', owners)) do
  local slots, name = string.match(owner, '(%d+)|(.*)')
  load[name] = (load[name] or 0) + slots
  used = used + slots
end
local said, total, best, best_room = redis.call('HGETALL', workers), 0, nil, nil
for i = 1, #said, 2 do
  local slots, known_until = string.match(said[i + 1], '(%d+):(%d+)')
  if tonumber(known_until) > now then
    local room = tonumber(slots) - (load[said[i]] or 0)
    total = total + tonumber(slots)
    if not best or room > best_room then best, best_room = said[i], room end
  end
end
if not redis.call('ZSCORE', line, member) then
  redis.call('ZADD', line, redis.call('INCR', arrivals), member)
end
local ahead = redis.call('ZRANK', line, member)
-- Who is first waits for as many as it needs; more than there are is granted when it would be alone.
if best and ahead == 0 and (used + weight <= total or used == 0) then
  redis.call('ZREM', line, member)
  redis.call('ZREM', asked, member)
  redis.call('ZADD', held, now + lease, member)
  redis.call('HSET', owners, member, weight .. '|' .. best)
  return {best, 0}
end
redis.call('ZADD', asked, now + patience, member)
return {'', ahead + 1}
"""

_RELEASE = """
for i = 1, 4 do
  redis.call(i == 2 and 'HDEL' or 'ZREM', KEYS[i], ARGV[1])
end
"""


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot of `worker`, or a `position` from 1 in the line for one."""

    queue: str
    member: str
    worker: str
    position: int = 0

    @property
    def granted(self) -> bool:
        return not self.position


class Slots:
    """Takes and gives back slots. Every call raises `redis.RedisError` while the broker is away."""

    def __init__(self, connection: aioredis.Redis) -> None:
        self._take = connection.register_script(_TAKE)
        self._release = connection.register_script(_RELEASE)

    async def take(self, queue: str, member: str, *, lease_ms: int = LEASE_MS, weight: int = 1) -> Slot:
        """Take a slot (or `weight` of them), keep what is held, or stand in line: then ask again soon."""
        worker, position = await self._take(
            keys=[*_keys(queue), f"{LIVE}{queue}"], args=[member, lease_ms, WAITING_MS, weight]
        )
        return Slot(queue, member, worker.decode(), int(position))

    async def release(self, queue: str, member: str) -> None:
        """Give a slot back, or leave the line."""
        await self._release(keys=_keys(queue), args=[member])


def slots_held(queue: str) -> int:
    """Count the slots of a queue that are taken."""
    connection: Any = broker()
    seconds, micros = connection.time()
    held, owners = _keys(queue)[:2]
    members = connection.zrangebyscore(held, seconds * 1000 + micros // 1000, "+inf")
    told = connection.hmget(owners, members) if members else []
    return sum(int(owner.partition(b"|")[0]) for owner in told if owner)


def weight_of(width: int, height: int) -> int:
    """Return how many slots pictures of this size need."""
    return max(1, round(width * height / PIXELS))


def _keys(queue: str) -> list[Any]:
    return [f"{HELD}{queue}{part}" for part in ("", ":owners", ":line", ":asked", ":arrivals")]
