"""Sockets of strangers and of clients that misbehave, against the real server; and two hundred reloads."""

import asyncio
import contextlib
import json
import time
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from project.bench.stack import EmbeddedStack
from sessions.runtime.memory import EVERY_SECONDS
from tests.stack.live import FILES, MEMORY, SESSIONS, TASKS, Customer, customer, figures

CYCLES = 200
MEGABYTE = 1024 * 1024


async def answers(socket: Any) -> tuple[list[dict[str, Any]], int]:
    """Everything the server says until it closes, and how it closes."""
    told: list[dict[str, Any]] = []
    with contextlib.suppress(ConnectionClosed):
        async with asyncio.timeout(20):
            while True:
                told.append(json.loads(await socket.recv()))
    return told, socket.close_code


async def test_strangers_hear_why_and_disturb_nobody(stack: EmbeddedStack, avatar: str) -> None:
    async with customer(stack, avatar) as client, customer(stack, avatar) as other:
        await client.create()
        await other.create()
        await client.join()
        await client.connect_media()
        for query, origin, code, close in (
            ("", None, "token_invalid", 4401),
            ("token=nonsense", None, "token_invalid", 4401),
            (f"token={other.session['client_token']}", None, "token_invalid", 4401),
            (f"token={client.session['client_token']}&since=x", None, "invalid_since", 4400),
            (f"token={client.session['client_token']}", "https://evil.example", "forbidden_origin", 4403),
        ):
            told, closed = await answers(await client.open(query=query, origin=origin))
            assert ([event["code"] for event in told], closed) == ([code], close)
        assert client.close_code is None
        assert client.peer is not None
        before = client.peer.streams["video"].frames
        await asyncio.sleep(1)
        assert client.peer.streams["video"].frames - before >= 15
        await client.send("session.end")
        await client.event("session.ended")
        told, closed = await answers(await client.open())
        assert (told[0]["code"], closed) == ("session_ended", 4410)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("nonsense", "message_malformed"),
        ('{"type": "nonsense"}', "unknown_message"),
        ('{"type": "user.text", "text": 7}', "invalid_field"),
        (json.dumps({"type": "user.text", "text": "x" * 66_000}), "message_too_large"),
        ('{"type": "rtc.offer", "sdp": "nonsense"}', "sdp_invalid"),
        ('{"type": "rtc.offer", "sdp": "v=0\\r\\n"}', "sdp_without_video"),
        (b"\x00" * 5, "audio_malformed"),
        (b"\x00" * 70_000, "audio_too_large"),
    ],
)
async def test_what_cannot_be_used_is_named(
    stack: EmbeddedStack, avatar: str, message: str | bytes, code: str
) -> None:
    async with customer(stack, avatar) as client:
        await client.create()
        await client.join()
        await client.send_raw(message)
        assert (await client.event("error")).data["code"] == code
        await client.send("ping")
        await client.event("pong")
        await client.send("session.end")
        await client.event("session.ended")


async def test_a_message_far_too_large_closes_the_socket_before_it_is_kept(
    stack: EmbeddedStack, avatar: str
) -> None:
    async with customer(stack, avatar) as client:
        await client.create()
        await client.join()
        with contextlib.suppress(ConnectionClosed):
            await client.send_raw(bytes(MEGABYTE))
        await client.until(lambda: client.close_code is not None)
        assert client.close_code in (1006, 1009)  # the server drops the connection
        again = await client.join()
        assert again.data["status"] == "active"
        await client.send("session.end")
        await client.event("session.ended")


async def reload(client: Customer) -> None:
    """Join, connect, come back as a reloaded page does, and leave."""
    await client.create()
    await client.join()
    await client.connect_media(wait_for_picture=False)
    seen = client.events[-1].seq
    await client.leave()
    await client.join(since=seen)
    await client.connect_media(wait_for_picture=False)
    await client.send("session.end")
    await client.event("session.ended")


async def settled(stack: EmbeddedStack, tasks: float) -> dict[str, float]:
    """The figures once nothing of the sessions goes on any more."""
    deadline = time.monotonic() + 15
    while True:
        now = await asyncio.to_thread(figures, stack, "web1")
        if (now[SESSIONS] == 0 and now[TASKS] <= tasks) or time.monotonic() > deadline:
            return now
        await asyncio.sleep(0.5)


async def test_two_hundred_reloads_leave_nothing_behind(stack: EmbeddedStack, avatar: str) -> None:
    async def cycles(count: int) -> None:
        for _ in range(count):
            async with customer(stack, avatar) as client:
                await reload(client)

    await cycles(40)  # what is loaded and kept on purpose is there by then
    await asyncio.sleep(EVERY_SECONDS + 2)  # freed memory was given back
    await asyncio.to_thread(
        figures, stack, "web1"
    )  # whoever reads them first opens the database and the broker
    before = await asyncio.to_thread(figures, stack, "web1")
    await cycles(CYCLES - 40)
    await asyncio.sleep(EVERY_SECONDS + 2)
    after = await settled(stack, before[TASKS])
    assert after[SESSIONS] == 0
    assert after[TASKS] <= before[TASKS]
    assert after[FILES] <= before[FILES] + 2
    grown = (after[MEMORY] - before[MEMORY]) / MEGABYTE
    print(f"{CYCLES} reloads: {grown:.1f} MB more after the first 40")
    assert grown < 15
