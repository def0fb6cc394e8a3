"""What a session's process does with requests and replies, whatever becomes of workers and broker."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest
import redis

from tests.support.live_worker import QUEUE, PlayedWorker, until, wish
from workers.adapters.avatar.base import Phone
from workers.live import client as module
from workers.live import pace, wire
from workers.live.client import RenderCancelled, RenderClient, RenderFailed


@pytest.fixture(autouse=True)
def short_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "SHORTEST_SECONDS", 0.15)


async def test_a_request_arrives_whole_and_its_reply_returns(
    client: RenderClient, worker: PlayedWorker
) -> None:
    phones = (Phone("ə", -40, 20), Phone("m", 20, 90))
    asked = asyncio.create_task(client.render(**wish(7, epoch=3, frames=2) | {"phones": phones, "crf": 31}))
    request = await worker.take()
    assert (request.session, request.epoch, request.number, request.attempt) == ("ses_1", 3, 7, 1)
    assert (request.phones, request.crf, request.pcm16k) == (phones, 31, bytes(2560))
    assert request.deadline_at > request.published_at > time.time() - 5
    await worker.answer(request, b"\x00\xffmp4\r\n")
    reply = await asked
    assert (reply.data, reply.frames, reply.worker) == (b"\x00\xffmp4\r\n", 2, "live1@x")


async def test_replies_find_their_request_in_any_order(client: RenderClient, worker: PlayedWorker) -> None:
    asked = [asyncio.create_task(client.render(**wish(1, session=f"ses_{name}"))) for name in "abc"]
    requests = [await worker.take() for _ in asked]
    for request in reversed(requests):
        await worker.answer(request, request.session.encode())
    assert [(await one).data for one in asked] == [b"ses_a", b"ses_b", b"ses_c"]


async def test_a_session_has_two_requests_in_flight_and_no_more(
    client: RenderClient, worker: PlayedWorker, broker: "redis.Redis"
) -> None:
    asked = [asyncio.create_task(client.render(**wish(number))) for number in (1, 2, 3)]
    first, second = await worker.take(), await worker.take()
    assert {first.number, second.number} == {1, 2}
    await asyncio.sleep(0.05)
    assert broker.llen(f"celery:{QUEUE}") == 0
    await worker.answer(second)
    third = await worker.take()
    assert third.number == 3
    await worker.answer(first)
    await worker.answer(third)
    assert [(await one).number for one in asked] == [1, 2, 3]


async def test_a_request_that_stays_unanswered_is_sent_again_under_its_number(
    client: RenderClient, worker: PlayedWorker
) -> None:
    asked = asyncio.create_task(client.render(**wish(1)))
    lost = await worker.take()
    again = await worker.take()
    assert (again.number, again.attempt, again.taken_key) == (1, 2, lost.taken_key)
    assert again.deadline_at - again.published_at > lost.deadline_at - lost.published_at
    await worker.answer(again, b"second")
    assert (await asked).data == b"second"


async def test_the_answer_to_the_first_sending_counts_as_well(
    client: RenderClient, worker: PlayedWorker
) -> None:
    asked = asyncio.create_task(client.render(**wish(1)))
    slow = await worker.take()
    again = await worker.take()
    await worker.answer(slow, b"first")
    assert (await asked).data == b"first"
    await worker.answer(again, b"second")  # nobody waits for it; nothing happens
    asked = asyncio.create_task(client.render(**wish(2)))
    await worker.answer(await worker.take(), b"other")
    assert (await asked).data == b"other"


async def test_after_several_attempts_it_has_failed(
    client: RenderClient, worker: PlayedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ATTEMPTS", 3)
    with pytest.raises(RenderFailed) as failed:
        await client.render(**wish(1))
    assert failed.value.code == "render_timeout"
    assert [(await worker.take()).attempt for _ in range(3)] == [1, 2, 3]


async def test_a_worker_that_says_never_is_believed(client: RenderClient, worker: PlayedWorker) -> None:
    asked = asyncio.create_task(client.render(**wish(1)))
    await worker.answer(await worker.take(), error_code="object_damaged")
    with pytest.raises(RenderFailed) as failed:
        await asked
    assert failed.value.code == "object_damaged"


async def test_a_worker_that_says_not_now_is_asked_again(client: RenderClient, worker: PlayedWorker) -> None:
    asked = asyncio.create_task(client.render(**wish(1)))
    await worker.answer(await worker.take(), error_code="storage_unavailable", retryable=True)
    again = await worker.take()
    assert again.attempt == 2
    await worker.answer(again)
    assert (await asked).data == b"mp4"


async def test_an_interruption_ends_what_is_older_and_tells_the_workers(
    client: RenderClient, worker: PlayedWorker, broker: "redis.Redis"
) -> None:
    old = [asyncio.create_task(client.render(**wish(number, epoch=4))) for number in (1, 2, 3)]
    request = await worker.take()
    client.cancel("ses_1", 4)
    for one in old:
        with pytest.raises(RenderCancelled):
            await one
    await until(lambda: broker.get(request.epoch_key) == b"4")
    with pytest.raises(RenderCancelled):
        await client.render(**wish(4, epoch=4))
    await worker.take()
    new = asyncio.create_task(client.render(**wish(1, epoch=5)))
    await worker.answer(await worker.take(), b"new")
    assert (await new).data == b"new"


async def test_a_wait_that_is_cancelled_leaves_nothing_behind(
    client: RenderClient, worker: PlayedWorker
) -> None:
    for number in range(1, 6):  # more than are in flight at once
        asked = asyncio.create_task(client.render(**wish(number)))
        await worker.take()
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
    assert client._pending == {}


async def test_another_host_of_the_session_is_not_taken_for_the_first(
    client: RenderClient, worker: PlayedWorker
) -> None:
    asked = asyncio.create_task(client.render(**wish(1)))
    before = await worker.take()
    client.forget("ses_1")
    with pytest.raises(RenderCancelled):
        await asked
    asked = asyncio.create_task(client.render(**wish(1)))
    after = await worker.take()
    assert after.taken_key != before.taken_key
    assert after.epoch_key != before.epoch_key
    await worker.answer(before, b"of the first")
    await worker.answer(after, b"of the second")
    assert (await asked).data == b"of the second"


async def test_the_stream_of_replies_is_trimmed_as_it_is_read(
    client: RenderClient, worker: PlayedWorker, broker: "redis.Redis"
) -> None:
    for number in range(1, 21):
        asked = asyncio.create_task(client.render(**wish(number)))
        await worker.answer(await worker.take(), bytes(50_000))
        await asked
    await until(lambda: broker.xlen("live:replies:process-1") == 0)


async def test_nonsense_in_the_stream_harms_nobody(
    client: RenderClient, worker: PlayedWorker, broker: "redis.Redis"
) -> None:
    broker.xadd("live:replies:process-1", {"head": "{", "data": "x"})
    broker.xadd("live:replies:process-1", {"other": "field"})
    asked = asyncio.create_task(client.render(**wish(1)))
    await worker.answer(await worker.take())
    assert (await asked).data == b"mp4"


async def test_closing_ends_every_wait(broker: "redis.Redis") -> None:
    client = RenderClient("process-2")
    await client.start()
    asked = [asyncio.create_task(client.render(**wish(number))) for number in (1, 2, 3)]
    await until(lambda: broker.llen(f"celery:{QUEUE}") == 2)
    await client.close()
    for one in asked:
        with pytest.raises((module.RenderUnavailable, RenderCancelled)):
            await one


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]\nAAAA", '{"session": 1}\n', "null\n", "{" * 2000],
)
def test_a_message_that_is_no_request_is_refused(text: str) -> None:
    with pytest.raises(wire.WireError):
        wire.load_request(text)


def _request(**fields: Any) -> wire.RenderRequest:
    rest = {"incarnation": "i", "reply_to": "r", "phones": (), "crf": 23}
    return wire.RenderRequest(**fields, **rest, published_at=0, deadline_at=0)


def test_sound_of_the_wrong_length_is_refused() -> None:
    request = _request(**wish(1))
    silent = wire.load_request(wire.dump_request(request))
    assert wire.with_sound(silent, request.pcm16k) == request
    for frames in (4, 6, 0, -1):
        with pytest.raises(wire.WireError):
            wire.with_sound(replace(silent, frames=frames), request.pcm16k)
    with pytest.raises(wire.WireError):
        wire.with_sound(silent, request.pcm16k[:-1])


def test_deadlines_follow_what_requests_take() -> None:
    kept = pace.Pace()
    request = _request(**wish(1, frames=25) | {"width": 512, "height": 640})
    first = kept.deadline_seconds(request, 1)
    for _ in range(50):
        kept.took(request, 0.3)
    assert kept.deadline_seconds(request, 1) == pytest.approx(1.2, rel=0.05)
    assert kept.deadline_seconds(request, 1) > first
    assert kept.deadline_seconds(request, 2) == 2 * kept.deadline_seconds(request, 1)
    for _ in range(50):
        kept.took(request, 60.0)
    assert kept.deadline_seconds(request, 1) == pace.LONGEST_SECONDS
