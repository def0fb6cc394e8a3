"""The writer of a socket: what it does when nobody is at the other end."""

import asyncio
import logging
from typing import Any

import pytest

from project.sockets import SocketGone
from sessions.consumers import SessionConsumer


async def written(consumer: SessionConsumer, send: Any, events: int) -> None:
    """Have it write that many events through `send`."""
    consumer.send, consumer.base_send = send, send  # type: ignore[method-assign]
    writer = asyncio.create_task(consumer._write())
    for number in range(events):
        consumer.send_event({"type": "pong", "seq": number})
        for _ in range(5):
            await asyncio.sleep(0)
    writer.cancel()
    await asyncio.gather(writer, return_exceptions=True)


async def test_a_client_who_went_is_no_fault_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    tried = []

    async def send(**told: Any) -> None:
        tried.append(told)
        raise SocketGone("Attempt to send on a closed protocol")

    with caplog.at_level(logging.INFO):
        await written(SessionConsumer(), send, events=3)
    assert len(tried) == 1, "nobody is told what comes after"
    assert caplog.records == []


async def test_what_cannot_be_sent_for_another_reason_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def send(**_: Any) -> None:
        raise ValueError("no such thing")

    await written(SessionConsumer(), send, events=1)
    assert "An event could not be sent" in caplog.text
