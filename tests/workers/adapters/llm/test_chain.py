"""Models that stand in for each other."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from workers.adapters import breaker, health
from workers.adapters.errors import AdapterError
from workers.adapters.llm.base import Message, Usage
from workers.adapters.llm.chain import FallbackModel
from workers.adapters.llm.scripted import Scripted

ASKED = [Message("user", "When are you open?")]


def fault(code: str = "provider_busy", *, retryable: bool = True) -> AdapterError:
    return AdapterError("no", provider="x", retryable=retryable, code=code)


@dataclass
class Mind:
    """Gives its pieces, and raises those that are errors."""

    provider: str
    pieces: Sequence[Any]
    asked: int = 0
    warmed: int = 0
    closed: bool = False
    tools: list[Any] = field(default_factory=list)

    async def stream(self, messages: Any, **more: Any) -> Any:
        self.asked += 1
        self.tools.append(more["tools"])
        try:
            for piece in self.pieces:
                await asyncio.sleep(0)
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            self.closed = True

    async def warm(self) -> None:
        self.warmed += 1

    async def aclose(self) -> None: ...


@pytest.fixture(autouse=True)
def nothing_remembered():
    breaker.reset()
    health.reset()
    yield
    breaker.reset()
    health.reset()


async def told(*minds: Any, limit: int = 9) -> list[Any]:
    return [piece async for piece in FallbackModel(minds).stream(ASKED, max_tokens=limit)]


async def test_the_first_one_answers_and_who_did_is_told():
    first, second = Mind("a", ["At ", "nine."]), Mind("b", ["At ten."])
    assert await told(first, second) == ["At ", "nine.", Usage("a", "", 0, 0)]
    assert second.asked == 0
    (well,) = health.snapshot()
    assert (well.kind, well.provider, well.served, well.failed) == ("llm", "a", 1, 0)


async def test_its_own_count_is_told_once():
    assert await told(Mind("a", ["Yes.", Usage("a", "m", 3, 1)])) == ["Yes.", Usage("a", "m", 3, 1)]


@pytest.mark.parametrize("code", ["provider_busy", "provider_unauthorized", "provider_rejected"])
async def test_the_next_one_answers_while_nothing_was_delivered(code):
    assert await told(Mind("a", [fault(code)]), Mind("b", ["At ten."])) == ["At ten.", Usage("b", "", 0, 0)]
    assert {one.provider: (one.served, one.failed) for one in health.snapshot()} == {"a": (0, 1), "b": (1, 0)}


async def test_once_something_was_delivered_nobody_begins_again():
    second = Mind("b", ["At ten."])
    with pytest.raises(AdapterError):
        await told(Mind("a", ["At ", fault()]), second)
    assert second.asked == 0


async def test_the_last_fault_is_the_chains():
    with pytest.raises(AdapterError) as caught:
        await told(Mind("a", [fault("provider_timeout")]), Mind("b", [fault("provider_quota")]))
    assert caught.value.code == "provider_quota"


async def test_one_that_failed_often_is_passed_over_and_not_warmed():
    first, second = Mind("a", [fault()]), Mind("b", ["At ten."])
    chain = FallbackModel([first, second])
    for _ in range(5):
        first_piece, *_ = [piece async for piece in chain.stream(ASKED, max_tokens=9)]
        assert first_piece == "At ten."
    assert (first.asked, second.asked) == (breaker.FAULTS, 5)
    await chain.warm()
    assert (first.warmed, second.warmed) == (0, 1)


async def test_the_last_resort_is_asked_even_so():
    only = Mind("a", [fault()])
    for _ in range(breaker.FAULTS + 2):
        with pytest.raises(AdapterError):
            await told(only)
    assert only.asked == breaker.FAULTS + 2


async def test_leaving_closes_the_one_that_answers():
    mind = Mind("a", ["At ", "nine."])
    answer = FallbackModel([mind]).stream(ASKED, max_tokens=9)
    assert await anext(answer) == "At "
    await answer.aclose()
    assert mind.closed


async def test_the_scripted_one_is_the_last_resort():
    (*words, cost) = await told(Mind("a", [fault()]), Scripted(), limit=99)
    assert "no language model is set up" in "".join(words)
    assert cost.provider == "scripted"


@dataclass
class Stalled(Mind):
    """Says nothing until it is left."""

    async def stream(self, messages: Any, **more: Any) -> Any:
        self.asked += 1
        try:
            await asyncio.Event().wait()
            yield ""
        finally:
            self.closed = True


async def test_one_that_says_nothing_is_followed_before_the_customer_is_given_up():
    first, second = Stalled("a", []), Mind("b", ["At ten."])
    answer = FallbackModel([first, second], seconds=0.05).stream(ASKED, max_tokens=9)
    assert [piece async for piece in answer] == ["At ten.", Usage("b", "", 0, 0)]
    assert first.closed
    (badly, _) = health.snapshot()
    assert (badly.provider, badly.failed, badly.last_error_code) == ("a", 1, "provider_timeout")


async def test_the_last_one_that_says_nothing_is_known_to_have_failed_when_it_is_left():
    first = Stalled("a", [])
    answer = FallbackModel([first], seconds=0.02).stream(ASKED, max_tokens=9)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.04):
            await anext(answer)
    await answer.aclose()
    assert first.closed
    assert [row.last_error_code for row in health.snapshot()] == ["provider_timeout"]


async def test_one_that_is_left_early_did_nothing_wrong():
    first = Stalled("a", [])
    answer = FallbackModel([first], seconds=60).stream(ASKED, max_tokens=9)
    asked = asyncio.ensure_future(anext(answer))
    while not first.asked:
        await asyncio.sleep(0)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    await answer.aclose()
    assert first.closed
    assert health.snapshot() == []
