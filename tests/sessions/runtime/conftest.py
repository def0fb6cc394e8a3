"""Sessions that are really hosted: a real broker, database and peers; only the talk is a few words."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.db import connections

from generation.avatars.models import Avatar
from project.accounts.models import User
from project.bench.peer import LightPeer
from rtc.frames import IdleLoop
from sessions import consumers, routing
from sessions.models import Session
from sessions.pipeline.conversation import Interrupted
from sessions.pipeline.ports import Setup, Stage, TurnRecord
from sessions.runtime import database, idle, opening
from sessions.runtime.registry import Registry
from sessions.services import Created
from tests.support.rtc import idle_units
from tests.support.sessions import create
from tests.support.valkey import valkey_server

SECONDS = 10.0


class Parrot:
    """A conversation that repeats what it is told, at once and without a sound."""

    def __init__(self, setup: Setup, stage: Stage) -> None:
        self.setup, self.stage = setup, stage
        self.turn = setup.next_turn
        self.begun = 0
        self.heard = bytearray()
        self.closed = False
        self.microphone: list[str] = []

    async def start(self) -> None:
        self.begun += 1

    async def ask(self, *, text: str | None = None, pcm48k: bytes | None = None) -> int:
        said = text if text is not None else f"{len(pcm48k or b'')} bytes"
        self._tell("user", said, "transcript.final")
        return self._tell("avatar", f"You said: {said}", "reply.delta")

    async def say(self, *, text: str | None = None, pcm48k: bytes | None = None) -> int:
        return self._tell("avatar", text or "", "reply.delta")

    def _tell(self, who: Any, text: str, kind: str) -> int:
        number, self.turn = self.turn, self.turn + 1
        self.stage.emit({"type": kind, "turn": number, "text": text})
        self.stage.journal.save(
            TurnRecord(number=number, who=who, source="text", status="done", text=text, heard_text=text)
        )
        return number

    async def interrupt(self) -> Interrupted:
        self.stage.playout.interrupt()
        return Interrupted(self.turn - 1, "You")

    def hear(self, pcm16k: bytes, at_ms: int) -> None:
        self.heard += pcm16k

    def mic_start(self) -> None:
        self.microphone.append("start")

    def mic_stop(self) -> None:
        self.microphone.append("stop")

    async def close(self) -> None:
        self.closed = True

    def started(self, *_: Any) -> None: ...

    def ended(self, *_: Any, **__: Any) -> None: ...

    def underrun(self, *_: Any) -> None: ...

    def resumed(self, *_: Any) -> None: ...

    def run(self, *_: Any) -> None: ...


@dataclass
class Client:
    """One socket of a session, and at most one peer."""

    socket: WebsocketCommunicator
    events: list[dict[str, Any]] = field(default_factory=list)
    close_code: int | None = None
    peer: LightPeer | None = None

    async def event(self, kind: str, **wanted: Any) -> dict[str, Any]:
        """The next event of this kind with these values; everything before it is kept in `events`."""
        async with asyncio.timeout(SECONDS):
            while True:
                event = await self.next()
                if event["type"] == kind and wanted.items() <= event.items():
                    return event

    async def next(self) -> dict[str, Any]:
        message = await self.socket.receive_output(SECONDS)
        if message["type"] == "websocket.close":
            self.close_code = message.get("code", 1000)
            raise ConnectionError(f"closed with {self.close_code}")
        event = json.loads(message["text"])
        self.events.append(event)
        return dict(event)

    async def closed(self) -> int:
        """Read until the server closes; return its code."""
        while self.close_code is None:
            with contextlib.suppress(ConnectionError):
                await self.next()
        return self.close_code

    async def say(self, kind: str, **fields: Any) -> None:
        await self.socket.send_to(text_data=json.dumps({"type": kind, **fields}))

    async def connect_media(self) -> None:
        self.peer = LightPeer()
        await self.say("rtc.offer", sdp=await self.peer.offer())
        answer = await self.event("rtc.answer")
        await self.peer.accept(answer["sdp"])
        await self.event("session.state", connected=True)

    async def sees(self, frames: int) -> None:
        """Wait until so many more pictures have come."""
        assert self.peer is not None
        video = self.peer.streams["video"]
        wanted = video.frames + frames
        async with asyncio.timeout(SECONDS):
            while video.frames < wanted:
                await asyncio.sleep(0.01)

    async def leave(self) -> None:
        if self.peer is not None:
            await self.peer.close()
        await self.socket.disconnect()

    @property
    def seqs(self) -> list[int]:
        return [event["seq"] for event in self.events]


class World:
    """Some web processes, all in one: each has a registry of its own; `front` takes the next socket."""

    def __init__(self) -> None:
        self.processes: list[Registry] = []
        self.clients: list[Client] = []
        self.front: Registry

    def process(self) -> Registry:
        """Start another web process; the next sockets land there."""
        self.front = Registry()
        self.processes.append(self.front)
        return self.front

    async def socket(
        self,
        created: Created,
        *,
        at: Registry | None = None,
        query: str | None = None,
        since: int | None = None,
        origin: str | None = None,
    ) -> Client:
        """Open a socket, without waiting for anything to be said."""
        self.front = at or self.front
        query = query if query is not None else f"token={created.client_token}"
        query += "" if since is None else f"&since={since}"
        headers = [] if origin is None else [(b"origin", origin.encode())]
        path = f"/ws/sessions/{created.session.pk}/?{query}"
        client = Client(WebsocketCommunicator(routing.application, path, headers=headers))
        self.clients.append(client)
        connected, _ = await client.socket.connect(SECONDS)
        assert connected
        return client

    async def join(self, created: Created, **where: Any) -> Client:
        """Open a socket and wait for the state that every client is told on joining."""
        client = await self.socket(created, **where)
        while "avatar" not in await client.event("session.state"):
            pass
        if where.get("since") is not None:  # what was missed may hold such an event as well
            await asyncio.sleep(0)
        return client

    def talk(self, created: Created) -> Parrot:
        """The conversation of a session, wherever it is hosted."""
        for process in self.processes:
            session = process.sessions.get(created.session.pk)
            if session is not None and not session.closed:
                return session.parts.conversation  # type: ignore[return-value]
        raise LookupError("nobody hosts it")

    async def close(self) -> None:
        for client in self.clients:
            await client.leave()
        for process in self.processes:
            await process.stop()
        await asyncio.gather(
            *(asyncio.get_running_loop().run_in_executor(database._threads, connections.close_all)
              for _ in range(database.THREADS))
        )  # fmt: skip


@pytest.fixture(scope="session")
def valkey() -> Iterator[str]:
    with valkey_server() as url:
        yield url


@pytest.fixture
async def world(valkey: str, avatar: Avatar, settings: Any, monkeypatch: Any) -> AsyncIterator[World]:
    settings.REDIS_URL = valkey
    settings.LIVE_LEASE_SECONDS = 2
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
    made = World()
    made.process()
    monkeypatch.setattr(opening, "Conversation", Parrot)
    monkeypatch.setattr(idle, "_read", lambda _: IdleLoop(idle_units()))
    monkeypatch.setattr(consumers, "registry", lambda: made.front)
    yield made
    await made.close()


@pytest.fixture
def begin(alice: User, avatar: Avatar) -> Any:
    """Create a session as the REST call does."""

    async def begun(**wanted: Any) -> Created:
        return await sync_to_async(create)(alice, avatar, **{"record": False} | wanted)

    return begun


async def row(created: Created) -> Session:
    return await Session.objects.aget(pk=created.session.pk)
