"""Sessions that end because nothing happens, or too much time passes; and those that wait."""

import asyncio
from typing import Any

from sessions.models import Session
from sessions.runtime import host
from sessions.runtime.host import LiveSession


def hosted(world: Any, created: Any) -> LiveSession:
    return world.front.sessions[created.session.pk]  # type: ignore[no-any-return]


async def ended(client: Any, created: Any) -> str:
    reason = (await client.event("session.ended"))["reason"]
    assert (await Session.objects.aget(pk=created.session.pk)).end_reason == reason
    return str(reason)


async def test_a_client_that_never_connects_ends(world: Any, begin: Any, settings: Any) -> None:
    settings.LIVE_CONNECT_TIMEOUT_SECONDS = 1
    created = await begin()
    assert await ended(await world.join(created), created) == "connect_timeout"


async def test_a_silent_session_ends(world: Any, begin: Any, settings: Any) -> None:
    settings.LIVE_IDLE_TIMEOUT_SECONDS = 1
    created = await begin()
    client = await world.join(created)
    await client.connect_media()
    assert await ended(client, created) == "idle_timeout"


async def test_a_session_that_lost_its_client_ends(world: Any, begin: Any, settings: Any) -> None:
    settings.LIVE_RECONNECT_SECONDS = 1
    created = await begin()
    client = await world.join(created)
    await client.connect_media()
    await client.peer.close()
    await client.event("session.state", connected=False)
    assert await ended(client, created) == "disconnected"


async def test_the_longest_duration_is_announced_and_kept(world: Any, begin: Any) -> None:
    created = await begin(max_duration_seconds=1800)
    client = await world.join(created)
    await client.connect_media()
    session = hosted(world, created)
    session.timers.active_at -= 1745  # type: ignore[operator]
    warning = await client.event("session.state", warning="max_duration")
    assert 50 <= warning["ends_in_seconds"] <= 56
    session.timers.active_at -= 55
    assert await ended(client, created) == "max_duration"


async def test_those_who_wait_are_told_their_place_until_it_is_their_turn(
    world: Any, begin: Any, settings: Any
) -> None:
    settings.LIVE_MAX_SESSIONS = 1
    one, two, three = await begin(), await begin(), await begin()
    first = await world.join(one)
    second, third = await world.join(two), await world.join(three)
    assert [client.events[-1]["status"] for client in (first, second, third)] == [
        "active",
        "queued",
        "queued",
    ]
    assert [client.events[-1]["position"] for client in (second, third)] == [1, 2]
    await third.say("user.text", text="Is it my turn?")
    assert (await third.event("error"))["code"] == "session_not_active"
    await first.say("session.end")
    await second.event("session.state", status="active", position=None)
    await third.event("session.state", status="queued", position=1)
    await second.connect_media()
    await second.say("user.text", text="My turn")
    await second.event("reply.delta")


async def test_who_leaves_the_queue_ends(world: Any, begin: Any, settings: Any) -> None:
    settings.LIVE_MAX_SESSIONS = 1
    one, two = await begin(), await begin()
    await world.join(one)
    second = await world.join(two)
    await second.say("session.end")
    assert await ended(second, two) == "client_ended"


async def test_waiting_too_long_ends(world: Any, begin: Any, settings: Any) -> None:
    settings.LIVE_MAX_SESSIONS, settings.LIVE_QUEUE_TIMEOUT_SECONDS = 1, 1
    one, two = await begin(), await begin()
    await world.join(one)
    assert await ended(await world.join(two), two) == "queue_timeout"


async def test_nothing_is_left_of_sessions_that_ended(world: Any, begin: Any) -> None:
    async def talk() -> None:
        created = await begin()
        client = await world.join(created)
        await client.connect_media()
        again = await world.join(created, since=1)
        await again.connect_media()
        await again.say("session.end")
        await again.closed()
        await client.leave()
        await again.leave()
        world.clients.clear()

    await talk()
    await asyncio.sleep(0.3)
    tasks = len(asyncio.all_tasks())
    for _ in range(5):
        await talk()
    async with asyncio.timeout(5):
        while len(asyncio.all_tasks()) > tasks:
            await asyncio.sleep(0.05)
    process = world.front
    kept = (process.sessions, process._doors, process._told, process._opening, process.scribe._waiting)
    assert not any(kept)
    assert len(process.pump._grid) == 0
    assert process.client._sessions == {}


async def test_the_avatar_ends_the_call_when_its_last_words_have_arrived(
    world: Any, begin: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(host, "GOODBYE_SECONDS", 0.05)
    created = await begin()
    client = await world.join(created)
    await client.connect_media()
    hosted(world, created).said_goodbye()
    assert await ended(client, created) == "avatar_ended"
