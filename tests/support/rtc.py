"""Real media and real clients for tests of peers: an idle loop, Opus, and an aiortc browser of sorts."""

import asyncio
import contextlib
import fractions
import functools
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import av
import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError, MediaStreamTrack

from rtc.frames import AccessUnit, Tick
from rtc.ice import IceConfig
from rtc.peer import Peer

LOOP_FRAMES = 50
KEYINT = 5
PLAIN = IceConfig()


@functools.cache
def idle_units(width: int = 320, height: int = 240) -> tuple[AccessUnit, ...]:
    """A loop like those of avatars: constrained baseline, an IDR frame every 200 ms."""
    codec: Any = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
    codec.time_base, codec.framerate, codec.profile = fractions.Fraction(1, 25), 25, "Baseline"
    x264 = f"keyint={KEYINT}:min-keyint={KEYINT}:scenecut=0:repeat-headers=1:bframes=0"
    codec.options = {"preset": "veryfast", "tune": "zerolatency", "crf": "30", "x264-params": x264}
    blocks = np.random.default_rng(1).integers(16, 235, (height // 16, width // 16), dtype=np.uint8)
    luma = np.kron(blocks, np.ones((16, 16), np.uint8))
    chroma = np.full((height // 2, width), 128, np.uint8)
    packets = []
    for number in range(LOOP_FRAMES):
        picture = np.vstack([np.roll(luma, number, 1), chroma])
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts = number
        packets += codec.encode(frame)
    packets += codec.encode(None)
    return tuple(AccessUnit(bytes(packet), bool(packet.is_keyframe)) for packet in packets)


@functools.cache
def opus_packets(seconds: float = 2.0, hertz: float = 440.0) -> tuple[bytes, ...]:
    """A tone in 20 ms packets at 48 kHz."""
    codec: Any = av.CodecContext.create("libopus", "w")
    codec.sample_rate, codec.layout, codec.format, codec.bit_rate = 48_000, "mono", "s16", 32_000
    codec.options = {"application": "voip"}
    tone = np.sin(np.arange(int(seconds * 48_000)) * 2 * np.pi * hertz / 48_000) * 8000
    packets = []
    for start in range(0, len(tone) - 959, 960):
        sound = np.ascontiguousarray(tone[start : start + 960].astype(np.int16)[None])
        frame = av.AudioFrame.from_ndarray(sound, format="s16", layout="mono")
        frame.sample_rate, frame.pts = 48_000, start
        packets += [bytes(packet) for packet in codec.encode(frame)]
    return tuple(packets)


def tick(frame: int) -> Tick:
    """What playout would make of a frame with a tone in place of silence."""
    units, packets = idle_units(), opus_packets()
    sound = packets[2 * frame % len(packets)], packets[(2 * frame + 1) % len(packets)]
    return Tick(frame, units[frame % len(units)], sound, 0, speaking=False)


class Told:
    """A listener of a peer that remembers."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.levels: list[str] = []
        self.heard = bytearray()
        self.keyframes = 0
        self._changed = asyncio.Event()

    def connected(self) -> None:
        self._tell("connected")

    def disconnected(self, reason: str) -> None:
        self._tell(reason)

    def keyframe_wanted(self) -> None:
        self.keyframes += 1
        self._changed.set()

    def quality(self, level: str) -> None:
        self.levels.append(level)
        self._changed.set()

    def microphone(self, pcm: bytes) -> None:
        self.heard += pcm
        self._changed.set()

    def _tell(self, event: str) -> None:
        self.events.append(event)
        self._changed.set()

    async def until(self, condition: Any, seconds: float = 10.0) -> None:
        """Wait until something that was told makes the condition true."""
        async with asyncio.timeout(seconds):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


class Speaking(MediaStreamTrack):
    """A microphone that hears a tone."""

    kind = "audio"

    def __init__(self, hertz: float = 300.0) -> None:
        super().__init__()
        self._hertz = hertz
        self._sample = 0
        self._began = time.monotonic()

    async def recv(self) -> av.AudioFrame:
        await asyncio.sleep(max(0.0, self._began + self._sample / 48_000 - time.monotonic()))
        at = np.arange(self._sample, self._sample + 960)
        tone = (np.sin(at * 2 * np.pi * self._hertz / 48_000) * 9000).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, self._sample, fractions.Fraction(1, 48_000)
        self._sample += 960
        return frame


class Client:
    """An aiortc peer in the part of a browser: receives pictures and sound, sends a microphone."""

    def __init__(self, *, microphone: MediaStreamTrack | None = None) -> None:
        self._microphone = microphone
        self.use(RTCPeerConnection(RTCConfiguration(iceServers=[])))
        self.frames: dict[str, list[Any]] = {"audio": [], "video": []}
        self.offered = ""
        self._readers: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    def use(self, connection: RTCPeerConnection) -> None:
        """Connect by this connection, which must be new."""
        self.pc = connection
        self.pc.addTrack(self._microphone or AudioStreamTrack())
        self.video = self.pc.addTransceiver("video", direction="recvonly")
        self.pc.on("track", self._track)

    def _track(self, track: MediaStreamTrack) -> None:
        task = asyncio.ensure_future(self._read(track))
        self._readers.add(task)

    async def _read(self, track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                self.frames[track.kind].append(await track.recv())
                self._changed.set()

    async def offer(self) -> str:
        await self.pc.setLocalDescription(await self.pc.createOffer())
        self.offered = str(self.pc.localDescription.sdp)
        return self.offered

    async def accept(self, answer: str) -> None:
        await self.pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    async def receive(self, kind: str, count: int, seconds: float = 10.0) -> list[Any]:
        async with asyncio.timeout(seconds):
            while len(self.frames[kind]) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.frames[kind]

    async def close(self) -> None:
        await self.pc.close()
        for task in self._readers:
            task.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)


@contextlib.asynccontextmanager
async def playing(peer: Peer, first: int = 0) -> AsyncIterator[None]:
    """Send a frame every 40 ms while the block runs."""

    async def run() -> None:
        began = time.monotonic()
        for number in _count():
            peer.send(tick(first + number))
            await asyncio.sleep(max(0.0, began + (number + 1) * 0.04 - time.monotonic()))

    task = asyncio.ensure_future(run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _count() -> Iterator[int]:
    number = 0
    while True:
        yield number
        number += 1


@contextlib.asynccontextmanager
async def connected(
    told: Told | None = None, *, client: Client | None = None, ice: IceConfig = PLAIN
) -> AsyncIterator[tuple[Peer, Client, Told]]:
    """A peer and a client that talk to each other; both are closed at the end."""
    told, client = told or Told(), client or Client()
    peer = await Peer.answer(await client.offer(), ice=ice, on_event=told)
    try:
        await client.accept(peer.answer_sdp)
        await told.until(lambda: "connected" in told.events)
        yield peer, client, told
    finally:
        await client.close()
        await peer.close()
