"""Ending tasks for certain."""

import asyncio
from collections.abc import Iterable
from typing import Any

AGAIN_SECONDS = 0.2


async def stopped(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until they are over; what they raise is dropped.

    One cancellation is not always enough: `asyncio.wait_for` of Python 3.11 forgets it when what it
    waits for has just ended, and the Redis client sends every command through it. A task that loops
    on commands would go on for ever.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=AGAIN_SECONDS)
