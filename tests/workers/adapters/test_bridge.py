"""Async generators for code that blocks."""

import asyncio
import os
import threading
from collections.abc import AsyncGenerator

import pytest

from workers.adapters import bridge


async def counting(upto: int) -> AsyncGenerator[int, None]:
    for number in range(upto):
        yield number


def test_all_items_come_in_order():
    assert list(bridge.iterate(lambda: counting(1000))) == list(range(1000))


def test_an_error_is_raised_where_it_is_read():
    async def failing() -> AsyncGenerator[int, None]:
        yield 1
        raise KeyError("lost")

    items = bridge.iterate(failing)
    assert next(items) == 1
    with pytest.raises(KeyError, match="lost"):
        next(items)


def test_an_error_of_making_it_is_raised_as_well():
    def make() -> AsyncGenerator[int, None]:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        list(bridge.iterate(make))


def test_closing_cancels_and_waits_until_all_is_given_up():
    given_up: list[str] = []

    async def waiting() -> AsyncGenerator[int, None]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.02)
            given_up.append("here")

    items = bridge.iterate(waiting)
    assert next(items) == 1
    items.close()
    assert given_up == ["here"]


def test_a_generator_that_nobody_began_is_not_made():
    made: list[int] = []

    async def noting() -> AsyncGenerator[int, None]:
        made.append(1)
        yield 1

    bridge.iterate(noting).close()
    assert not made


def test_a_slow_reader_is_waited_for():
    given = 0

    async def eager() -> AsyncGenerator[int, None]:
        nonlocal given
        for number in range(1000):
            given = number
            yield number

    items = bridge.iterate(eager)
    next(items)
    list(bridge.iterate(lambda: counting(100)))  # the loop has gone round meanwhile
    assert given <= bridge.MAX_AHEAD + 1
    items.close()


def test_all_threads_share_one_loop():
    async def where() -> AsyncGenerator[int, None]:
        yield id(asyncio.get_running_loop())

    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.extend(bridge.iterate(where))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert [thread.name for thread in threading.enumerate()].count("adapters") == 1


def test_the_loop_cannot_wait_for_itself():
    async def nested() -> AsyncGenerator[int, None]:
        yield from_within()

    def from_within() -> int:
        return next(bridge.iterate(lambda: counting(1)))

    with pytest.raises(RuntimeError, match="itself"):
        list(bridge.iterate(nested))


def test_a_child_of_a_fork_has_a_loop_of_its_own():
    assert list(bridge.iterate(lambda: counting(2))) == [0, 1]
    child = os.fork()
    if not child:
        try:
            os._exit(0 if list(bridge.iterate(lambda: counting(3))) == [0, 1, 2] else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert list(bridge.iterate(lambda: counting(2))) == [0, 1]
