"""The stopwatch: against a host whose delays are known."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection, serve

from project.bench.client import LiveClient
from project.bench.lossy import Line, LossyPath
from rtc.clock import Driven, Pump
from rtc.frames import IdleLoop, Segment
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
            elif asked["type"] == "user.text":
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
        peer = self.peer = await Peer.answer(offer, ice=IceConfig(), on_event=self.listener)
        self.driven = self.pump.add(
            lambda frame: peer.send(self.playout.tick(frame)), asyncio.get_running_loop().time()
        )
        return peer.answer_sdp

    async def _reply(self, socket: ServerConnection) -> None:
        await asyncio.sleep(THINKING_SECONDS)
        self._speak(self.playout.epoch)
        await self._tell(socket, "speech.started", turn=1)

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


@pytest.mark.parametrize("decode", [True, False])
async def test_the_first_sound_is_timed_from_the_text(decode: bool) -> None:
    async with talking(decode=decode) as (client, _):
        begun = await client.user_text("Hello?")
        ms = await client.first_sound(begun)
        assert THINKING_SECONDS * 1000 <= ms < THINKING_SECONDS * 1000 + 1000
        assert (await client.event("speech.started", since=begun)).data["turn"] == 1
        await client.until(lambda: not client.watcher.sounds[-1].speech)
        assert client.watcher.realtime_ratio(begun) == pytest.approx(1.0, abs=0.2)
        assert len(client.watcher.heard(begun)) == pytest.approx(2 * SPEECH_FRAMES, abs=8)
        figures = client.watcher.video(begun)
        assert figures.frames > SPEECH_FRAMES
        assert client.connecting.first_frame_ms is not None
        assert all(picture.decoded for picture in client.watcher.pictures) == decode


async def test_silence_is_timed_from_the_interruption_and_nothing_comes_after_it() -> None:
    async with talking() as (client, _):
        await client.first_sound(await client.user_text("Hello?"))
        await asyncio.sleep(0.5)
        stopped = await client.send("avatar.interrupt")
        assert 0 < await client.silence(stopped, quiet=0.5) < 1000
        assert client.late_packets(stopped) == 0


async def test_sound_of_the_old_reply_after_an_interruption_does_not_escape() -> None:
    async with talking() as (client, host):
        host.late = True
        await client.first_sound(await client.user_text("Hello?"))
        await asyncio.sleep(0.5)
        stopped = await client.send("avatar.interrupt")
        assert await client.silence(stopped, quiet=0.8) > 100
        assert client.late_packets(stopped) == 6


async def test_a_microphone_is_heard_over_either_way() -> None:
    tone = (np.sin(np.arange(8000) * 2 * np.pi * 300 / 16_000) * 8000).astype(np.int16).tobytes()
    async with talking() as (client, host):
        await client.speak(tone)
        await client.until(lambda: len(host.listener.heard) > 20_000)
        await client.speak(tone, over="ws")
        await client.until(lambda: len(host.sounds) > 20_000)
        await client.hush()
        assert bytes(host.sounds[: len(tone)]) == tone
        heard = np.frombuffer(bytes(host.listener.heard), np.int16).astype(int)
        assert np.abs(heard).max() > 5000


async def test_it_may_go_through_a_bad_network() -> None:
    async with LossyPath() as path, talking(path) as (client, _):
        await client.until(lambda: len(client.watcher.pictures) > 5)
        assert path.down.passed > 10
        path.down.cut = True
        await asyncio.sleep(0.3)
        before = len(client.watcher.pictures)
        await asyncio.sleep(0.3)
        assert len(client.watcher.pictures) <= before + 1


async def test_lost_packets_are_asked_for_and_their_pictures_are_seen() -> None:
    down = Line(loss=lambda number: number > 100 and number % 20 == 0, delay_ms=50)
    async with LossyPath(down, Line(delay_ms=50)) as path, talking(path, decode=True) as (client, _):
        await client.until(lambda: len(client.watcher.pictures) > 100)
        assert client.peer is not None
        assert client.peer.repaired > 2
        assert client.watcher.incomplete <= 1
        assert client.watcher.undecodable == 0


async def test_what_did_not_come_is_told_with_what_came() -> None:
    async with talking() as (client, _):
        with pytest.raises(TimeoutError, match=r"no nothing in 0.1 s: .*session.state"):
            await client.event("nothing", seconds=0.1)
        with pytest.raises(TimeoutError, match="of speech"):
            await client.first_sound(client.events[-1].at, seconds=0.1)
