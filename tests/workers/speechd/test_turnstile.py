import asyncio

import pytest

from workers.speechd.turnstile import BATCH, LIVE, Full, Turnstile


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Visitors:
    """Each waits for a turn, writes its name down and leaves when told to."""

    def __init__(self, turnstile: Turnstile) -> None:
        self.turnstile = turnstile
        self.entered: list[str] = []
        self.leave = asyncio.Event()

    async def visit(self, name: str, priority: int) -> None:
        async with self.turnstile.turn(priority):
            self.entered.append(name)
            if name == "first":
                await self.leave.wait()

    def send(self, name: str, priority: int) -> asyncio.Task[None]:
        return asyncio.create_task(self.visit(name, priority))


async def test_the_urgent_go_first_and_equals_in_order():
    visitors = Visitors(Turnstile(most_waiting=10))
    tasks = [visitors.send("first", BATCH)]
    await settle()
    for name, priority in (("b1", BATCH), ("b2", BATCH), ("l1", LIVE), ("l2", LIVE)):
        tasks.append(visitors.send(name, priority))
        await settle()
    visitors.leave.set()
    await asyncio.gather(*tasks)
    assert visitors.entered == ["first", "l1", "l2", "b1", "b2"]


async def test_too_many_are_turned_away_at_once():
    visitors = Visitors(Turnstile(most_waiting=1))
    tasks = [visitors.send("first", LIVE)]
    await settle()
    tasks.append(visitors.send("second", LIVE))
    await settle()
    with pytest.raises(Full):
        await visitors.visit("third", LIVE)
    visitors.leave.set()
    await asyncio.gather(*tasks)


async def test_who_gives_up_waiting_blocks_nobody():
    visitors = Visitors(Turnstile(most_waiting=2))
    first = visitors.send("first", LIVE)
    await settle()
    second = visitors.send("second", LIVE)
    await settle()
    second.cancel()
    third = visitors.send("third", LIVE)
    await settle()
    visitors.leave.set()
    await asyncio.gather(first, third)
    assert visitors.entered == ["first", "third"]
    assert visitors.turnstile.waiting == 0


async def test_a_turn_given_to_somebody_who_leaves_in_that_moment_is_passed_on():
    visitors = Visitors(Turnstile(most_waiting=2))
    first = visitors.send("first", LIVE)
    await settle()
    second, third = visitors.send("second", LIVE), visitors.send("third", LIVE)
    await settle()
    first.cancel()
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.gather(first, second, third, return_exceptions=True)
    assert visitors.entered[-1] == "third"
