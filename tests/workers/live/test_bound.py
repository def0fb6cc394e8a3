"""A session of a stateful model, from its process's side: one worker draws for it, until that is gone."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis

from tests.support.live_worker import PlayedWorker, until, wish
from tests.support.stateful import MODEL, tapes  # noqa: F401 - a fixture
from workers import dispatch, presence
from workers.live import client as module
from workers.live import pace, wire
from workers.live.client import RenderClient, RenderFailed
from workers.live.slots import HELD, holders, slots_held

LIVE = f"live.{MODEL}"
OPENING = {
    "model": MODEL,
    "bundle_key": "avatars/avt_1/v0001/bundle.bin",
    "bundle_sha256": "",
    "width": 128,
    "height": 160,
    "start_frame": 0,
}


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch, tapes: Any) -> None:  # noqa: F811
    monkeypatch.setattr(pace, "SHORTEST_SECONDS", 0.3)
    monkeypatch.setattr(module, "RENEW_SECONDS", 0.1)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.03)


def render(client: RenderClient, number: int = 0, **more: Any) -> "asyncio.Task[wire.RenderReply]":
    return asyncio.create_task(client.render(**wish(number, frames=4) | {"model": MODEL} | more))


async def take(worker: PlayedWorker, number: int, since: int = 0) -> wire.RenderRequest:
    """Take what was sent, and sent again, up to this request."""
    while True:
        request = await worker.take()
        if (request.number, request.since) == (number, since):
            return request


def played(url: str, name: str) -> PlayedWorker:
    return PlayedWorker(url, name, dispatch.worker_queue(name))


@pytest.fixture
async def first(broker: "redis.Redis", valkey: str) -> AsyncIterator[PlayedWorker]:
    presence.announce("render1@x", {LIVE: 2})
    made = played(valkey, "render1@x")
    yield made
    await made.broker.aclose()


@pytest.fixture
async def second(broker: "redis.Redis", valkey: str) -> AsyncIterator[PlayedWorker]:
    made = played(valkey, "render2@x")
    yield made
    await made.broker.aclose()


async def test_requests_go_to_the_worker_of_the_slot_alone(
    client: RenderClient, first: PlayedWorker, broker: "redis.Redis"
) -> None:
    asked = render(client, account="usr_1", first=True, last=True)
    request = await first.take()
    assert (request.first, request.last, request.account, request.since) == (True, True, "usr_1", 0)
    assert broker.llen(f"celery:{LIVE}") == 0
    await first.answer(request)
    assert (await asked).worker == "render1@x"


async def test_a_worker_is_told_what_the_session_has_already(
    client: RenderClient, first: PlayedWorker
) -> None:
    asked = [render(client, number) for number in (0, 1)]
    await first.answer(await take(first, 0))
    await asked[0]
    await first.answer(await take(first, 1, since=1))  # the second stayed unanswered, and was sent again
    await asked[1]


async def test_the_slot_is_taken_and_the_stream_opened_before_the_first_words(
    client: RenderClient, first: PlayedWorker, broker: "redis.Redis"
) -> None:
    client.hold("ses_1", **OPENING)
    request = await first.take()
    assert (request.opens, request.frames, request.model) == (True, 0, MODEL)
    assert slots_held(LIVE) == 1
    await first.answer(request, b"")
    member = request.member
    lapses = broker.zscore(f"{HELD}{LIVE}", member)
    await until(lambda: (broker.zscore(f"{HELD}{LIVE}", member) or 0) > lapses)  # it is kept in silence
    client.cancel("ses_1", 3)
    await until(lambda: broker.get(request.epoch_key) == b"3")
    assert holders(LIVE, [member]) == ["render1@x"]  # an interruption takes nothing away
    client.forget("ses_1")
    await until(lambda: slots_held(LIVE) == 0)
    assert int(broker.get(request.epoch_key) or 0) == wire.EVERYTHING


async def test_a_stateless_model_holds_nothing(client: RenderClient, broker: "redis.Redis") -> None:
    client.hold("ses_1", **OPENING | {"model": "mock"})
    await asyncio.sleep(0.15)
    assert slots_held("live.mock") == 0


async def test_a_session_that_waits_for_a_slot_gets_it_as_soon_as_there_is_one(
    client: RenderClient, second: PlayedWorker, broker: "redis.Redis"
) -> None:
    client.hold("ses_1", **OPENING)
    await until(lambda: broker.zcard(f"{HELD}{LIVE}:line") == 1)
    presence.announce("render2@x", {LIVE: 1})
    assert (await second.take()).opens


async def test_an_interruption_does_not_end_the_opening(client: RenderClient, first: PlayedWorker) -> None:
    client.hold("ses_1", **OPENING)
    await first.take()
    client.cancel("ses_1", 0)
    assert (await first.take()).opens  # it is still asked for


async def test_a_slot_is_let_go_although_the_broker_client_forgets_that_it_was_called_off(
    client: RenderClient, first: PlayedWorker, broker: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    take_slot, taking = client._slots.take, asyncio.Event()

    async def forgetful(*args: Any, **more: Any) -> Any:
        taking.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.05)
        return await take_slot(*args, **more)

    monkeypatch.setattr(client._slots, "take", forgetful)
    client.hold("ses_1", **OPENING)
    await taking.wait()
    client.forget("ses_1")
    async with asyncio.timeout(20):
        await client.close()


async def test_a_worker_that_is_at_it_is_not_asked_again(
    client: RenderClient, first: PlayedWorker, broker: "redis.Redis"
) -> None:
    asked = render(client)
    request = await first.take()
    broker.set(request.taken_key, "render1@x", px=60_000)
    await asyncio.sleep(1.0)  # several deadlines
    assert broker.llen(f"celery:{first.queue}") == 0
    await first.answer(request, b"late")
    assert (await asked).data == b"late"


async def test_a_session_moves_when_its_worker_is_dead(
    client: RenderClient, first: PlayedWorker, second: PlayedWorker
) -> None:
    one, two = render(client, 0), render(client, 1)
    await first.answer(await take(first, 0))
    assert (await one).worker == "render1@x"
    presence.announce("render2@x", {LIVE: 2})
    await second.answer(await take(second, 1, since=1), seam=True)
    reply = await two
    assert (reply.worker, reply.seam) == ("render2@x", True)
    after = render(client, 2)
    await second.answer(await take(second, 2, since=2))
    assert (await after).worker == "render2@x"


async def test_a_silent_session_moves_too_and_is_opened_there(
    client: RenderClient, first: PlayedWorker, second: PlayedWorker
) -> None:
    client.hold("ses_1", **OPENING)
    await first.answer(await first.take(), b"")
    presence.announce("render2@x", {LIVE: 2})
    presence.leave("render1@x", {LIVE: 2})
    assert (await second.take()).opens


async def test_errors_of_one_worker_lead_to_another(
    client: RenderClient, first: PlayedWorker, second: PlayedWorker
) -> None:
    asked = render(client)
    for _ in range(2):
        if _ == 1:
            presence.announce("render2@x", {LIVE: 2})
        await first.answer(await first.take(), error_code="model_lost", retryable=True)
    await second.answer(await second.take(), b"there")
    assert (await asked).data == b"there"


async def test_without_another_worker_the_same_one_is_asked_until_it_has_failed(
    client: RenderClient, first: PlayedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ATTEMPTS", 3)
    asked = render(client)
    for attempt in (1, 2, 3):
        request = await first.take()
        assert request.attempt == attempt
        await first.answer(request, error_code="model_busy", retryable=True)
    with pytest.raises(RenderFailed) as failed:
        await asked
    assert failed.value.code == "model_busy"


async def test_an_account_with_all_its_slots_is_told_so(
    broker: "redis.Redis", first: PlayedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = RenderClient("process-7", slot_seconds=0.2)
    await client.start()
    for session in ("ses_1", "ses_2"):
        client.admit(session, account="usr_1", allowed=1)
    client.hold("ses_1", **OPENING)
    await first.take()
    with pytest.raises(RenderFailed) as failed:
        await client.render(**wish(0, session="ses_2", frames=4) | {"model": MODEL})
    assert failed.value.code == "slot_allowance"
    client.forget("ses_1")
    await until(lambda: slots_held(LIVE) == 0)
    asked = render(client, session="ses_2")
    while (request := await first.take()).session != "ses_2":
        pass  # the stream of the other was asked for again
    await first.answer(request)
    await asked
    await client.close()


async def test_an_answer_for_another_session_is_nobodys(client: RenderClient, first: PlayedWorker) -> None:
    asked = render(client)
    request = await first.take()
    reply = wire.RenderReply(
        session="ses_2",
        incarnation=request.incarnation,
        epoch=request.epoch,
        number=request.number,
        data=b"theirs",
        frames=4,
        render_ms=1.0,
        queue_ms=1.0,
        worker="render1@x",
    )
    await first.broker.xadd(request.reply_to, wire.dump_reply(reply))
    await first.answer(request, b"ours")
    assert (await asked).data == b"ours"


async def test_what_was_sent_to_a_worker_that_is_gone_is_not_kept_for_ever(
    client: RenderClient, first: PlayedWorker, broker: "redis.Redis"
) -> None:
    asked = render(client)
    while not (keys := [key for key in broker.keys("*worker.render1@x*") if broker.type(key) == b"list"]):
        await asyncio.sleep(0.01)
    assert 0 < broker.ttl(keys[0]) <= 60
    asked.cancel()
