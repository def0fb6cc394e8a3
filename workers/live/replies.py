"""The stream of replies of one process: read by one task, trimmed as it is read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import redis.asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from project.stopping import stopped
from workers.live.wire import RenderReply, WireError, load_reply

BLOCK_MS = 1000
AT_ONCE = 16
CONNECT_SECONDS = 1.0
PAUSE_SECONDS = 0.1

_log = logging.getLogger(__name__)


class Replies:
    """`deliver` is called for each reply on the event loop."""

    def __init__(self, key: str, url: str, *, deliver: Callable[[RenderReply], None]) -> None:
        self.key = key
        self.outages = 0
        self._url = url
        self._deliver = deliver
        self._up = asyncio.Event()
        self._up.set()  # until somebody finds out otherwise
        self._after = "0-0"
        self._read: tuple[int, int] | None = None  # what was read last and is still in the stream
        self._task: asyncio.Task[None] | None = None

    @property
    def reachable(self) -> bool:
        return self._up.is_set()

    async def back(self) -> None:
        """Wait until the broker answers again."""
        await self._up.wait()

    def lost(self, error: BaseException) -> None:
        """Somebody found the broker away."""
        if self._up.is_set():
            _log.warning("The broker is away; render requests wait (%s)", error)
            self.outages += 1
            self._up.clear()

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="render replies")

    async def close(self) -> None:
        if self._task is not None:
            await stopped([self._task])

    async def _run(self) -> None:
        broker = aioredis.Redis.from_url(
            self._url,
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=BLOCK_MS / 1000 + 2,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            while True:
                try:
                    await self._listen(broker)
                except (RedisError, OSError, TimeoutError) as error:
                    self.lost(error)
                    await asyncio.sleep(PAUSE_SECONDS)
        finally:
            with suppress(RedisError, OSError):
                await broker.aclose()

    async def _listen(self, broker: aioredis.Redis) -> None:
        await broker.ping()
        while True:
            self._found()
            # One round trip drops what was read and waits for more.
            both = broker.pipeline(transaction=False)
            if self._read is not None:
                both.xtrim(self.key, minid=f"{self._read[0]}-{self._read[1] + 1}", approximate=False)
            both.xread({self.key: self._after}, count=AT_ONCE, block=BLOCK_MS)
            self._take((await both.execute())[-1])

    def _take(self, answer: Any) -> None:
        self._read = None
        for _, entries in answer or []:
            for entry_id, entry in entries:
                text = entry_id.decode()
                self._after = text
                self._read = (int(text.split("-")[0]), int(text.split("-")[1]))
                try:
                    self._deliver(load_reply(entry))
                except WireError as error:
                    _log.error("Not a reply in %s: %s", self.key, error)

    def _found(self) -> None:
        if not self._up.is_set():
            _log.warning("The broker is back")
            self._up.set()
