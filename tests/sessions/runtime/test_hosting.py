"""A session in the process that hosts it."""

import asyncio
from typing import Any
from unittest.mock import Mock

import pytest

from project.bench.peer import LightPeer
from project.metrics import instruments
from sessions.models import Session, Turn
from sessions.runtime.links import NORMAL, REPLACED
from tests.support.figures import timed


async def test_a_client_joins_is_told_everything_and_sees_the_idle_loop(world: Any, begin: Any) -> None:
    client = await world.join(await begin())
    state = client.events[-1]
    assert (state["seq"], state["status"], state["phase"], state["connected"]) == (1, "active", "idle", False)
    assert state["avatar"]["width"] == 160
    assert {"limits", "ice_servers", "may_say", "record", "consent", "language"} <= state.keys()
    await client.connect_media()
    await client.sees(10)
    assert client.peer.streams["audio"].packets >= 10


async def test_what_a_client_writes_is_answered_and_written_down(world: Any, begin: Any) -> None:
    created = await begin()
    client = await world.join(created)
    await client.say("user.text", text="Hello")
    assert (await client.event("transcript.final"))["turn"] == 1
    assert (await client.event("reply.delta"))["text"] == "You said: Hello"
    await world.front.scribe.settled(5)
    turns = [
        (turn.number, turn.who, turn.text) async for turn in Turn.objects.filter(session=created.session)
    ]
    assert turns == [(1, "user", "Hello"), (2, "avatar", "You said: Hello")]


async def test_numbers_of_events_grow_by_one_whatever_they_are(world: Any, begin: Any) -> None:
    client = await world.join(await begin())
    await client.connect_media()
    for kind in ("ping", "user.shout", "mic.start", "mic.stop", "avatar.interrupt", "rtc.restart"):
        await client.say(kind)
    await client.say("user.text", text="Hello")
    await client.event("reply.delta")
    assert client.seqs == list(range(1, len(client.seqs) + 1))


async def test_a_newer_socket_takes_the_session_over_and_hears_what_was_missed(
    world: Any, begin: Any
) -> None:
    created = await begin()
    old = await world.join(created)
    await old.connect_media()
    seen = old.seqs[-1]
    await old.say("user.text", text="One")
    await old.event("reply.delta")
    new = await world.join(created, since=seen)
    assert [event["type"] for event in new.events] == ["transcript.final", "reply.delta", "session.state"]
    assert new.seqs == [seen + 1, seen + 2, seen + 3]
    assert await old.closed() == REPLACED
    assert old.events[-1]["code"] == "replaced"
    await old.say("user.text", text="From the grave")
    await new.say("user.text", text="Two")
    assert (await new.event("transcript.final"))["text"] == "Two"


async def test_a_reload_keeps_the_conversation_and_replaces_the_peer(world: Any, begin: Any) -> None:
    created = await begin()
    first = await world.join(created)
    await first.connect_media()
    await first.say("user.text", text="One")
    await first.event("reply.delta")
    talk = world.talk(created)
    await first.leave()
    second = await world.join(created, since=0)
    await second.connect_media()
    await second.sees(5)
    assert world.talk(created) is talk
    assert talk.begun == 1
    assert world.front.sessions[created.session.pk].parts.media.connected


async def test_the_clock_of_the_session_goes_on_over_a_reload(world: Any, begin: Any) -> None:
    created = await begin()
    first = await world.join(created)
    await first.connect_media()
    media = world.front.sessions[created.session.pk].parts.media
    before = media.frame()
    await first.leave()
    await asyncio.sleep(0.4)
    second = await world.join(created)
    await second.connect_media()
    assert media.frame() >= before + 10


async def test_a_client_ends_its_session(world: Any, begin: Any) -> None:
    created = await begin()
    client = await world.join(created)
    await client.connect_media()
    talk = world.talk(created)
    await client.say("session.end")
    assert (await client.event("session.ended"))["reason"] == "client_ended"
    assert await client.closed() == NORMAL
    session = await Session.objects.aget(pk=created.session.pk)
    assert (session.status, session.end_reason) == ("ended", "client_ended")
    assert talk.closed
    assert world.front.sessions == {}
    late = await world.socket(created)
    assert (await late.event("error"))["code"] == "session_ended"


async def test_a_session_that_was_ended_in_the_database_ends_here(world: Any, begin: Any) -> None:
    from asgiref.sync import sync_to_async

    from sessions import services

    created = await begin()
    client = await world.join(created)
    await sync_to_async(services.session_end)(created.session.pk, "admin_ended")
    assert (await client.event("session.ended"))["reason"] == "admin_ended"
    assert await client.closed() == NORMAL


async def test_sound_over_the_socket_silences_the_microphone_of_the_peer(world: Any, begin: Any) -> None:
    created = await begin()
    client = await world.join(created)
    await client.connect_media()
    await client.socket.send_to(bytes_data=b"\x01\x00" * 320)
    talk = world.talk(created)
    async with asyncio.timeout(5):
        while not talk.heard:
            await asyncio.sleep(0.01)
    world.front.sessions[created.session.pk].microphone(b"\x02\x00" * 320)
    assert bytes(talk.heard) == b"\x01\x00" * 320


async def test_only_a_client_that_may_puts_words_into_the_mouth(world: Any, begin: Any) -> None:
    refused = await world.join(await begin())
    await refused.say("avatar.say", text="I am yours")
    assert (await refused.event("error"))["code"] == "say_not_allowed"
    allowed = await world.join(await begin(may_say=True))
    await allowed.say("avatar.say", text="Good morning")
    assert (await allowed.event("reply.delta"))["text"] == "Good morning"


@pytest.mark.parametrize(("sdp", "code"), [("hello", "sdp_invalid"), ("v=0\r\n", "sdp_without_video")])
async def test_a_bad_offer_is_named_and_disturbs_nobody(world: Any, begin: Any, sdp: str, code: str) -> None:
    client = await world.join(await begin())
    before = timed(instruments.webrtc_answer)
    await client.connect_media()
    await client.say("rtc.offer", sdp=sdp)
    assert (await client.event("error"))["code"] == code
    await client.sees(3)
    assert timed(instruments.webrtc_answer) - before == 1, "the one that was answered"


async def test_an_end_goes_on_when_whoever_asked_for_it_has_left(
    world: Any, begin: Any, monkeypatch: Any
) -> None:
    created = await begin()
    client = await world.join(created)
    talk = world.talk(created)
    release = asyncio.Event()

    async def slow() -> None:
        await release.wait()

    monkeypatch.setattr(talk, "close", slow)
    asked = asyncio.create_task(world.front.command(created.session.pk, "end", {"reason": "api_ended"}))
    await asyncio.sleep(0.05)
    asked.cancel()
    late = asyncio.create_task(world.socket(created))  # comes back while it ends
    await asyncio.sleep(0.2)
    assert world.front.sessions[created.session.pk].closed
    release.set()
    assert (await client.event("session.ended"))["reason"] == "api_ended"
    refused = await late
    assert (await refused.event("error"))["code"] == "session_ended"
    session = await Session.objects.aget(pk=created.session.pk)
    assert (session.status, session.fence) == ("ended", 1)
    assert world.front.sessions == {}


async def test_a_part_that_cannot_close_keeps_no_other_from_it(
    world: Any, begin: Any, monkeypatch: Any
) -> None:
    created = await begin()
    client = await world.join(created)
    await client.connect_media()

    async def broken() -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(world.talk(created), "close", broken)
    await client.say("session.end")
    assert (await client.event("session.ended"))["reason"] == "client_ended"
    assert len(world.front.pump._grid) == 0


async def test_a_client_that_leaves_while_its_session_is_opened_leaves_nothing_half_done(
    world: Any, begin: Any, monkeypatch: Any
) -> None:
    created = await begin()
    found = asyncio.Event()
    real = world.front.idle.get

    async def slowly(key: str) -> Any:
        await found.wait()
        return await real(key)

    monkeypatch.setattr(world.front.idle, "get", slowly)
    gone = await world.socket(created)
    await asyncio.sleep(0.2)
    assert (await Session.objects.aget(pk=created.session.pk)).status == "created"
    await gone.leave()
    found.set()
    back = await world.join(created)
    assert back.events[-1]["status"] == "active"
    assert (await Session.objects.aget(pk=created.session.pk)).fence == 1


async def test_a_session_that_cannot_be_hosted_takes_no_place(
    world: Any, begin: Any, monkeypatch: Any
) -> None:
    from project.errors import Unavailable

    created = await begin()

    async def away(_: str) -> Any:
        raise Unavailable("The storage does not answer.", code="storage_unavailable")

    with monkeypatch.context() as patched:
        patched.setattr(world.front.idle, "get", away)
        refused = await world.socket(created)
        assert (await refused.event("error"))["code"] == "storage_unavailable"
        assert await refused.closed() == 4503
    session = await Session.objects.aget(pk=created.session.pk)
    assert (session.status, session.host) == ("created", "")
    assert (await world.join(created)).events[-1]["status"] == "active"


async def test_a_session_that_gets_no_place_is_forgotten_where_it_was_to_be_drawn(
    world: Any, begin: Any, monkeypatch: Any
) -> None:
    from project.errors import Unavailable

    created = await begin()
    with monkeypatch.context() as patched:
        patched.setattr(
            "sessions.services.session_activate", Mock(side_effect=Unavailable("No.", code="away"))
        )
        refused = await world.socket(created)
        assert await refused.closed() == 4503
    assert created.session.pk not in world.front.client._sessions


async def test_candidates_that_come_before_the_answer_are_not_lost(
    world: Any, begin: Any, monkeypatch: Any
) -> None:
    from rtc.peer import Peer

    added: list[Any] = []
    real = Peer.answer

    async def slowly(*arguments: Any, **known: Any) -> Any:
        await asyncio.sleep(0.2)
        return await real(*arguments, **known)

    async def add(_: Peer, candidate: Any) -> None:
        added.append(candidate)

    monkeypatch.setattr(Peer, "answer", slowly)
    monkeypatch.setattr(Peer, "add_candidate", add)
    client = await world.join(await begin())
    peer = LightPeer()
    await client.say("rtc.offer", sdp=await peer.offer(), id=2)
    await client.say("rtc.candidate", candidate={"candidate": "of an older offer"}, id=1)
    await client.say("rtc.candidate", candidate={"candidate": "early"}, id=2)
    await client.event("rtc.answer", id=2)
    await client.say("rtc.candidate", candidate={"candidate": "late"}, id=2)
    async with asyncio.timeout(5):
        while len(added) < 2:
            await asyncio.sleep(0.01)
    assert [candidate["candidate"] for candidate in added] == ["early", "late"]
    await peer.close()


@pytest.mark.parametrize("how", ["leaves", "is replaced"])
async def test_a_pressed_button_is_released_when_its_client(world: Any, begin: Any, how: str) -> None:
    created = await begin()
    client = await world.join(created)
    await client.say("mic.start")
    await client.say("ping")
    await client.event("pong")
    if how == "leaves":
        await client.leave()
    await world.join(created)
    assert world.talk(created).microphone == ["start", "stop"]
