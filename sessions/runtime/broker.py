"""This process's line to Redis: one reader of its inbox, one writer of everything else.

Nothing that plays media ever waits here. What is written is queued, gathered and sent in one round
trip; while the broker is away the newest of it waits, the oldest is dropped.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, cast

from django.conf import settings
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError, ResponseError

from project.stopping import stopped
from sessions.runtime.events import KEPT, stream_key

_log = logging.getLogger(__name__)

GATHER_SECONDS = 0.1
RETRY_SECONDS = 0.5
BATCH = 500
QUEUE_LIMIT = 20_000
INBOX_LIMIT = 2_000
INBOX_SECONDS = 60
READ_SECONDS = 2
MIRROR_SECONDS = 3600
SOCKET_SECONDS = 5.0
CONNECT_SECONDS = 2.0

# A full or a read-only server: the same may work later.
CANNOT_WRITE = (ReadOnlyError, OutOfMemoryError)
# The answer to a number of the mirror that a batch whose answer was lost has written before.
TWICE = "equal or smaller"

Command = tuple[Any, ...]
Rows = list[tuple[bytes, dict[bytes, bytes]]]
Receive = Callable[[bytes], None]
Changed = Callable[[bool], None]


def inbox_key(process_id: str) -> str:
    return f"live:inbox:{process_id}"


def reply_key(request_id: str) -> str:
    return f"live:reply:{request_id}"


def connect() -> "Redis":
    """A client of the running loop; its calls fail soon instead of trying again by themselves."""
    return Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=SOCKET_SECONDS,
        socket_connect_timeout=CONNECT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


class Broker:
    """Reads the inbox of `process_id` and writes to others; `changed` hears when Redis goes or comes."""

    def __init__(self, process_id: str, *, receive: Receive, changed: Changed) -> None:
        self._redis = connect()
        self._inbox = inbox_key(process_id)
        self._receive = receive
        self._changed = changed
        self._waiting: deque[Command] = deque(maxlen=QUEUE_LIMIT)
        self._wake = asyncio.Event()
        self._urgent = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.available = True

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._read(), name="live inbox"),
            asyncio.create_task(self._write(), name="live outbox"),
        ]

    async def close(self) -> None:
        """Stop reading, write what still waits if that can be done at once, and let go."""
        await stopped(self._tasks)
        if self.available:
            with contextlib.suppress(RedisError, TimeoutError, OSError):
                async with asyncio.timeout(1.0):
                    while self._waiting:
                        await self._flush()
        await self._redis.aclose()

    # --- Writing: returns at once ----------------------------------------------------------

    def push(self, process_id: str, message: bytes) -> None:
        """Put a message into another process's inbox. It is bounded, and forgotten if nobody reads it."""
        key = inbox_key(process_id)
        self._queue(("RPUSH", key, message), ("LTRIM", key, -INBOX_LIMIT, -1), ("EXPIRE", key, INBOX_SECONDS))
        self._urgent.set()

    def reply(self, request_id: str, message: bytes) -> None:
        key = reply_key(request_id)
        self._queue(("RPUSH", key, message), ("EXPIRE", key, 10))
        self._urgent.set()

    def mirror(self, session_id: str, seq: int, event: bytes) -> None:
        """Keep an event where the session's next host will find it."""
        key = stream_key(session_id)
        self._queue(("XADD", key, "MAXLEN", "~", KEPT, f"{seq}-0", "e", event))
        self._queue(("EXPIRE", key, MIRROR_SECONDS))

    def forget(self, session_id: str) -> None:
        """A session is over: who comes back late may still read how, for a minute."""
        self._queue(("EXPIRE", stream_key(session_id), 60))

    def _queue(self, *commands: Command) -> None:
        self._waiting.extend(commands)
        self._wake.set()

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GATHER_SECONDS):
                    await self._urgent.wait()
            self._urgent.clear()
            try:
                await self._flush()
            except (RedisError, OSError) as error:
                self._say(available=False, why=error)
                await asyncio.sleep(RETRY_SECONDS)
            if not self._waiting:
                self._wake.clear()

    async def _flush(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for command in batch:
                    pipe.execute_command(*command)
                results = await pipe.execute(raise_on_error=False)
        except (RedisError, OSError):
            self._put_back(batch)
            raise
        if any(isinstance(result, CANNOT_WRITE) for result in results):
            # What of it was written is written again: receivers know it, and the mirror keeps one.
            self._put_back(batch)
            raise ReadOnlyError("the broker takes nothing just now")
        for result in results:
            if isinstance(result, ResponseError) and TWICE not in str(result):
                _log.error("The broker refused something: %s", result)

    def _put_back(self, batch: list[Command]) -> None:
        """Keep what could not be written; what came since is newer and goes before the oldest of it."""
        room = QUEUE_LIMIT - len(self._waiting)
        self._waiting.extendleft(reversed(batch[-room:] if room else []))

    # --- Reading ---------------------------------------------------------------------------

    async def _read(self) -> None:
        while True:
            try:
                found = await self._blpop()
                self._say(available=True)
                if found is not None:
                    self._take(found[1])
                    for message in await self._drain():
                        self._take(message)
            except (RedisError, OSError) as error:
                self._say(available=False, why=error)
                await asyncio.sleep(RETRY_SECONDS)

    def _blpop(self) -> Awaitable[tuple[bytes, bytes] | None]:
        return cast("Awaitable[tuple[bytes, bytes] | None]", self._redis.blpop([self._inbox], READ_SECONDS))

    async def _drain(self) -> list[bytes]:
        found = await cast("Awaitable[list[bytes] | None]", self._redis.lpop(self._inbox, BATCH))
        return found or []

    def _take(self, message: bytes) -> None:
        try:
            self._receive(message)
        except Exception:  # noqa: BLE001 - one bad message of another version of us must not end the reader
            _log.exception("A message from another process could not be used")

    async def mirrored(self, session_id: str) -> list[bytes]:
        """Read the events another host left; raises RedisError when the broker is away."""
        rows = cast("Rows", await self._redis.xrevrange(stream_key(session_id), count=KEPT))
        return [fields[b"e"] for _, fields in reversed(rows)]

    def _say(self, *, available: bool, why: Exception | None = None) -> None:
        if available == self.available:
            return
        self.available = available
        if available:
            _log.info("The broker is back")
        else:
            _log.warning("The broker is away: %s", type(why).__name__)
        self._changed(available)
