"""Parts of the service that go away under a session, and come back."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import redis.asyncio
from django.db import DataError, OperationalError

from sessions import services
from sessions.models import Turn
from sessions.runtime import broker as broker_module
from sessions.runtime import watch
from sessions.runtime.broker import Broker
from sessions.runtime.events import EventLog
from sessions.runtime.relay import Relay
from sessions.runtime.scribe import Scribe
from sessions.runtime.stage import cleaned
from storage.errors import StorageError


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


class Gate:
    """A way to Redis that can be shut: connections break, and new ones are refused."""

    def __init__(self, url: str) -> None:
        self._target = url.rsplit(":", 1)[1].split("/", maxsplit=1)[0]
        self._pipes: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def open(self) -> str:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return f"redis://127.0.0.1:{self.port}/0"

    async def shut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._pipes):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", int(self._target))
        self._pipes |= {writer, far_writer}
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer), return_exceptions=True)
        self._pipes -= {writer, far_writer}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    finally:
        writer.close()


async def test_a_broker_that_goes_away_is_told_and_the_picture_goes_on(
    world: Any, begin: Any, valkey: str, settings: Any
) -> None:
    gate = Gate(valkey)
    settings.REDIS_URL = await gate.open()
    process = world.process()
    created = await begin()
    client = await world.join(created)
    await client.connect_media()
    await gate.shut()
    assert (await client.event("error"))["code"] == "broker_unavailable"
    assert (await client.event("session.state"))["faults"] == ["broker_unavailable"]
    await client.say("user.text", text="Can you hear me?")
    await client.event("reply.delta")
    seen = client.seqs[-1]
    await client.sees(10)
    await gate.open()
    recovered = await client.event("session.state", faults=[])
    assert recovered["connected"]
    # What was told meanwhile is where the next host will look for it.
    await until(lambda: not process.broker._waiting)
    mirrored = await process.broker.mirrored(created.session.pk)
    assert len(mirrored) >= seen - 1
    await process.stop()
    world.processes.remove(process)
    await gate.shut()


async def test_storage_that_goes_away_is_told_once_and_again_when_it_is_back(
    world: Any, begin: Any, monkeypatch: Any
) -> None:
    away = threading.Event()

    class Store:
        def check(self) -> None:
            if away.is_set():
                raise StorageError("refused")

    monkeypatch.setattr(watch, "store", Store)
    monkeypatch.setattr(watch, "EVERY_SECONDS", 0.05)
    world.process()
    client = await world.join(await begin())
    away.set()
    assert (await client.event("error"))["code"] == "storage_unavailable"
    await client.event("session.state", faults=["storage_unavailable"])
    away.clear()
    await client.event("session.state", faults=[])
    assert sum(event["type"] == "error" for event in client.events) == 1


async def test_a_database_that_is_away_costs_time_and_nothing_else(
    world: Any, begin: Any, monkeypatch: Any
) -> None:
    away = True
    real = services.turn_save

    def turn_save(*args: Any, **fields: Any) -> bool:
        if away:
            raise OperationalError("the database is away")
        return real(*args, **fields)

    monkeypatch.setattr("sessions.runtime.stage.services.turn_save", turn_save)
    created = await begin()
    client = await world.join(created)
    await client.say("user.text", text="Write this down")
    await client.event("reply.delta")
    assert (await client.event("error"))["code"] == "database_unavailable"
    away = False
    assert await world.front.scribe.settled(10)
    assert await Turn.objects.filter(session=created.session).acount() == 2
    await client.event("session.state", faults=[])


async def test_the_scribe_writes_the_latest_form_of_a_fact_once() -> None:
    written: list[int] = []
    scribe = Scribe(changed=lambda _: None)
    for number in range(20):
        scribe.write(("ses_1", "turn", 1), lambda number=number: written.append(number))  # type: ignore[misc]
    scribe.write(("ses_1", "turn", 2), lambda: written.append(100))
    scribe.start()
    assert await scribe.settled(5)
    await scribe.close()
    assert written == [19, 100]


async def test_a_fact_that_cannot_be_written_keeps_no_other() -> None:
    written: list[str] = []
    scribe = Scribe(changed=lambda _: None)

    def broken() -> None:
        raise TypeError("a mistake")

    scribe.write(("ses_1", "phase", 0), broken)
    scribe.write(("ses_2", "phase", 0), lambda: written.append("ok"))
    scribe.start()
    assert await scribe.settled(5)
    await scribe.close()
    assert written == ["ok"]


async def test_a_fact_that_the_database_refuses_is_no_outage() -> None:
    said: list[bool] = []
    scribe = Scribe(changed=said.append)

    def refused() -> None:
        raise DataError("no NUL in text")

    scribe.write(("ses_1", "turn", 1), refused)
    scribe.start()
    assert await scribe.settled(5)
    await scribe.close()
    assert said == []


def test_what_is_written_down_holds_nothing_that_a_database_refuses() -> None:
    turn = {"text": "a\0b\ud800", "utterances": [{"text": "\0", "words": [["x\0", 1, 2]]}], "number": 7}
    assert cleaned(turn) == {"text": "ab?", "utterances": [{"text": "", "words": [["x", 1, 2]]}], "number": 7}


async def test_messages_between_processes_arrive_in_order_and_an_unread_inbox_is_bounded(
    valkey: str, settings: Any
) -> None:
    settings.REDIS_URL = valkey
    got: list[bytes] = []
    reader = Broker("reader", receive=got.append, changed=lambda _: None)
    writer = Broker("writer", receive=got.append, changed=lambda _: None)
    writer.start()
    for number in range(3000):
        writer.push("nobody", b"%d" % number)
        writer.push("reader", b"%d" % number)
        if number % 500 == 0:
            await asyncio.sleep(0.05)
    await until(lambda: not writer._waiting)
    reader.start()
    await until(lambda: len(got) >= 2000)
    async with redis.asyncio.Redis.from_url(valkey) as client:
        assert await client.llen("live:inbox:nobody") == 2000
        assert 0 < await client.ttl("live:inbox:nobody") <= 60
    assert got == [b"%d" % number for number in range(1000, 3000)]
    await reader.close()
    await writer.close()


async def test_the_mirror_of_events_is_bounded_and_written_twice_without_harm(
    valkey: str, settings: Any
) -> None:
    settings.REDIS_URL = valkey
    broker = Broker("mirror", receive=lambda _: None, changed=lambda _: None)
    broker.start()
    log = EventLog(at_ms=lambda: 0, mirror=lambda seq, event: broker.mirror("ses_bounded", seq, event))
    for _ in range(1500):
        log.add({"type": "reply.delta"})
    broker.mirror("ses_bounded", 1500, b"again")
    await until(lambda: not broker._waiting)
    await asyncio.sleep(0.1)
    mirrored = await broker.mirrored("ses_bounded")
    assert len(mirrored) == 1000
    assert mirrored[-1].startswith(b'{"type":"reply.delta","seq":1500')
    await broker.close()


async def test_what_cannot_be_written_is_put_back_as_far_as_there_is_room(
    valkey: str, settings: Any, monkeypatch: Any
) -> None:
    settings.REDIS_URL = valkey
    monkeypatch.setattr(broker_module, "QUEUE_LIMIT", 10)
    broker = Broker("small", receive=lambda _: None, changed=lambda _: None)
    broker._waiting.extend([("NEW", n) for n in range(7)])
    broker._put_back([("OLD", n) for n in range(5)])
    assert list(broker._waiting) == [("OLD", 2), ("OLD", 3), ("OLD", 4), *(("NEW", n) for n in range(7))]
    await broker._redis.aclose()


def test_a_message_that_is_sent_again_is_heard_once() -> None:
    relay = Relay("here", broker=None)  # type: ignore[arg-type]
    heard = [relay.is_new({"from": "there", "n": n}) for n in (1, 2, 1, 2, 3)]
    assert heard == [True, True, False, False, True]
    assert relay.is_new({"from": "elsewhere", "n": 1})
    assert relay.is_new({"op": "command"})
    assert relay.is_new({"op": "command"})
