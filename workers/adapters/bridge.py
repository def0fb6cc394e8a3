"""Async generators for code that blocks: they run on one event loop in a thread of the process.

Connections that are kept between requests belong to an event loop; with one for all threads they are
shared by all. A child process gets a thread of its own.
"""

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import aclosing
from queue import SimpleQueue
from typing import Final, Generic, Literal, TypeVar

T = TypeVar("T")

MAX_AHEAD = 16
"""So many items wait for a slow reader, then the generator waits."""
CLOSE_SECONDS = 10.0
_END: Final = "end"


class _Shared:
    """The process's event loop, in a thread that lasts as long as the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.thread: threading.Thread | None = None

    def loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self.thread is None or not self.thread.is_alive():
                self._loop = asyncio.new_event_loop()
                self.thread = threading.Thread(target=self._loop.run_forever, name="adapters", daemon=True)
                self.thread.start()
            return self._loop

    def forget(self) -> None:
        """A child of a fork has neither the thread nor whoever held the lock."""
        self._lock, self.thread = threading.Lock(), None


_shared = _Shared()
os.register_at_fork(after_in_child=_shared.forget)


def iterate(make: Callable[[], AsyncGenerator[T, None]]) -> Generator[T, None, None]:
    """The items of the async generator that `make` gives, made and run on the process's loop.

    Its errors are raised here. Closing this generator cancels that one and waits until its connections
    are given up.
    """
    loop = _shared.loop()
    if threading.current_thread() is _shared.thread:
        raise RuntimeError("the loop cannot wait for itself")
    pump = _Pump(loop, make)
    try:
        yield from pump.items()
    finally:
        pump.stop()


def finished(make: Callable[[], Awaitable[T]]) -> T:
    """What comes of the call that `make` makes, made and run on the process's loop."""

    async def once() -> AsyncGenerator[T, None]:
        yield await make()

    (found,) = iterate(once)
    return found


class _Pump(Generic[T]):
    """Carries items from the loop to one blocking reader."""

    def __init__(self, loop: asyncio.AbstractEventLoop, make: Callable[[], AsyncGenerator[T, None]]) -> None:
        self._loop, self._make = loop, make
        self._out: SimpleQueue[tuple[Literal["item"], T] | tuple[Literal["end"], BaseException | None]]
        self._out = SimpleQueue()
        self._room = asyncio.Semaphore(MAX_AHEAD)
        self._ended = threading.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        loop.call_soon_threadsafe(self._start)

    def items(self) -> Generator[T, None, None]:
        while True:
            kind, value = self._out.get()
            if kind == _END:
                if isinstance(value, BaseException):
                    raise value
                return
            self._loop.call_soon_threadsafe(self._room.release)
            yield value  # type: ignore[misc]  # an item, as its kind says

    def stop(self) -> None:
        """Cancel what still runs and wait for its end."""
        if not self._ended.is_set():
            self._loop.call_soon_threadsafe(self._cancel)
            self._ended.wait(CLOSE_SECONDS)

    def _start(self) -> None:
        if self._stopping:
            self._ended.set()
            return
        self._task = self._loop.create_task(self._run())

    def _cancel(self) -> None:
        self._stopping = True
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        error: BaseException | None = None
        try:
            async with aclosing(self._make()) as items:
                async for item in items:
                    await self._room.acquire()
                    self._out.put(("item", item))
        except BaseException as exc:  # noqa: BLE001 - whatever it is, the reader gets it
            error = exc
        self._ended.set()
        self._out.put((_END, error))
