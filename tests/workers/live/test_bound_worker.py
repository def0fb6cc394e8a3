"""Sessions of a stateful model and a real worker with several threads on its own queue, end to end."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import redis
from kombu import Queue, pools

from project.celery import app
from sessions import streams, warming
from tests.support.celery_worker import celery_worker
from tests.support.live_worker import until, wish
from tests.support.objects import MemoryStore
from tests.support.stateful import MODEL, Deck, expected, seen, tapes  # noqa: F401 - a fixture
from workers import dispatch, presence
from workers.adapters.avatar.base import SAMPLES_PER_FRAME
from workers.live.client import RenderClient

SIDE = 160
KEY = "avatars/avt_1/v0001/bundle.bin"
HERE = "render1@x"
FIELDS = {"model": MODEL, "width": SIDE, "height": SIDE, "bundle_key": KEY, "bundle_sha256": ""}


@pytest.fixture
def worker(
    tapes: Deck,  # noqa: F811
    broker: "redis.Redis",
    valkey: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Deck]:
    memory = MemoryStore()
    # The main program of a worker says how it is called; one in a test's thread has none.
    monkeypatch.setattr("celery.app.trace.gethostname", lambda: HERE)
    monkeypatch.setattr("storage.s3._store", lambda endpoint, pid: memory)
    monkeypatch.setattr(warming, "_avatars", warming.Avatars())
    monkeypatch.setattr(streams, "kept", streams.Streams())
    memory.put_bytes(KEY, json.dumps({"width": SIDE, "height": SIDE}).encode(), "application/octet-stream")
    presence.announce(HERE, {f"live.{MODEL}": 4})
    queue, known, kept = dispatch.worker_queue(HERE), app.conf.task_queues, app.conf.broker_url
    app.conf.update(broker_url=valkey, broker_read_url=valkey, broker_write_url=valkey)
    app.amqp.queues.add(Queue(queue))
    pools.reset()
    with celery_worker(
        app,
        pool="threads",
        concurrency=3,
        hostname=HERE,
        queues=[queue],
        shutdown_timeout=20,
    ):
        yield tapes
    streams.kept.close_all()
    app.conf.update(broker_url=kept, broker_read_url=kept, broker_write_url=kept, task_queues=known)
    del app.amqp.queues[queue]
    pools.reset()


async def test_conversations_side_by_side_each_see_their_own_stream_in_order(
    worker: Deck, client: RenderClient
) -> None:
    rng = np.random.default_rng(1)
    sound = {
        name: rng.integers(-9000, 9000, 6 * 4 * SAMPLES_PER_FRAME, np.int16) for name in ("ses_1", "ses_2")
    }
    for name in sound:
        client.hold(name, **FIELDS, start_frame=0)

    async def talk(name: str) -> list[Any]:
        parts = np.split(sound[name], 6)
        asked = [
            client.render(**wish(n, session=name, frames=4) | FIELDS | {"pcm16k": part.tobytes()})
            for n, part in enumerate(parts)
        ]
        return [one for reply in await asyncio.gather(*asked) for one in seen(reply.data)]

    drawn = dict(zip(sound, await asyncio.gather(*(talk(name) for name in sound)), strict=True))
    numbers = {name: pictures[0].stream for name, pictures in drawn.items()}
    for name, pictures in drawn.items():
        assert pictures == expected(sound[name], numbers[name])
    assert sorted(numbers.values()) == [1, 2]
    assert worker.warmed == [True, True]
    for name in sound:
        client.forget(name)
    await until(lambda: not worker.open)  # the worker sees by itself that they left
