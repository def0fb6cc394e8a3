"""A live render worker, or the broker, dies while a session speaks: the speech goes on."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from project.bench.stack import EmbeddedStack
from storage.s3 import Endpoint, ObjectStore
from tests.support.live_worker import until, wish
from workers.live.client import RenderClient
from workers.live.wire import RenderReply

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

KEY = "avatars/avt_1/v0001/bundle.bin"
SIDE = 320
WITHIN_SECONDS = 3.0  # of what a viewer would wait for the next second of speech


@pytest.fixture(scope="module")
def live_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    home = tmp_path_factory.mktemp("live") / "home"
    with EmbeddedStack(home, ("valkey", "storage", "migrate", "live")) as stack:
        told = stack.environment()
        url, secret = told["S3_ENDPOINT_URL"], told["S3_SECRET_ACCESS_KEY"]
        store = ObjectStore(Endpoint(url, url, "us-east-1", "parley", told["S3_ACCESS_KEY_ID"], secret))
        _until_stored(store)
        yield stack


def _until_stored(store: ObjectStore) -> None:
    """The S3 port answers a little before its volumes do."""
    deadline = time.monotonic() + 30
    while True:
        try:
            store.ensure_bucket()
            store.put_bytes(KEY, json.dumps({"width": SIDE, "height": SIDE}).encode(), "application/json")
            return
        except Exception:  # noqa: BLE001 - tried again until the deadline
            assert time.monotonic() < deadline
            time.sleep(0.2)


@pytest.fixture
async def client(live_stack: EmbeddedStack, settings: Any) -> AsyncIterator[RenderClient]:
    live_stack.wait_healthy()
    settings.REDIS_URL = settings.CELERY_BROKER_URL = live_stack.environment()["REDIS_URL"]
    made = RenderClient(f"process-{time.monotonic_ns()}")
    await made.start()
    yield made
    await made.close()
    live_stack.wait_healthy()


class Speech:
    """Asks for one second after the other, two at a time, as a conversation does."""

    def __init__(self, client: RenderClient) -> None:
        self.replies: list[RenderReply] = []
        self.times: list[float] = []
        self._client = client

    async def go_on(self, fragments: int) -> None:
        first = len(self.replies)
        numbers = range(first, first + fragments)
        waiting = [asyncio.create_task(self._one(number)) for number in numbers]
        for task in waiting:
            self.replies.append(await task)
            self.times.append(time.monotonic())

    async def _one(self, number: int) -> RenderReply:
        fields = wish(number, frames=25) | {"width": SIDE, "height": SIDE, "bundle_key": KEY}
        return await self._client.render(**fields | {"start_frame": number * 25})

    @property
    def longest_wait(self) -> float:
        return max(after - before for before, after in zip(self.times, self.times[1:], strict=False))


def _part(reply: RenderReply) -> str:
    return reply.worker.partition("@")[0]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_another_worker_goes_on_where_one_died(
    client: RenderClient, live_stack: EmbeddedStack, number: signal.Signals
) -> None:
    speech = Speech(client)
    await speech.go_on(6)
    going = asyncio.create_task(speech.go_on(30))
    await asyncio.sleep(0.3)
    part = _part(speech.replies[-1])
    pid = live_stack.kill(part, number)
    await going
    if number == signal.SIGSTOP:
        live_stack.kill(part, signal.SIGKILL)
    assert [reply.number for reply in speech.replies] == list(range(36))
    assert speech.longest_wait < WITHIN_SECONDS
    assert {_part(reply) for reply in speech.replies[-6:]} == {"live1", "live2"} - {part}
    await asyncio.to_thread(live_stack.wait_restarted, part, pid)


async def test_both_workers_die_and_the_first_that_is_back_goes_on(
    client: RenderClient, live_stack: EmbeddedStack
) -> None:
    speech = Speech(client)
    await speech.go_on(4)
    pids = {part: live_stack.kill(part, signal.SIGKILL) for part in ("live1", "live2")}
    await speech.go_on(4)
    assert [reply.number for reply in speech.replies] == list(range(8))
    for part, pid in pids.items():
        await asyncio.to_thread(live_stack.wait_restarted, part, pid)


async def test_the_speech_goes_on_after_the_broker_was_away(
    client: RenderClient, live_stack: EmbeddedStack
) -> None:
    speech = Speech(client)
    await speech.go_on(4)
    pid = live_stack.kill("valkey", signal.SIGSTOP)  # it hangs, then dies
    going = asyncio.create_task(speech.go_on(6))
    await until(lambda: not client.reachable)
    live_stack.kill("valkey", signal.SIGKILL)
    await asyncio.to_thread(live_stack.wait_restarted, "valkey", pid)
    await going
    assert client.reachable
    assert [reply.number for reply in speech.replies] == list(range(10))
