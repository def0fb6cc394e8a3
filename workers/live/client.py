"""The door through which a process that hosts sessions has fragments rendered.

Everything here happens on that process's event loop and never blocks it: requests are pushed over a
connection of their own, replies are read by one task from one bounded stream. While the broker is
away requests wait; they go out by themselves once it is back.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

import redis.asyncio as aioredis
from django.conf import settings
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from workers import dispatch, profiles
from workers.adapters.avatar.base import Phone
from workers.live import wire
from workers.live.errors import RenderCancelled, RenderFailed, RenderUnavailable
from workers.live.pace import Pace
from workers.live.replies import Replies
from workers.live.wire import RenderReply, RenderRequest
from workers.rendering.encode import CRF

__all__ = ["RenderCancelled", "RenderClient", "RenderFailed", "RenderUnavailable"]

IN_FLIGHT = 2  # requests of one session: look-ahead of one must not starve another
ATTEMPTS = 3
PATIENCE_SECONDS = 30.0  # how long a request waits for a broker that is away
CONNECT_SECONDS = 1.0
ANSWER_SECONDS = 2.0
EPOCH_SECONDS = 120  # how long a worker may still meet requests of a past epoch

_log = logging.getLogger(__name__)

Key = tuple[str, int, int]
_FAILURES = (RedisError, OSError, TimeoutError)


@dataclass(slots=True, eq=False)
class _Session:
    """What is kept of one session; `incarnation` sets its numbers apart from those of another host."""

    incarnation: str = field(default_factory=lambda: uuid4().hex[:12])
    gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(IN_FLIGHT))
    over: int = -1  # this epoch and all before it


@dataclass(slots=True, eq=False)
class _Pending:
    request: RenderRequest
    answer: asyncio.Future[RenderReply]


class RenderClient:
    """One per process. `process_id` names its stream of replies, and must be fresh at every start."""

    def __init__(
        self,
        process_id: str,
        *,
        url: str | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
        on_reachable: Callable[[bool], None] | None = None,
    ) -> None:
        self._url = url or settings.REDIS_URL
        self._patience = patience_seconds
        self._pace = Pace()
        self._sessions: dict[str, _Session] = {}
        self._pending: dict[Key, _Pending] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._replies = Replies(
            f"{wire.REPLIES}{process_id}", self._url, deliver=self._deliver, on_reachable=on_reachable
        )
        self._redis: aioredis.Redis | None = None

    async def start(self) -> None:
        """Begin to read replies. Returns at once, also while the broker is away."""
        self._redis = aioredis.Redis.from_url(
            self._url,
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 1),  # once more on a fresh connection, where a pooled one is dead
        )
        self._replies.start()

    async def close(self) -> None:
        """Stop; whoever still waits gets `RenderUnavailable`."""
        for pending in self._pending.values():
            _fail(pending, RenderUnavailable("this process stops"))
        await self._replies.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._redis is not None:
            await self._redis.aclose()

    @property
    def reachable(self) -> bool:
        """Whether the broker answered lately."""
        return self._replies.reachable

    async def render(
        self,
        *,
        session: str,
        epoch: int,
        number: int,
        model: str,
        bundle_key: str,
        bundle_sha256: str,
        width: int,
        height: int,
        start_frame: int,
        frames: int,
        pcm16k: bytes,
        lookback: int,
        lookahead: int,
        phones: tuple[Phone, ...] = (),
        crf: float = CRF,
        background_key: str = "",
    ) -> RenderReply:
        """Have one fragment made; see `RenderRequest` for the fields.

        A third request of the same session waits for one of the two before it. Raises `RenderFailed`
        after several attempts, `RenderUnavailable` when the broker stays away, and `RenderCancelled`
        once the epoch was cancelled. Cancelling the wait forgets the request.
        """
        kept = self._sessions.setdefault(session, _Session())
        request = RenderRequest(
            session=session,
            incarnation=kept.incarnation,
            epoch=epoch,
            number=number,
            reply_to=self._replies.key,
            model=model,
            bundle_key=bundle_key,
            bundle_sha256=bundle_sha256,
            width=width,
            height=height,
            start_frame=start_frame,
            frames=frames,
            pcm16k=pcm16k,
            lookback=lookback,
            lookahead=lookahead,
            phones=phones,
            crf=crf,
            background_key=background_key,
            published_at=0.0,
            deadline_at=0.0,
        )
        async with kept.gate:
            if epoch <= kept.over:
                raise RenderCancelled("its epoch is over")
            return await self._ask(request)

    def cancel(self, session: str, epoch: int) -> None:
        """Nothing of `epoch` or older is wanted any more. Returns at once; workers stop between frames."""
        kept = self._sessions.setdefault(session, _Session())
        if epoch <= kept.over:
            return
        kept.over = epoch
        for pending in self._pending.values():
            request = pending.request
            if request.incarnation == kept.incarnation and request.epoch <= epoch:
                _fail(pending, RenderCancelled("its epoch is over"))
        self._in_background(self._tell_epoch(wire.epoch_key(session, kept.incarnation), epoch))

    def forget(self, session: str) -> None:
        """The session ended, or moved to another process."""
        kept = self._sessions.get(session)
        if kept is not None:
            self.cancel(session, 2**53)
            del self._sessions[session]

    async def _ask(self, request: RenderRequest) -> RenderReply:
        key = (request.incarnation, request.epoch, request.number)
        if key in self._pending:
            raise RenderFailed(f"number {request.number} is being rendered already", code="render_twice")
        pending = _Pending(request, asyncio.get_running_loop().create_future())
        self._pending[key] = pending
        try:
            return await self._ask_until_answered(pending)
        finally:
            del self._pending[key]
            pending.answer.cancel()

    async def _ask_until_answered(self, pending: _Pending) -> RenderReply:
        attempt, code = 1, "render_timeout"
        while attempt <= ATTEMPTS:
            began, outages = time.monotonic(), self._replies.outages
            seconds = self._pace.deadline_seconds(pending.request, attempt)
            await self._publish(pending, attempt, seconds)
            reply = await _within(pending.answer, seconds)
            if reply is None:
                # What a broker that was away did not deliver says nothing about the workers.
                attempt += outages == self._replies.outages and self.reachable
                continue
            if not reply.error_code:
                self._pace.took(pending.request, time.monotonic() - began)
                return reply
            code = reply.error_code
            if not reply.retryable:
                break
            pending.answer = asyncio.get_running_loop().create_future()
            attempt += 1
        raise RenderFailed(f"fragment {pending.request.number} was not rendered", code=code)

    async def _publish(self, pending: _Pending, attempt: int, seconds: float) -> None:
        """Push the request, as soon as there is a broker. Raises `RenderUnavailable`."""
        give_up = time.monotonic() + self._patience
        queue = profiles.load_profile(pending.request.model).live_queue
        while True:
            now = time.time()
            request = replace(pending.request, attempt=attempt, published_at=now, deadline_at=now + seconds)
            key, message = dispatch.live_message(queue, wire.dump_request(request))
            try:
                await self._connection().lpush(key, message)
            except _FAILURES as error:
                self._replies.lost(error)
            else:
                return
            await self._until_reachable(pending, give_up)

    async def _until_reachable(self, pending: _Pending, give_up: float) -> None:
        back: asyncio.Future[Any] = asyncio.ensure_future(self._replies.back())
        try:
            await asyncio.wait(
                (back, pending.answer),
                timeout=max(0.0, give_up - time.monotonic()),
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            back.cancel()
        if pending.answer.done():
            pending.answer.result()  # it was cancelled, or this process stops
        if time.monotonic() >= give_up:
            raise RenderUnavailable("the broker is away")

    def _deliver(self, reply: RenderReply) -> None:
        pending = self._pending.get((reply.incarnation, reply.epoch, reply.number))
        if pending is not None and not pending.answer.done():
            pending.answer.set_result(reply)

    async def _tell_epoch(self, key: str, epoch: int) -> None:
        try:
            await self._connection().set(key, epoch, ex=EPOCH_SECONDS)
        except _FAILURES as error:
            # Workers draw a little for nobody; what they send is dropped by its epoch all the same.
            self._replies.lost(error)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _connection(self) -> aioredis.Redis:
        if self._redis is None:
            raise RuntimeError("start() comes first")
        return self._redis


async def _within(answer: asyncio.Future[RenderReply], seconds: float) -> RenderReply | None:
    """Wait for an answer; None when the time is up."""
    done, _ = await asyncio.wait({answer}, timeout=seconds)
    return answer.result() if done else None


def _fail(pending: _Pending, error: Exception) -> None:
    if not pending.answer.done():
        pending.answer.set_exception(error)
