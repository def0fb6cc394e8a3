"""Strangers, nonsense and floods: each gets a named error, and nobody else is disturbed."""

import asyncio
import json
from typing import Any

import pytest

from sessions.models import Session
from sessions.runtime.links import BAD_MESSAGE, BAD_ORIGIN, BAD_TOKEN, TOO_MUCH
from sessions.runtime.messages import MAX_AUDIO_BYTES


async def turned_away(world: Any, created: Any, **how: Any) -> tuple[str, int]:
    client = await world.socket(created, **how)
    error = await client.event("error")
    return error["code"], await client.closed()


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("", ("token_invalid", BAD_TOKEN)),
        ("token=wrong", ("token_invalid", BAD_TOKEN)),
        ("token=" + "x" * 5000, ("token_invalid", BAD_TOKEN)),
        ("token=%00%ff", ("token_invalid", BAD_TOKEN)),
    ],
)
async def test_a_bad_token_opens_nothing(world: Any, begin: Any, query: str, answer: Any) -> None:
    created = await begin()
    assert await turned_away(world, created, query=query) == answer
    assert world.front.sessions == {}


async def test_the_token_of_another_session_opens_nothing(world: Any, begin: Any) -> None:
    one, two = await begin(), await begin()
    assert await turned_away(world, one, query=f"token={two.client_token}") == ("token_invalid", BAD_TOKEN)


async def test_a_token_that_was_not_used_in_time_opens_nothing(world: Any, begin: Any) -> None:
    created = await begin()
    await Session.objects.filter(pk=created.session.pk).aupdate(token_expires_at="2020-01-01T00:00:00Z")
    assert await turned_away(world, created) == ("token_expired", BAD_TOKEN)


async def test_pages_of_other_sites_are_turned_away(world: Any, begin: Any, settings: Any) -> None:
    settings.PUBLIC_URL = "https://parley.example.com"
    created = await begin(allowed_origins=["https://shop.example.com"])
    answer = ("forbidden_origin", BAD_ORIGIN)
    assert await turned_away(world, created, origin="https://evil.example.com") == answer
    assert await turned_away(world, created, origin="null") == answer
    for origin in ("https://shop.example.com", "https://parley.example.com"):
        await world.join(created, origin=origin)


@pytest.mark.parametrize("since", ["-1", "x", "1e9", "9" * 30])
async def test_a_bad_since_is_named(world: Any, begin: Any, since: str) -> None:
    created = await begin()
    query = f"token={created.client_token}&since={since}"
    assert await turned_away(world, created, query=query) == ("invalid_since", BAD_MESSAGE)


async def test_a_query_of_many_fields_is_named(world: Any, begin: Any) -> None:
    created = await begin()
    query = f"token={created.client_token}&" + "a=b&" * 20
    assert await turned_away(world, created, query=query) == ("invalid_query", BAD_MESSAGE)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"text_data": "nonsense"}, "message_malformed"),
        ({"text_data": '{"type": "nonsense"}'}, "unknown_message"),
        ({"text_data": '{"type": "user.text", "text": {}}'}, "invalid_field"),
        ({"text_data": json.dumps({"type": "user.text", "text": "x" * 70_000})}, "message_too_large"),
        ({"text_data": '{"type": "rtc.candidate", "candidate": "x"}'}, "invalid_field"),
        ({"bytes_data": b"\x00" * 3}, "audio_malformed"),
        ({"bytes_data": bytes(MAX_AUDIO_BYTES + 2)}, "audio_too_large"),
    ],
)
async def test_what_cannot_be_used_is_named_and_the_talk_goes_on(
    world: Any, begin: Any, message: dict[str, Any], code: str
) -> None:
    client = await world.join(await begin())
    await client.socket.send_to(**message)
    assert (await client.event("error"))["code"] == code
    await client.say("user.text", text="Still here")
    assert (await client.event("reply.delta"))["text"] == "You said: Still here"


async def test_sound_of_another_rate_comes_too_fast(world: Any, begin: Any) -> None:
    """A second of 48 kHz sound is three seconds of ours."""
    created = await begin()
    client = await world.join(created)
    for _ in range(5):
        await client.socket.send_to(bytes_data=bytes(64_000))
    error = await client.event("error")
    assert error["code"] == "audio_too_fast"
    assert "16 kHz" in error["detail"]
    assert len(world.talk(created).heard) <= 5 * 32_000
    await client.say("ping")
    await client.event("pong")


async def test_a_flood_of_messages_ends_the_socket_and_not_the_session(world: Any, begin: Any) -> None:
    created = await begin()
    client = await world.join(created)
    bystander = await world.join(await begin())
    for _ in range(200):
        await client.say("ping")
    assert await client.closed() == BAD_MESSAGE
    assert {event["code"] for event in client.events if event["type"] == "error"} == {"too_many_messages"}
    assert created.session.pk in world.front.sessions
    await bystander.say("user.text", text="I notice nothing")
    await bystander.event("reply.delta")
    again = await world.join(created)
    await again.say("ping")
    await again.event("pong")


async def test_messages_before_the_session_is_found_wait_their_turn(world: Any, begin: Any) -> None:
    created = await begin()
    client = await world.socket(created)
    await client.say("user.text", text="Early")
    assert (await client.event("reply.delta"))["text"] == "You said: Early"


async def test_too_many_of_them_close_the_socket(world: Any, begin: Any, monkeypatch: Any) -> None:
    found = asyncio.Event()

    async def slowly(*_: Any) -> None:
        await found.wait()

    monkeypatch.setattr(world.front, "join", slowly)
    client = await world.socket(await begin())
    for _ in range(100):
        await client.say("ping")
    assert await client.closed() == TOO_MUCH


async def test_large_messages_and_sound_are_not_kept_for_strangers(
    world: Any, begin: Any, monkeypatch: Any
) -> None:
    async def never(*_: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(world.front, "join", never)
    client = await world.socket(await begin())
    for _ in range(200):
        await client.socket.send_to(bytes_data=bytes(64_000))
    await client.say("ping")
    for _ in range(5):
        await client.socket.send_to(text_data="x" * 60_000)
    assert await client.closed() == TOO_MUCH


async def test_a_client_that_does_not_read_is_let_go(world: Any, begin: Any, monkeypatch: Any) -> None:
    created = await begin()
    client = await world.join(created)
    monkeypatch.setattr("sessions.consumers.unsent_bytes", lambda _: 2_000_000)
    await client.say("ping")
    assert await client.closed() == 4508
    assert created.session.pk in world.front.sessions


async def test_offers_are_not_made_faster_than_a_client_can_connect(world: Any, begin: Any) -> None:
    client = await world.join(await begin())
    for _ in range(15):
        await client.say("rtc.offer", sdp="v=0\r\n")
    await client.event("error", code="too_many_offers")
    refused = [event["code"] for event in client.events if event["type"] == "error"]
    assert refused.count("sdp_without_video") == 10
