"""Who may speak: as many as the workers carry, the longest waiting first."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis
import redis.asyncio as aioredis

from tests.support.live_worker import QUEUE, PlayedWorker, until, wish
from workers import presence
from workers.live import slots as module
from workers.live.client import RenderClient, RenderFailed
from workers.live.slots import Slots


@pytest.fixture
async def slots(broker: "redis.Redis", valkey: str) -> AsyncIterator[Slots]:
    async with aioredis.Redis.from_url(valkey) as connection:
        yield Slots(connection)


async def test_there_are_as_many_as_the_workers_say(slots: Slots, broker: "redis.Redis") -> None:
    presence.announce("live2@x", {QUEUE: 2})
    taken = [await slots.take(QUEUE, f"ses_{number}") for number in range(8)]
    assert [slot.granted for slot in taken] == [True] * 6 + [False] * 2
    assert [slot.position for slot in taken[6:]] == [1, 2]
    assert module.slots_held(QUEUE) == 6


async def test_the_worker_with_the_most_room_is_next(slots: Slots) -> None:
    presence.announce("live2@x", {QUEUE: 2})
    owners = [(await slots.take(QUEUE, f"ses_{number}")).worker for number in range(6)]
    assert owners[:2] == ["live1@x", "live1@x"]
    assert sorted(owners) == ["live1@x"] * 4 + ["live2@x"] * 2


async def test_who_holds_one_keeps_it_and_takes_no_second(slots: Slots, broker: "redis.Redis") -> None:
    first = await slots.take(QUEUE, "ses_1")
    assert await slots.take(QUEUE, "ses_1") == first
    assert module.slots_held(QUEUE) == 1


async def test_one_that_is_given_back_goes_to_who_waits_longest(slots: Slots) -> None:
    for number in range(4):
        await slots.take(QUEUE, f"ses_{number}")
    await slots.take(QUEUE, "patient")
    await slots.take(QUEUE, "late")
    await slots.release(QUEUE, "ses_2")
    assert (await slots.take(QUEUE, "late")).position == 2
    assert (await slots.take(QUEUE, "patient")).granted
    assert (await slots.take(QUEUE, "late")).position == 1


async def test_one_that_is_not_renewed_lapses(slots: Slots) -> None:
    for number in range(4):
        await slots.take(QUEUE, f"ses_{number}", lease_ms=100)
    await slots.take(QUEUE, "ses_0", lease_ms=60_000)
    assert not (await slots.take(QUEUE, "ses_9")).granted
    await asyncio.sleep(0.15)
    granted = [
        (await slots.take(QUEUE, name)).granted for name in ("ses_8", "ses_9", "ses_8", "ses_7", "ses_6")
    ]
    assert granted == [False, True, True, True, False]  # ses_9 was first in line, ses_0 renewed its own


async def test_what_nobody_asks_for_any_more_goes_by_itself(slots: Slots, broker: "redis.Redis") -> None:
    for number in range(5):
        await slots.take(QUEUE, f"ses_{number}")
    await slots.take(QUEUE, "ses_0", lease_ms=60_000)  # as long as the longest lease asks for
    await slots.take(QUEUE, "ses_1")
    held, owners, line, asked, _ = module._keys(QUEUE)
    assert all(60_000 < broker.pttl(key) <= 120_000 for key in (held, owners))
    assert all(0 < broker.pttl(key) <= 2 * module.WAITING_MS for key in (line, asked))


async def test_who_keeps_a_slot_does_not_look_at_the_line(slots: Slots, broker: "redis.Redis") -> None:
    await slots.take(QUEUE, "ses_1")
    broker.config_resetstat()
    await slots.take(QUEUE, "ses_1")
    told: dict[str, Any] = broker.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): of["calls"] for name, of in told.items() if "config" not in name}
    assert calls.pop("pexpire", 0) <= 2  # a slow machine may be the first to find them old
    assert calls == {"evalsha": 1, "time": 1, "zrangebyscore": 1, "hget": 1, "zadd": 1, "pttl": 2}


async def test_keeping_a_slot_prolongs_no_key_that_lives_long_enough(
    slots: Slots, broker: "redis.Redis"
) -> None:
    await slots.take(QUEUE, "ses_1")
    broker.config_resetstat()
    for _ in range(5):
        await slots.take(QUEUE, "ses_1")
    calls: dict[str, Any] = broker.info("commandstats")
    assert calls["cmdstat_evalsha"]["calls"] == 5
    assert "cmdstat_pexpire" not in calls
    held, owners = module._keys(QUEUE)[:2]
    assert all(broker.pttl(key) > 1.4 * module.LEASE_MS for key in (held, owners))


async def test_a_key_that_grows_old_is_prolonged(slots: Slots, broker: "redis.Redis") -> None:
    await slots.take(QUEUE, "ses_1")
    keys = module._keys(QUEUE)[:2]
    for key in keys:
        broker.pexpire(key, module.LEASE_MS)
    await slots.take(QUEUE, "ses_1")
    assert all(broker.pttl(key) > 1.5 * module.LEASE_MS for key in keys)


async def test_who_stopped_asking_holds_nobody_up(slots: Slots, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING_MS", 50)
    for number in range(4):
        await slots.take(QUEUE, f"ses_{number}")
    await slots.take(QUEUE, "gone")
    await asyncio.sleep(0.1)
    assert (await slots.take(QUEUE, "next")).position == 1


async def test_a_worker_that_left_or_fell_silent_is_not_counted_on(
    slots: Slots, broker: "redis.Redis"
) -> None:
    presence.announce("live2@x", {QUEUE: 2})
    presence.leave("live1@x", {QUEUE: 4})
    assert [(await slots.take(QUEUE, f"ses_{n}")).granted for n in range(3)] == [True, True, False]
    broker.hset(f"{presence.LIVE}{QUEUE}", "live3@x", f"9:{int(time.time() * 1000) - 1}")
    assert not (await slots.take(QUEUE, "ses_2")).granted


async def test_a_larger_picture_needs_more_of_them(slots: Slots) -> None:
    assert [module.weight_of(*size) for size in ((128, 160), (512, 640), (768, 960))] == [1, 1, 2]
    assert (await slots.take(QUEUE, "large", weight=3)).granted
    assert (await slots.take(QUEUE, "small")).granted
    assert module.slots_held(QUEUE) == 4
    assert (await slots.take(QUEUE, "next")).position == 1


async def test_one_that_needs_more_is_not_passed_by_smaller_ones(slots: Slots) -> None:
    for number in range(3):
        await slots.take(QUEUE, f"ses_{number}")
    assert not (await slots.take(QUEUE, "large", weight=2)).granted
    assert (await slots.take(QUEUE, "small")).position == 2
    await slots.release(QUEUE, "ses_0")
    assert not (await slots.take(QUEUE, "small")).granted
    assert (await slots.take(QUEUE, "large", weight=2)).granted


async def test_one_that_needs_more_than_there_are_speaks_alone(slots: Slots) -> None:
    assert (await slots.take(QUEUE, "huge", weight=9)).granted
    assert not (await slots.take(QUEUE, "small")).granted
    await slots.release(QUEUE, "huge")
    assert (await slots.take(QUEUE, "small")).granted


async def test_many_at_once_get_no_more_than_there_are(slots: Slots, broker: "redis.Redis") -> None:
    taken = await asyncio.gather(*(slots.take(QUEUE, f"ses_{number}") for number in range(40)))
    assert sum(slot.granted for slot in taken) == 4
    assert sorted(slot.position for slot in taken if not slot.granted) == list(range(1, 37))


async def test_a_session_waits_for_its_turn(
    client: RenderClient, worker: PlayedWorker, slots: Slots, broker: "redis.Redis"
) -> None:
    for number in range(4):
        await slots.take(QUEUE, f"ses_{number}", lease_ms=60_000)
    asked = asyncio.create_task(client.render(**wish(session="ses_9")))
    await until(lambda: broker.zcard(f"{module.HELD}{QUEUE}:line") == 1)
    await slots.release(QUEUE, "ses_3")
    await worker.answer(await worker.take())
    assert (await asked).data == b"mp4"


async def test_without_a_slot_in_time_the_request_fails(broker: "redis.Redis") -> None:
    presence.leave("live1@x", {QUEUE: 4})
    client = RenderClient("process-2", slot_seconds=0.2)
    await client.start()
    with pytest.raises(RenderFailed) as failed:
        await client.render(**wish())
    assert failed.value.code == "no_slot"
    assert broker.llen(f"celery:{QUEUE}") == 0
    await client.close()


async def test_an_interrupted_session_gives_its_slot_back_and_takes_it_again(
    client: RenderClient, worker: PlayedWorker, broker: "redis.Redis"
) -> None:
    asked = asyncio.create_task(client.render(**wish(1, epoch=0)))
    await worker.answer(await worker.take())
    await asked
    assert module.slots_held(QUEUE) == 1
    client.cancel("ses_1", 0)
    asked = asyncio.create_task(client.render(**wish(2, epoch=1)))
    await worker.answer(await worker.take())
    await asked
    assert module.slots_held(QUEUE) == 1
    client.forget("ses_1")
    await until(lambda: module.slots_held(QUEUE) == 0)


# --- Streams that one worker alone can draw ------------------------------------------------------

BOUND: dict[str, Any] = {"bound": ["live.viseme", QUEUE]}


async def test_a_stream_moves_when_its_worker_is_gone(slots: Slots, broker: "redis.Redis") -> None:
    presence.announce("live2@x", {QUEUE: 2})
    assert (await slots.take(QUEUE, "ses_1", **BOUND)).worker == "live1@x"
    presence.leave("live1@x", {QUEUE: 4})
    assert (await slots.take(QUEUE, "ses_1", **BOUND)).worker == "live2@x"
    assert (await slots.take(QUEUE, "ses_1", **BOUND)).worker == "live2@x"
    assert module.slots_held(QUEUE) == 1


async def test_without_another_worker_one_that_is_gone_is_waited_for_in_line(
    slots: Slots, broker: "redis.Redis"
) -> None:
    await slots.take(QUEUE, "ses_1", **BOUND)
    presence.leave("live1@x", {QUEUE: 4})
    assert (await slots.take(QUEUE, "ses_1", **BOUND)).position == 1
    assert module.slots_held(QUEUE) == 0
    presence.announce("live3@x", {QUEUE: 1})
    assert (await slots.take(QUEUE, "ses_1", **BOUND)).worker == "live3@x"


async def test_a_worker_that_does_not_answer_is_left_only_where_there_is_another(
    slots: Slots, broker: "redis.Redis"
) -> None:
    await slots.take(QUEUE, "ses_1", **BOUND)
    assert (await slots.take(QUEUE, "ses_1", avoid="live1@x", **BOUND)).worker == "live1@x"
    presence.announce("live2@x", {QUEUE: 1})
    assert (await slots.take(QUEUE, "ses_1", avoid="live1@x", **BOUND)).worker == "live2@x"
    # The second of two requests that found it silent does not send the stream back.
    assert (await slots.take(QUEUE, "ses_1", avoid="live1@x", **BOUND)).worker == "live2@x"


async def test_a_stream_needs_room_on_one_worker_not_on_all_together(
    slots: Slots, broker: "redis.Redis"
) -> None:
    presence.announce("live2@x", {QUEUE: 4})
    for number in range(6):
        assert (await slots.take(QUEUE, f"ses_{number}", **BOUND)).granted
    assert not (await slots.take(QUEUE, "large", weight=2, **BOUND)).granted
    assert (await slots.take(QUEUE, "wide", weight=2)).position == 2


async def test_what_a_worker_draws_of_other_models_counts(slots: Slots, broker: "redis.Redis") -> None:
    presence.announce("live1@x", {QUEUE: 4, "live.viseme": 8})
    presence.announce("live2@x", {QUEUE: 3})
    for number in range(3):
        assert (await slots.take("live.viseme", f"other_{number}")).worker == "live1@x"
    assert (await slots.take(QUEUE, "ses_1", **BOUND)).worker == "live2@x"
    await slots.release("live.viseme", "other_0")
    await slots.release("live.viseme", "other_1")
    await slots.release("live.viseme", "other_2")
    assert (await slots.take(QUEUE, "ses_2", **BOUND)).worker == "live1@x"


async def test_a_worker_that_does_not_serve_the_model_gets_no_stream(
    slots: Slots, broker: "redis.Redis"
) -> None:
    presence.leave("live1@x", {QUEUE: 4})
    presence.announce("live9@x", {"live.viseme": 8})
    assert not (await slots.take(QUEUE, "ses_1", **BOUND)).granted


async def test_it_is_known_on_which_worker_a_slot_counts(slots: Slots, broker: "redis.Redis") -> None:
    await slots.take(QUEUE, "ses_1", **BOUND)
    await slots.take(QUEUE, "ses_2", lease_ms=30, **BOUND)
    await asyncio.sleep(0.05)
    assert module.holders(QUEUE, ["ses_1", "ses_2", "ses_3"]) == ["live1@x", "", ""]


# --- Allowances ----------------------------------------------------------------------------------

MINE: dict[str, Any] = {"account": "usr_1", "allowed": 2}


async def test_an_account_holds_no_more_than_it_is_allowed(slots: Slots) -> None:
    assert [(await slots.take(QUEUE, f"ses_{n}", **MINE)).granted for n in range(2)] == [True, True]
    third = await slots.take(QUEUE, "ses_2", **MINE)
    assert (third.granted, third.refused) == (False, True)
    assert (await slots.take(QUEUE, "other", account="usr_2", allowed=2)).granted
    assert (await slots.take(QUEUE, "ses_0", **MINE)).granted  # it keeps what it holds


async def test_who_is_refused_stands_in_nobodys_way(slots: Slots) -> None:
    for number in range(3):
        await slots.take(QUEUE, f"ses_{number}", **MINE)
    assert (await slots.take(QUEUE, "other", account="usr_2", allowed=2)).granted


async def test_an_account_gets_its_share_back(slots: Slots, broker: "redis.Redis") -> None:
    await slots.take(QUEUE, "ses_0", **MINE)
    await slots.take(QUEUE, "ses_1", lease_ms=40, **MINE)
    assert (await slots.take(QUEUE, "ses_2", **MINE)).refused
    await slots.release(QUEUE, "ses_0", account="usr_1")
    assert (await slots.take(QUEUE, "ses_2", **MINE)).granted
    await asyncio.sleep(0.06)
    assert (await slots.take(QUEUE, "ses_3", **MINE)).granted


async def test_the_slots_of_all_models_count_for_an_account(slots: Slots, broker: "redis.Redis") -> None:
    presence.announce("live1@x", {QUEUE: 4, "live.viseme": 8})
    await slots.take("live.viseme", "ses_0", **MINE)
    await slots.take(QUEUE, "ses_1", **MINE)
    assert (await slots.take("live.viseme", "ses_2", **MINE)).refused


async def test_large_pictures_count_as_what_they_take_but_never_forbid_a_single_session(
    slots: Slots,
) -> None:
    assert (await slots.take(QUEUE, "ses_0", weight=3, **MINE)).granted
    assert (await slots.take(QUEUE, "ses_1", **MINE)).refused
