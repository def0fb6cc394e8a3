"""What can go wrong in a reply, and how long is waited for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Literal, TypeVar

T = TypeVar("T")
Part = Literal["language_model", "speech", "recognition", "rendering", "internal"]


class Fault(Exception):
    """A part of the pipeline did not do its work; `code` and the message go to the client."""

    def __init__(self, part: Part, code: str, detail: str) -> None:
        super().__init__(detail)
        self.part = part
        self.code = code
        self.detail = detail


async def next_within(events: AsyncIterator[T], seconds: float, late: Fault) -> T:
    """The next of a stream; raises `late` when it does not come in time."""
    try:
        async with asyncio.timeout(seconds):
            return await anext(events)
    except TimeoutError as exc:
        raise late from exc
