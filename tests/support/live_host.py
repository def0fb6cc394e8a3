"""As much of a live service as its customers can see, with delays that are known."""

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
from aiohttp import web
from websockets.asyncio.server import ServerConnection, serve

from project.bench.client import LiveClient
from project.bench.lossy import LossyPath
from rtc.clock import Driven, Pump
from rtc.frames import FRAME_SECONDS, IdleLoop, Segment
from rtc.ice import IceConfig
from rtc.peer import Peer
from rtc.playout import Playout
from tests.rtc.cast import Told as PlayoutTold
from tests.support.rtc import idle_units, opus_packets

THINKING_SECONDS = 0.3
SPEECH_FRAMES = 50


class Microphone:
    """A peer's listener that keeps what it hears."""

    def __init__(self) -> None:
        self.heard = bytearray()

    def connected(self) -> None: ...

    def disconnected(self, reason: str) -> None: ...

    def keyframe_wanted(self) -> None: ...

    def quality(self, level: str) -> None: ...

    def microphone(self, pcm16k: bytes) -> None:
        self.heard += pcm16k


class Host:
    """As much of a session as a client can see: it answers every text with two seconds of a tone."""

    def __init__(self) -> None:
        self.listener = Microphone()
        self.sounds = bytearray()
        self.playout = Playout(IdleLoop(idle_units()), listener=PlayoutTold())
        self.pump = Pump()
        self.peer: Peer | None = None
        self.driven: Driven | None = None
        self.figures: dict[str, Any] = {}  # more of the `metrics` event
        self.mute = False  # answers nothing
        self.late = False  # sends a piece of the old reply after an interruption
        self._seq = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, socket: ServerConnection) -> None:
        await self._tell(socket, "session.state", status="active", phase="idle")
        async for message in socket:
            if isinstance(message, bytes):
                self.sounds += message
                continue
            asked = json.loads(message)
            if asked["type"] == "rtc.offer":
                await self._tell(socket, "rtc.answer", sdp=await self._answer(asked["sdp"]))
            elif asked["type"] == "user.text" and not self.mute:
                self._tasks.add(asyncio.create_task(self._reply(socket)))
            elif asked["type"] == "avatar.interrupt":
                epoch = self.playout.interrupt()
                if self.late:
                    await asyncio.sleep(0.1)
                    self._speak(epoch, frames=3)

    async def _tell(self, socket: ServerConnection, kind: str, **fields: Any) -> None:
        self._seq += 1
        await socket.send(json.dumps({"type": kind, "seq": self._seq, **fields}))

    async def _answer(self, offer: str) -> str:
        """A new peer in the place of the old one; playout goes on where it was."""
        if self.driven is not None:
            self.pump.remove(self.driven)
        peer = self.peer = await Peer.answer(offer, ice=IceConfig(), on_event=self.listener)
        first, now = self.playout.frame, asyncio.get_running_loop().time()
        self.driven = self.pump.add(lambda frame: peer.send(self.playout.tick(first + frame)), now)
        return peer.answer_sdp

    async def _reply(self, socket: ServerConnection) -> None:
        await asyncio.sleep(THINKING_SECONDS)
        self._speak(self.playout.epoch)
        await self._tell(socket, "speech.started", turn=1)
        await asyncio.sleep(SPEECH_FRAMES * FRAME_SECONDS + 0.2)
        await self._tell(socket, "speech.ended", turn=1, interrupted=False, heard_text="")
        await self._tell(socket, "metrics", turn=1, llm_first_token_ms=150.0, **self.figures)

    def _speak(self, epoch: int, frames: int = SPEECH_FRAMES) -> None:
        units, tone = idle_units(), opus_packets()
        packets = tuple(tone[number % 90 + 4] for number in range(2 * frames))
        pictures = tuple(units[number % len(units)] for number in range(frames))
        self.playout.push(Segment(epoch, 0, 0, 0, pictures, packets, last=True))

    async def close(self) -> None:
        if self.driven is not None:
            self.pump.remove(self.driven)
        if self.peer is not None:
            await self.peer.close()
        for task in self._tasks:
            task.cancel()


@contextlib.asynccontextmanager
async def talking(path: LossyPath | None = None, **options: Any) -> AsyncIterator[tuple[LiveClient, Host]]:
    host = Host()
    async with serve(host.serve, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        made = {"id": "ses_1", "client_token": "t", "ws_url": f"ws://127.0.0.1:{port}/"}
        transport = httpx.MockTransport(lambda _: httpx.Response(201, json=made))
        async with (
            httpx.AsyncClient(transport=transport) as http,
            LiveClient("http://host", "key", http=http, path=path, **options) as client,
        ):
            await client.create()
            await client.join()
            await client.connect_media()
            yield client, host
        await host.close()


class Service:
    """Sessions over REST, each on a host of its own; `hosts` are those that were begun."""

    def __init__(self) -> None:
        self.hosts: list[Host] = []
        self.ended = 0
        self.refuse = 0  # how many of the next sessions are refused
        self.mute = False
        self._exits = contextlib.AsyncExitStack()
        self.url = ""

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/api/v1/sessions", self._begin)
        app.router.add_post("/api/v1/sessions/{id}/end", self._end)
        runner = web.AppRunner(app, shutdown_timeout=0.2)
        await runner.setup()
        self._exits.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def _begin(self, _: web.Request) -> web.Response:
        if self.refuse:
            self.refuse -= 1
            return web.json_response({"code": "concurrency_limit_exceeded"}, status=429)
        host = Host()
        host.mute = self.mute
        self.hosts.append(host)
        server = await self._exits.enter_async_context(serve(host.serve, "127.0.0.1", 0))
        self._exits.push_async_callback(host.close)
        port = next(iter(server.sockets)).getsockname()[1]
        made = {
            "id": f"ses_{len(self.hosts)}",
            "client_token": "t",
            "ws_url": f"ws://127.0.0.1:{port}/",
        }
        return web.json_response(made, status=201)

    async def _end(self, _: web.Request) -> web.Response:
        self.ended += 1
        return web.json_response({})

    async def stop(self) -> None:
        await self._exits.aclose()


@contextlib.contextmanager
def service() -> Iterator[Service]:
    """A service on a thread and a loop of its own, for customers in other processes."""
    made, loop = Service(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def call(work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(30)

    call(made.start())
    try:
        yield made
    finally:
        call(made.stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
