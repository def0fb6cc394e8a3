"""Several web processes: sockets and commands that land elsewhere, hosts that stop and hosts that die."""

import asyncio
import time
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from project.errors import Conflict, NotFound
from sessions import services
from sessions.models import Session, Turn
from sessions.runtime import commands
from sessions.runtime.commands import HostUnreachable
from sessions.runtime.links import GOING_AWAY, REPLACED
from sessions.runtime.registry import Registry
from sessions.runtime.relay import encode


async def die(process: Registry) -> None:
    """Stop a process as kill -9 does: nothing is said, written or given back."""
    commands.unserve(process)
    process.broker._waiting.clear()
    assert process.scribe._task is not None
    tasks = [*process._tasks, *process.broker._tasks, process.scribe._task]
    for session in process.sessions.values():
        tasks += session._tasks
        if session.parts.media._driven is not None:
            process.pump.remove(session.parts.media._driven)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def send(created: Any, kind: str, **payload: Any) -> dict[str, Any]:
    """What a REST request does, in a thread of its own."""
    return await sync_to_async(commands.send, thread_sensitive=False)(created.session.pk, kind, payload)


async def test_a_socket_in_another_process_is_relayed_to_the_host(world: Any, begin: Any) -> None:
    created = await begin()
    host = world.front
    first = await world.join(created)
    second = await world.join(created, at=world.process(), since=0)
    assert await first.closed() == REPLACED
    assert created.session.pk not in world.front.sessions
    await second.connect_media()
    await second.say("user.text", text="Through the wall")
    assert (await second.event("reply.delta"))["text"] == "You said: Through the wall"
    await second.socket.send_to(bytes_data=b"\x03\x00" * 160)
    await second.say("user.shout")
    assert (await second.event("error"))["code"] == "unknown_message"
    assert bytes(host.sessions[created.session.pk].parts.conversation.heard) == b"\x03\x00" * 160
    assert second.seqs == list(range(1, len(second.seqs) + 1))
    await second.say("session.end")
    assert (await second.event("session.ended"))["reason"] == "client_ended"
    assert await second.closed() == 1000


async def test_a_relayed_socket_that_leaves_is_missed_by_the_host(world: Any, begin: Any) -> None:
    created = await begin()
    host = world.front
    await world.join(created)
    far = await world.join(created, at=world.process())
    await far.leave()
    async with asyncio.timeout(5):
        while host.sessions[created.session.pk].timers.socket_lost_at is None:
            await asyncio.sleep(0.01)
    assert host._doors == {}


async def test_a_host_that_stops_hands_its_sessions_over_at_once(world: Any, begin: Any) -> None:
    created = await begin()
    host = world.front
    first = await world.join(created)
    await first.connect_media()
    await first.say("user.text", text="Remember me")
    await first.event("reply.delta")
    seen, at_ms = first.seqs[-1], first.events[-1]["at_ms"]
    await host.stop()
    assert await first.closed() == GOING_AWAY
    async with asyncio.timeout(1.0):
        second = await world.join(created, at=world.process(), since=seen)
    assert second.seqs[0] == seen + 1
    assert second.events[-1]["at_ms"] >= at_ms
    talk = world.talk(created)
    assert [past.text for past in talk.setup.past] == ["Remember me", "You said: Remember me"]
    assert talk.setup.next_turn == 3


async def test_a_session_survives_the_death_of_its_host(world: Any, begin: Any) -> None:
    created = await begin()
    host = world.front
    first = await world.join(created)
    await first.connect_media()
    await first.say("user.text", text="Remember me")
    await first.event("reply.delta")
    seen, at_ms = first.seqs[-1], first.events[-1]["at_ms"]
    await asyncio.sleep(0.5)
    await die(host)
    second = await world.join(created, at=world.process(), since=seen - 1)  # waits for the lease to lapse
    assert [event["type"] for event in second.events] == ["reply.delta", "session.state"]
    assert second.seqs == [seen, seen + 1]
    assert second.events[-1]["at_ms"] > at_ms
    await second.connect_media()
    await second.say("user.text", text="Still there?")
    assert (await second.event("transcript.final"))["turn"] == 3
    await world.front.scribe.settled(5)
    assert await Turn.objects.filter(session=created.session).acount() == 4
    assert (await Session.objects.aget(pk=created.session.pk)).fence == 2


async def test_a_relayed_client_is_sent_away_when_the_host_died(world: Any, begin: Any) -> None:
    created = await begin()
    host = world.front
    await world.join(created)
    far = await world.join(created, at=world.process())
    await die(host)
    assert await far.closed() == GOING_AWAY
    back = await world.join(created)
    assert created.session.pk in world.front.sessions
    assert back.events[-1]["status"] == "active"


async def test_a_host_that_lost_its_lease_lets_go(world: Any, begin: Any) -> None:
    created = await begin()
    client = await world.join(created)
    await Session.objects.filter(pk=created.session.pk).aupdate(host="somebody else", fence=99)
    assert await client.closed() == GOING_AWAY
    assert world.front.sessions == {}
    session = await Session.objects.aget(pk=created.session.pk)
    assert (session.status, session.host, session.fence) == ("active", "somebody else", 99)


async def test_commands_reach_the_host_in_this_process_and_in_another(world: Any, begin: Any) -> None:
    created = await begin()
    client = await world.join(created)
    assert await send(created, "ask", text="Near") == {"turn": 2}
    commands.unserve(world.front)  # as a request in another process sees it
    assert await send(created, "say", text="Far") == {"turn": 3}
    assert await send(created, "interrupt") == {"turn": 3, "heard_text": "You"}
    await send(created, "end", reason="api_ended")
    assert (await client.event("session.ended"))["reason"] == "api_ended"
    assert (await Session.objects.aget(pk=created.session.pk)).end_reason == "api_ended"


async def test_commands_to_a_session_that_is_not_active_are_refused(world: Any, begin: Any) -> None:
    created = await begin()
    with pytest.raises(Conflict) as refused:
        await send(created, "ask", text="Anybody?")
    assert refused.value.code == "session_not_active"
    client = await world.join(created)
    await client.say("session.end")
    await client.closed()
    with pytest.raises(Conflict):
        await send(created, "ask", text="Anybody?")
    created.session.pk = "ses_" + "0" * 32
    with pytest.raises(NotFound):
        await send(created, "ask", text="Anybody?")


async def test_commands_to_a_dead_host_end_in_time(world: Any, begin: Any) -> None:
    created = await begin()
    await world.join(created)
    await die(world.front)
    began = asyncio.get_running_loop().time()
    with pytest.raises(HostUnreachable) as refused:
        await send(created, "interrupt")
    assert refused.value.status == 504
    assert asyncio.get_running_loop().time() - began < 4.0


async def test_two_sockets_at_once_make_one_host(world: Any, begin: Any) -> None:
    created = await begin()
    clients = await asyncio.gather(world.socket(created), world.socket(created))
    first = [await client.next() for client in clients]
    assert {event["type"] for event in first} == {"session.state"}
    assert len(world.front.sessions) == 1
    assert (await Session.objects.aget(pk=created.session.pk)).fence == 1


async def test_a_command_that_comes_too_late_is_not_carried_out(world: Any, begin: Any) -> None:
    created = await begin()
    await world.join(created)
    process, talk = world.front, world.talk(created)
    late = {"op": "command", "session": created.session.pk, "type": "say", "request": "r1"}
    process._receive(encode(late | {"payload": {"text": "Too late", "deadline": time.time() - 1}}))
    process._receive(encode(late | {"payload": {"text": "In time", "deadline": time.time() + 9}}))
    async with asyncio.timeout(5):
        while talk.turn < 2:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    assert talk.turn == 2
    await process.scribe.settled(5)
    assert [turn.text async for turn in Turn.objects.filter(session=created.session)] == ["In time"]


async def test_sound_that_took_too_long_to_fetch_is_not_played(
    world: Any, begin: Any, monkeypatch: Any
) -> None:
    created = await begin()
    await world.join(created)
    session = world.front.sessions[created.session.pk]

    async def slow(_: str) -> bytes:
        await asyncio.sleep(0.1)
        return bytes(9600)

    monkeypatch.setattr(session.parts, "sound_of", slow)
    payload = {"upload": {"key": "x"}, "deadline": time.time() + 0.05}
    with pytest.raises(Conflict):
        await world.front.command(created.session.pk, "say", payload)
    assert await world.front.command(created.session.pk, "say", payload | {"deadline": time.time() + 9})
    assert world.talk(created).turn == 2


async def test_the_last_turn_is_written_before_another_host_reads(
    world: Any, begin: Any, monkeypatch: Any
) -> None:
    real = services.turn_save

    def slow(*args: Any, **fields: Any) -> bool:
        time.sleep(0.3)
        return real(*args, **fields)

    monkeypatch.setattr("sessions.runtime.stage.services.turn_save", slow)
    created = await begin()
    client = await world.join(created)
    await client.say("user.text", text="At the last moment")
    await client.event("reply.delta")
    stopping = asyncio.create_task(world.front.stop())
    await world.join(created, at=world.process())
    assert [past.text for past in world.talk(created).setup.past] == [
        "At the last moment",
        "You said: At the last moment",
    ]
    await stopping
