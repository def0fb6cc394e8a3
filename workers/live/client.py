"""The door through which a process that hosts sessions has fragments rendered.

Everything here happens on that process's event loop and never blocks it: requests are pushed over
connections of their own, replies are read by one task from one bounded stream. While the broker is
away requests wait; they go out by themselves once it is back.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any, TypedDict, TypeVar, Unpack

import redis.asyncio as aioredis
from django.conf import settings
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, RedisError  # noqa: A004 - not the builtin one

from project import tracing
from workers import dispatch, profiles
from workers.live import wire
from workers.live.errors import RenderCancelled, RenderFailed, RenderUnavailable
from workers.live.pace import Pace
from workers.live.pending import Pending, Requester, fail, raise_if_over, unless_over
from workers.live.replies import Replies
from workers.live.slots import LEASE_MS, Slot, Slots, weight_of
from workers.live.wire import EVERYTHING, Fields, RenderReply, RenderRequest

__all__ = ["RenderCancelled", "RenderClient", "RenderFailed", "RenderUnavailable"]

ATTEMPTS = 5  # long enough that a worker that died alone is back
PATIENCE_SECONDS = 30.0  # how long a request waits for a broker that is away
CONNECT_SECONDS = 1.0
ANSWER_SECONDS = 2.0
EPOCH_SECONDS = 120  # how long a worker may still meet requests of a past epoch
SOUND_SECONDS = 60
WANTED_SECONDS = 3600
RENEW_SECONDS = LEASE_MS / 1000 / 4
SLOT_PAUSE_SECONDS = 0.1
UNANSWERED = 2  # attempts, until another worker is asked for what one alone can draw
STALLED_SECONDS = 20.0  # so long a worker may be at one fragment
LOOK_SECONDS = 0.3  # between two looks whether it still is
OPENING_SECONDS = 60.0

_log = logging.getLogger(__name__)

Key = tuple[str, int, int]
T = TypeVar("T")
_FAILURES = (RedisError, OSError, TimeoutError)


class Opening(TypedDict):
    """What a stream is opened with: see `RenderRequest`."""

    model: str
    bundle_key: str
    bundle_sha256: str
    width: int
    height: int
    start_frame: int


class RenderClient:
    """One per process. `process_id` names its stream of replies, and must be fresh at every start."""

    def __init__(
        self,
        process_id: str,
        *,
        url: str | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
        slot_seconds: float | None = None,
    ) -> None:
        self._url = url or settings.REDIS_URL
        self._patience = patience_seconds
        self._slot_seconds = settings.LIVE_SLOT_TIMEOUT_SECONDS if slot_seconds is None else slot_seconds
        self._pace = Pace()
        self._sessions: dict[str, Requester] = {}
        self._pending: dict[Key, Pending] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._replies = Replies(f"{wire.REPLIES}{process_id}", self._url, deliver=self._deliver)
        self._redis: aioredis.Redis = aioredis.Redis.from_url(
            self._url,
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=ANSWER_SECONDS,
            # Once more on a fresh connection, where a pooled one is dead; a broker that hangs is given up.
            retry=Retry(NoBackoff(), 1, supported_errors=(ConnectionError,)),
        )
        self._slots = Slots(self._redis)

    async def start(self) -> None:
        """Begin to read replies. Returns at once, also while the broker is away."""
        self._replies.start()

    async def close(self) -> None:
        """Stop; whoever still waits gets `RenderUnavailable`."""
        for pending in self._pending.values():
            fail(pending, RenderUnavailable("this process stops"))
        for session in list(self._sessions):
            self.forget(session)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._replies.close()
        await self._redis.aclose()

    @property
    def reachable(self) -> bool:
        """Whether the broker answered lately."""
        return self._replies.reachable

    async def render(self, *, session: str, **fields: Unpack[Fields]) -> RenderReply:
        """Have one fragment made; see `RenderRequest` for the fields.

        A third request of the same session waits for one of the two before it, and the first for a
        slot. Raises `RenderFailed` after several attempts or without a slot (`no_slot`, `slot_allowance`),
        `RenderUnavailable` when the broker stays away, and `RenderCancelled` once the epoch was
        cancelled. Cancelling the wait forgets the request.
        """
        kept = self._kept(session)
        request = RenderRequest(
            session=session, incarnation=kept.incarnation, reply_to=self._replies.key, **fields
        )
        async with kept.gate:
            if request.epoch <= kept.over:
                raise RenderCancelled("its epoch is over")
            return await _traced(self._ask(kept, request), request)

    def warm(self, *, model: str, bundle_key: str, bundle_sha256: str) -> None:
        """Have every live worker load an avatar that will be needed soon. Returns at once."""
        self._in_background(self._tell_wanted(wire.Wanted(model, bundle_key, bundle_sha256)))

    def admit(self, session: str, *, account: str, allowed: int) -> None:
        """Say whose session it is, and how many slots that account may hold; 0 for any number."""
        kept = self._kept(session)
        kept.account, kept.allowed = account, allowed

    def hold(self, session: str, **fields: Unpack[Opening]) -> None:
        """Take a slot for as long as the session lives, and have its stream opened. Returns at once.

        For stateful models: their first words wait for neither. Does nothing for others.
        """
        kept = self._kept(session)
        if profiles.load_profile(fields["model"]).stateless or kept.keeping is not None:
            return
        request = RenderRequest(
            session=session,
            incarnation=kept.incarnation,
            reply_to=self._replies.key,
            epoch=kept.over,
            number=wire.OPENING,
            frames=0,
            pcm16k=b"",
            lookback=0,
            lookahead=0,
            account=kept.account,
            **fields,
        )
        kept.keeping = self._in_background(self._keep(kept, request))

    def cancel(self, session: str, epoch: int) -> None:
        """Nothing of `epoch` or older is wanted any more. Returns at once; workers stop between frames."""
        kept = self._kept(session)
        if epoch <= kept.over:
            return
        kept.over = epoch
        for pending in self._pending.values():
            still = pending.request.opens and epoch != EVERYTHING
            if pending.session is kept and pending.request.epoch <= epoch and not still:
                fail(pending, RenderCancelled("its epoch is over"))
        if kept.keeping is None or epoch == EVERYTHING:
            kept.slot_taken = float("-inf")
            kept.leaving = self._in_background(self._tell_over(kept, epoch, leave=True))
        else:
            self._in_background(self._tell_over(kept, epoch, leave=False))

    def forget(self, session: str) -> None:
        """The session ended, or moved to another process."""
        if session in self._sessions:
            keeping = self._sessions[session].keeping
            if keeping is not None:
                keeping.cancel()
            self.cancel(session, EVERYTHING)
            del self._sessions[session]

    def _kept(self, session: str) -> Requester:
        if session not in self._sessions:
            self._sessions[session] = Requester(session)
        return self._sessions[session]

    async def _ask(self, kept: Requester, request: RenderRequest) -> RenderReply:
        key = (request.incarnation, request.epoch, request.number)
        if key in self._pending:
            raise RenderFailed(f"number {request.number} is being rendered already", code="render_twice")
        pending = Pending(kept, request, asyncio.get_running_loop().create_future())
        self._pending[key] = pending
        try:
            await self._hold_slot(pending)
            return await self._until_answered(pending)
        finally:
            del self._pending[key]
            _forgotten(pending)

    async def _until_answered(self, pending: Pending) -> RenderReply:
        attempt, code = 1, "render_timeout"
        while attempt <= ATTEMPTS:
            began, outages = time.monotonic(), self._replies.outages
            seconds = self._pace.deadline_seconds(pending.request, attempt)
            await self._publish(pending, attempt, seconds)
            await asyncio.wait((pending.answer,), timeout=seconds)
            if pending.worker:
                await self._while_drawn(pending)
            if not pending.answer.done():
                # What a broker that was away did not deliver says nothing about the workers.
                attempt += outages == self._replies.outages and self.reachable
                await self._ask_another(pending, attempt)
                continue
            reply = pending.answer.result()
            if not reply.error_code:
                if not pending.request.opens:
                    self._pace.took(pending.request, time.monotonic() - began)
                return reply
            code = reply.error_code
            if not reply.retryable:
                break
            pending.answer = asyncio.get_running_loop().create_future()
            attempt += 1
            if pending.worker:
                await self._ask_another(pending, attempt)
                await asyncio.wait((pending.answer,), timeout=SLOT_PAUSE_SECONDS * 2**attempt)
                raise_if_over(pending)
        raise RenderFailed(f"fragment {pending.request.number} was not rendered", code=code)

    async def _publish(self, pending: Pending, attempt: int, seconds: float) -> None:
        """Push the request, as soon as there is a broker. Raises `RenderUnavailable`."""
        kept = pending.session
        pending.worker = kept.worker
        queue = dispatch.worker_queue(kept.worker) if kept.worker else kept.queue

        async def push() -> None:
            now = time.time()
            request = replace(
                pending.request,
                attempt=attempt,
                published_at=now,
                deadline_at=now + seconds,
                since=self._since(pending),
            )
            key, message = dispatch.live_message(queue, wire.dump_request(request))
            sent = self._redis.pipeline(transaction=False)
            sent.set(request.sound_key, request.pcm16k, ex=SOUND_SECONDS)
            sent.lpush(key, message)
            if kept.worker:
                sent.expire(key, SOUND_SECONDS)  # a worker that is gone empties its queue no more
            await sent.execute()

        await self._steadily(pending, push)

    async def _hold_slot(self, pending: Pending) -> None:
        """Take a slot, or keep the one we have. Raises `RenderFailed` when none came free in time."""
        kept = pending.session
        age = time.monotonic() - kept.slot_taken
        if age < RENEW_SECONDS:
            return
        if kept.leaving is not None:
            await asyncio.wait((kept.leaving,))  # or it would give away what we take now
        give_up = time.monotonic() + self._slot_seconds
        while not (slot := await self._steadily(pending, lambda: self._take(pending))).granted:
            if time.monotonic() > give_up:
                if slot.refused:
                    raise RenderFailed("the account holds all its slots", code="slot_allowance")
                raise RenderFailed("no worker has room for this session", code="no_slot")
            await asyncio.wait((pending.answer,), timeout=SLOT_PAUSE_SECONDS)
            raise_if_over(pending)

    async def _take(self, pending: Pending, *, avoid: str = "") -> Slot:
        """Take a slot or keep the one we have; a stream of a stateful model may have to move for it."""
        kept, request = pending.session, pending.request
        profile = profiles.load_profile(request.model)
        kept.queue = profile.live_queue
        slot = await self._slots.take(
            kept.queue,
            kept.member,
            weight=weight_of(request.width, request.height),
            bound=None if profile.stateless else _live_queues(),
            avoid=avoid,
            account=kept.account,
            allowed=kept.allowed,
        )
        if slot.granted:
            kept.slot_taken = time.monotonic()
            if not profile.stateless:
                kept.worker = slot.worker
        return slot

    # --- What one worker alone can draw --------------------------------------------------------

    async def _keep(self, kept: Requester, request: RenderRequest) -> None:
        """Hold a slot, and have the stream opened on its worker, again where it moved in silence."""
        opened, opening = "", None
        pending = Pending(kept, request, asyncio.get_running_loop().create_future())
        task = asyncio.current_task()
        try:
            # The Redis client may swallow a cancellation (see `project.stopping`); the task remembers it.
            while task is not None and not task.cancelling():
                slot = await self._took(pending)
                if slot is not None and slot.granted and slot.worker != opened:
                    opened = slot.worker
                    if opening is not None:
                        opening.cancel()
                    opening = self._in_background(self._open(kept, request))
                waits = slot is not None and not slot.granted
                await asyncio.sleep(SLOT_PAUSE_SECONDS if waits else RENEW_SECONDS)
        finally:
            if opening is not None:
                opening.cancel()

    async def _took(self, pending: Pending) -> Slot | None:
        try:
            return await self._take(pending)
        except _FAILURES as error:
            self._replies.lost(error)
            return None

    async def _open(self, kept: Requester, request: RenderRequest) -> None:
        """Have the stream opened; if it cannot be, the first words will say so."""
        key = (request.incarnation, request.epoch, request.number)
        pending = Pending(kept, request, asyncio.get_running_loop().create_future())
        self._pending[key] = pending
        try:
            async with asyncio.timeout(OPENING_SECONDS):
                await self._until_answered(pending)
        except (RenderFailed, RenderUnavailable, RenderCancelled, TimeoutError) as error:
            _log.info("The stream of %s is not open yet: %s", kept.id, error)
        finally:
            if self._pending.get(key) is pending:
                del self._pending[key]
            _forgotten(pending)

    async def _while_drawn(self, pending: Pending) -> None:
        """Wait on while the worker says that it is at it: drawing it twice would not be faster."""
        give_up = time.monotonic() + STALLED_SECONDS
        while not pending.answer.done() and time.monotonic() < give_up:
            try:
                drawn_by = await unless_over(pending, self._redis.get(pending.request.taken_key))
            except _FAILURES as error:
                self._replies.lost(error)
                return
            if drawn_by is None or drawn_by == wire.DONE:
                return
            await asyncio.wait((pending.answer,), timeout=LOOK_SECONDS)

    async def _ask_another(self, pending: Pending, attempt: int) -> None:
        """Move to another worker, if there is one, from one that does not answer or only with errors."""
        if not pending.worker or attempt <= UNANSWERED:
            return
        kept = pending.session
        slot = await self._steadily(pending, lambda: self._take(pending, avoid=pending.worker))
        if slot.granted and slot.worker != pending.worker:
            _log.warning("%s moves from %s to %s", kept.id, pending.worker, slot.worker)
        elif not slot.granted:
            await self._hold_slot(pending)

    def _since(self, pending: Pending) -> int:
        """The first number of its epoch that was not answered yet."""
        return min(
            other.request.number
            for other in (*self._pending.values(), pending)
            if other.session is pending.session
            and other.request.epoch == pending.request.epoch
            and (other is pending or not (other.request.opens or other.answer.done()))
        )

    async def _steadily(self, pending: Pending, work: Callable[[], Awaitable[T]]) -> T:
        """Do something at the broker, as soon as there is one. Raises `RenderUnavailable`."""
        give_up = time.monotonic() + self._patience
        while True:
            try:
                return await unless_over(pending, work())
            except _FAILURES as error:
                self._replies.lost(error)
            await self._until_reachable(pending, give_up)

    async def _until_reachable(self, pending: Pending, give_up: float) -> None:
        back: asyncio.Future[Any] = asyncio.ensure_future(self._replies.back())
        try:
            await asyncio.wait(
                (back, pending.answer),
                timeout=max(0.0, give_up - time.monotonic()),
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            back.cancel()
        raise_if_over(pending)
        if time.monotonic() >= give_up:
            raise RenderUnavailable("the broker is away")

    def _deliver(self, reply: RenderReply) -> None:
        pending = self._pending.get((reply.incarnation, reply.epoch, reply.number))
        ours = pending is not None and pending.request.session == reply.session
        if pending is not None and ours and not pending.answer.done():
            pending.answer.set_result(reply)

    async def _tell_wanted(self, wanted: wire.Wanted) -> None:
        text, now = wire.dump_wanted(wanted), time.time()
        told = self._redis.pipeline(transaction=False)
        told.publish(wire.WARM, text)
        told.zadd(wire.WARM, {text: now})  # for workers that start later
        told.zremrangebyscore(wire.WARM, "-inf", now - WANTED_SECONDS)
        told.expire(wire.WARM, WANTED_SECONDS)
        try:
            await told.execute()
        except _FAILURES as error:
            self._replies.lost(error)

    async def _tell_over(self, kept: Requester, epoch: int, *, leave: bool) -> None:
        """Tell the workers, and give the slot back unless the session holds it."""
        try:
            await self._redis.set(wire.epoch_key(kept.id, kept.incarnation), epoch, ex=EPOCH_SECONDS)
            if leave and kept.queue:
                await self._slots.release(kept.queue, kept.member, account=kept.account)
        except _FAILURES as error:
            # Workers draw a little for nobody; what they send is dropped by its epoch all the same.
            self._replies.lost(error)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _live_queues() -> list[str]:
    return [profile.live_queue for profile in profiles.profiles() if profile.live_queue]


async def _traced(asked: Awaitable[RenderReply], request: RenderRequest) -> RenderReply:
    """Await a fragment inside a span of its own."""
    facts: dict[str, Any] = {"model": request.model, "epoch": request.epoch, "number": request.number}
    with tracing.span("render", ordinary=(RenderCancelled,), **facts, frames=request.frames) as span:
        reply = await asked
        span.set(
            worker=reply.worker, attempt=reply.attempt, queue_ms=reply.queue_ms, render_ms=reply.render_ms
        )
        return reply


def _forgotten(pending: Pending) -> None:
    """Nobody waits for the answer any more; what ended it is seen, or asyncio complains."""
    if not pending.answer.cancel() and not pending.answer.cancelled():
        pending.answer.exception()
