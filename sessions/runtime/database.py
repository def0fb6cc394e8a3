"""Queries of live sessions, outside the event loop and in threads of their own.

Media runs on the loop, so nothing there may wait for a database; and these threads are not those
that serve requests, so a slow page keeps no lease from being renewed.
"""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import InterfaceError, OperationalError, close_old_connections

# What says that the database is away or busy; any other error is about what was asked of it.
AWAY = (OperationalError, InterfaceError)
THREADS = 4
_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="live-database")
T = TypeVar("T")


async def in_database(work: Callable[[], T], threads: ThreadPoolExecutor = _threads) -> T:
    """Run a piece of work that asks or changes the database; what is not short, in `threads` of its own."""
    return await asyncio.get_running_loop().run_in_executor(
        threads, contextvars.copy_context().run, _closing, work
    )


def _closing(work: Callable[[], T]) -> T:
    close_old_connections()
    try:
        return work()
    finally:
        close_old_connections()
