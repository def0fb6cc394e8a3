"""An aiortc peer as a customer: a receiver that shares nothing with the service's own transport.

It decodes what it gets and notes when each picture and each packet of sound was handed out, so it is
as dear as a real client. Times are monotonic seconds.
"""

import asyncio
import contextlib
import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError, MediaStreamTrack

from project.bench.client import LiveClient
from project.bench.media import AUDIBLE_DB, FREEZE_SECONDS, VideoFigures
from rtc.frames import FRAME_SECONDS

POLL_SECONDS = 0.005
MOST_KEPT = 100_000


@dataclass(frozen=True, slots=True)
class Heard:
    """20 ms of sound: when it was handed out, and how loud it is (RMS, dBFS)."""

    at: float
    loudness: float


class AiortcClient:
    """The media of a session that a `LiveClient` has joined: `connect(client)` offers over its socket."""

    def __init__(self) -> None:
        self.shown: list[float] = []
        self.heard: list[Heard] = []
        self.size = (0, 0)
        self.answer_ms: float | None = None
        self.first_frame_ms: float | None = None
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._readers: set[asyncio.Task[None]] = set()

    async def connect(self, client: LiveClient, seconds: float = 20.0) -> None:
        """Offer, take the answer, and wait for the first decoded picture. Raises `TimeoutError`."""
        self._peer.addTrack(AudioStreamTrack())
        self._peer.addTransceiver("video", direction="recvonly")
        self._peer.on("track", self._track)
        await self._peer.setLocalDescription(await self._peer.createOffer())
        began = await client.send("rtc.offer", sdp=self._peer.localDescription.sdp)
        answer = await client.event("rtc.answer", since=began)
        self.answer_ms = 1000 * (answer.at - began)
        await self._peer.setRemoteDescription(RTCSessionDescription(str(answer.data["sdp"]), "answer"))
        async with asyncio.timeout(seconds):
            while not self.shown:
                await asyncio.sleep(POLL_SECONDS)
        self.first_frame_ms = 1000 * (self.shown[0] - began)

    def _track(self, track: MediaStreamTrack) -> None:
        task = asyncio.create_task(self._see(track) if track.kind == "video" else self._hear(track))
        self._readers.add(task)

    async def _see(self, track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):
            while len(self.shown) < MOST_KEPT:
                frame: Any = await track.recv()
                self.shown.append(time.monotonic())
                self.size = (frame.width, frame.height)

    async def _hear(self, track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):
            while len(self.heard) < MOST_KEPT:
                frame: Any = await track.recv()
                self.heard.append(Heard(time.monotonic(), _loudness(frame.to_ndarray())))

    async def first_sound(self, since: float, seconds: float = 20.0) -> float:
        """Wait for the first audible sound; ms after `since`. Raises `TimeoutError`."""
        async with asyncio.timeout(seconds):
            while (at := next((h.at for h in self.heard if h.at >= since and _audible(h)), None)) is None:
                await asyncio.sleep(POLL_SECONDS)
        return 1000 * (at - since)

    def video(self, since: float = 0.0, until: float = math.inf) -> VideoFigures:
        """How fluently pictures were handed out."""
        times = [at for at in self.shown if since <= at < until]
        if len(times) < 2:
            return VideoFigures(len(times), 0.0, 0.0, 0, 0.0, 0)
        gaps, seconds = np.diff(times), times[-1] - times[0]
        freezes = int((gaps > FRAME_SECONDS + FREEZE_SECONDS).sum())
        return VideoFigures(
            len(times), seconds, (len(times) - 1) / seconds, freezes, 1000 * float(gaps.max()), 0
        )

    async def close(self) -> None:
        await self._peer.close()
        for task in self._readers:
            task.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)


def _loudness(samples: Any) -> float:
    power = float((np.asarray(samples, np.float64) ** 2).mean())
    return 10 * math.log10(power / 32768**2) if power > 0 else -math.inf


def _audible(heard: Heard) -> bool:
    return heard.loudness > AUDIBLE_DB
