"""What a process keeps of a session's requests while they are on their way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import uuid4

from workers.live import wire
from workers.live.wire import RenderReply, RenderRequest

IN_FLIGHT = 2  # requests of one session: look-ahead of one must not starve another

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Requester:
    """What is kept of one session; `incarnation` sets its numbers apart from those of another host."""

    id: str
    incarnation: str = field(default_factory=lambda: uuid4().hex[:12])
    gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(IN_FLIGHT))
    over: int = -1  # this epoch and all before it
    queue: str = ""
    slot_taken: float = float("-inf")  # monotonic
    leaving: asyncio.Task[None] | None = None
    account: str = ""
    allowed: int = 0  # slots of its account; 0 for any number
    worker: str = ""  # that draws for it, where its model is stateful
    keeping: asyncio.Task[None] | None = None  # of the slot that it holds as long as it lives

    @property
    def member(self) -> str:
        return wire.member(self.id, self.incarnation)


@dataclass(slots=True, eq=False)
class Pending:
    session: Requester
    request: RenderRequest
    answer: asyncio.Future[RenderReply]
    worker: str = ""  # that was asked last, where only one can be


async def unless_over(pending: Pending, work: Awaitable[T]) -> T:
    """Await something, but no longer than the request is wanted: a broker that hangs takes seconds."""
    task = asyncio.ensure_future(work)
    either: set[asyncio.Future[Any]] = {task, pending.answer}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise_if_over(pending)
        return await task
    finally:
        task.cancel()


def raise_if_over(pending: Pending) -> None:
    """Raise what ended the request; an answer that is there already is taken later."""
    if pending.answer.done() and pending.answer.exception() is not None:
        pending.answer.result()


def fail(pending: Pending, error: Exception) -> None:
    if not pending.answer.done():
        pending.answer.set_exception(error)
