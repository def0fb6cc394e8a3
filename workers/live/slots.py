"""The right to one live rendering stream, held for a turn, or of a stateful model for the session.

Every live worker says how many sessions of 512x640 it carries (`workers.presence`); the sum is how many
may speak at once. A session takes a slot of the worker with the most room before its first fragment
(two or more where its pictures are larger), keeps it while it asks for more, and loses it a few seconds
after its last request, or when it is interrupted. Who
comes while none is free waits in line. All of it is one script in the broker, so that no two processes
can give away the same slot.

A stream of a stateful model is drawn by the worker of its slot alone, so there it is the least loaded one
with room for it that counts, and who held a slot of a worker that is gone is given one of another.
An account holds no more slots than it is allowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis.asyncio as aioredis

from workers.live.broker import broker
from workers.presence import LIVE

HELD = "live:slots:"
ACCOUNTS = "live:account:"  # + account: its members as `slots|member`, by the moment they lapse
LEASE_MS = 4000  # longer than a conversation's look-ahead lets it pause between two requests
PIXELS = 512 * 640  # of the pictures that slots are counted in
WAITING_MS = 2000  # who did not ask again for so long has left the line

# Members are scored by the moment they lapse; `owners` says on which worker each of them counts, and for
# how many slots; `line` holds who waits, by arrival. Further keys are `held` and `owners` of the other
# queues, whose load counts where a stream is bound to its worker (`bound`); `avoid` names a worker that
# does not answer. Returns {worker, 0}, {'', position from 1}, or {'', -1} for an account with enough.
_TAKE = """
local held, owners, line, asked, arrivals, workers, account = unpack(KEYS, 1, 7)
local member, lease, patience, weight = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local bound, avoid, allowed = ARGV[5] == '1', ARGV[6], tonumber(ARGV[7])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', held, '-inf', now)) do
  redis.call('ZREM', held, gone)
  redis.call('HDEL', owners, gone)
end
-- What nobody asks for any more goes by itself, also of a queue whose last session died with its host.
-- It lives for `ms`, or a little less: so it need not be said again each time somebody asks.
local function outlive(key, ms)
  if redis.call('PTTL', key) < ms * 3 / 4 then redis.call('PEXPIRE', key, ms) end
end
local function keep(worker)
  redis.call('ZADD', held, now + lease, member)
  outlive(held, 2 * lease)
  outlive(owners, 2 * lease)
  if allowed > 0 then
    redis.call('ZADD', account, now + lease, weight .. '|' .. member)
    redis.call('PEXPIRE', account, 2 * lease)
  end
  return {worker, 0}
end
local mine = redis.call('HGET', owners, member)
local from = mine and string.match(mine, '|(.*)')
if mine then
  local told = bound and redis.call('HGET', workers, from)
  local known = not bound or (told and tonumber(string.match(told, ':(%d+)')) > now)
  if known and (not bound or from ~= avoid) then return keep(from) end
  redis.call('HDEL', owners, member)
  if not known then mine = nil end
end
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', asked, '-inf', now)) do
  redis.call('ZREM', asked, gone)
  redis.call('ZREM', line, gone)
end
local load, used, elsewhere = {}, 0, {}
for _, owner in ipairs(redis.call('HVALS', owners)) do
  local slots, name = string.match(owner, '(%d+)|(.*)')
  load[name] = (load[name] or 0) + slots
  used = used + slots
end
for i = 8, #KEYS, 2 do
  local entries = redis.call('HGETALL', KEYS[i + 1])
  for j = 1, #entries, 2 do
    if tonumber(redis.call('ZSCORE', KEYS[i], entries[j]) or 0) > now then
      local slots, name = string.match(entries[j + 1], '(%d+)|(.*)')
      elsewhere[name] = (elsewhere[name] or 0) + slots
    end
  end
end
local said, total, best, best_room = redis.call('HGETALL', workers), 0, nil, nil
for i = 1, #said, 2 do
  local slots, known_until = string.match(said[i + 1], '(%d+):(%d+)')
  if tonumber(known_until) > now then
    local taken = load[said[i]] or 0
    local room = tonumber(slots) - taken
    total = total + tonumber(slots)
    -- Nobody else can draw for it, so the worker itself must have room, unless it does nothing else.
    local fits = not bound or (said[i] ~= avoid and (room >= weight or taken == 0))
    if bound then room = room - (elsewhere[said[i]] or 0) end
    if fits and (not best or room > best_room) then best, best_room = said[i], room end
  end
end
if mine or from then
  if best then
    redis.call('HSET', owners, member, weight .. '|' .. best)
    return keep(best)
  elseif mine then -- there is no other: it may come back
    redis.call('HSET', owners, member, mine)
    return keep(from)
  end
  redis.call('ZREM', held, member)
end
if allowed > 0 then
  redis.call('ZREMRANGEBYSCORE', account, '-inf', now)
  local spent = weight
  for _, other in ipairs(redis.call('ZRANGE', account, 0, -1)) do
    local slots, name = string.match(other, '(%d+)|(.*)')
    if name ~= member then spent = spent + slots end
  end
  -- A single session is never refused for the size of its pictures.
  if spent > allowed and spent > weight then
    redis.call('ZREM', line, member)
    redis.call('ZREM', asked, member)
    return {'', -1}
  end
end
if not redis.call('ZSCORE', line, member) then
  redis.call('ZADD', line, redis.call('INCR', arrivals), member)
end
local ahead = redis.call('ZRANK', line, member)
-- Who is first waits for as many as it needs; more than there are is granted when it would be alone.
if best and ahead == 0 and (bound or used + weight <= total or used == 0) then
  redis.call('ZREM', line, member)
  redis.call('ZREM', asked, member)
  redis.call('HSET', owners, member, weight .. '|' .. best)
  return keep(best)
end
redis.call('ZADD', asked, now + patience, member)
outlive(asked, 2 * patience)
outlive(line, 2 * patience)
return {'', ahead + 1}
"""

_RELEASE = """
local mine = redis.call('HGET', KEYS[2], ARGV[1])
if mine then
  redis.call('ZREM', KEYS[6], string.match(mine, '(%d+)|') .. '|' .. ARGV[1])
end
for i = 1, 4 do
  redis.call(i == 2 and 'HDEL' or 'ZREM', KEYS[i], ARGV[1])
end
"""


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot of `worker`, or a `position` from 1 in the line for one; -1 where the account has enough."""

    queue: str
    member: str
    worker: str
    position: int = 0

    @property
    def granted(self) -> bool:
        return not self.position

    @property
    def refused(self) -> bool:
        """Whether the account holds as many as it is allowed."""
        return self.position < 0


class Slots:
    """Takes and gives back slots. Every call raises `redis.RedisError` while the broker is away."""

    def __init__(self, connection: aioredis.Redis) -> None:
        self._take = connection.register_script(_TAKE)
        self._release = connection.register_script(_RELEASE)

    async def take(
        self,
        queue: str,
        member: str,
        *,
        lease_ms: int = LEASE_MS,
        weight: int = 1,
        bound: Sequence[str] | None = None,
        avoid: str = "",
        account: str = "",
        allowed: int = 0,
    ) -> Slot:
        """Take a slot (or `weight` of them), keep what is held, or stand in line: then ask again soon.

        `bound` is given for a stream that its worker alone can draw, and names the other queues of live
        workers; such a slot moves when its worker is gone, or is the one to `avoid` and there is
        another. `account` holds at most `allowed` slots, 0 for any number.
        """
        others = [key for other in bound or () if other != queue for key in _keys(other)[:2]]
        worker, position = await self._take(
            keys=[*_keys(queue), f"{LIVE}{queue}", f"{ACCOUNTS}{account}", *others],
            args=[member, lease_ms, WAITING_MS, weight, int(bound is not None), avoid, allowed],
        )
        return Slot(queue, member, worker.decode(), int(position))

    async def release(self, queue: str, member: str, *, account: str = "") -> None:
        """Give a slot back, or leave the line."""
        await self._release(keys=[*_keys(queue), f"{ACCOUNTS}{account}"], args=[member])


def slots_held(queue: str) -> int:
    """Count the slots of a queue that are taken."""
    connection: Any = broker()
    seconds, micros = connection.time()
    held, owners = _keys(queue)[:2]
    members = connection.zrangebyscore(held, seconds * 1000 + micros // 1000, "+inf")
    told = connection.hmget(owners, members) if members else []
    return sum(int(owner.partition(b"|")[0]) for owner in told if owner)


def holders(queue: str, members: Sequence[str]) -> list[str]:
    """Say for each member on which worker its slot counts; empty for those who hold none now."""
    connection: Any = broker()
    seconds, micros = connection.time()
    held, owners = _keys(queue)[:2]
    asked = connection.pipeline(transaction=False)
    asked.hmget(owners, list(members))
    for one in members:
        asked.zscore(held, one)
    told, *until = asked.execute()
    now = seconds * 1000 + micros // 1000
    return [
        owner.partition(b"|")[2].decode() if owner and (lapses or 0) > now else ""
        for owner, lapses in zip(told, until, strict=True)
    ]


def weight_of(width: int, height: int) -> int:
    """Return how many slots pictures of this size need."""
    return max(1, round(width * height / PIXELS))


def _keys(queue: str) -> list[Any]:
    return [f"{HELD}{queue}{part}" for part in ("", ":owners", ":line", ":asked", ":arrivals")]
