"""One customer of a live session, with a stopwatch: REST, WebSocket and WebRTC, measured at the receiver.

    async with LiveClient(base_url, api_key, avatar="lena") as client:
        await client.create()
        await client.join()
        await client.connect_media()
        begun = await client.user_text("How do I get my money back?")
        await client.event("speech.ended", since=begun)
        print(client.first_sound_ms(begun), client.watcher.video())

It decodes pictures only with `decode=True` (one client: 3% of a core; without: 0.4%), so that many
of them can put a service under load from one process. Times are monotonic seconds.
"""

import asyncio
import contextlib
import json
import math
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import av
import httpx
import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from project.bench.lossy import LossyPath
from project.bench.media import Watcher, av_offset_ms
from project.bench.peer import LightPeer

EVENT_SECONDS = 20.0
MIC_CHUNK_BYTES = 640  # 20 ms at 16 kHz
MAX_MESSAGE_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Event:
    """A message of the server and when it came."""

    at: float
    type: str
    data: dict[str, Any]

    @property
    def seq(self) -> int:
        return int(self.data.get("seq", 0))


@dataclass(slots=True)
class Connecting:
    """How long the parts of joining took, in ms. Pictures count from the moment the offer was sent."""

    session_create_ms: float | None = None
    join_ms: float | None = None
    answer_ms: float | None = None
    connected_ms: float | None = None
    first_frame_ms: float | None = None


@dataclass
class LiveClient:
    """`wishes` go into `POST sessions`. `path` is a bad network to go through, where there is one."""

    base_url: str
    api_key: str
    avatar: str = ""
    wishes: dict[str, Any] = field(default_factory=dict)
    decode: bool = False
    read_cards: bool = False
    http: httpx.AsyncClient | None = None
    path: LossyPath | None = None
    video: str = "H264"
    connecting: Connecting = field(default_factory=Connecting)
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._own_http = self.http is None
        self.session: dict[str, Any] = {}
        self.watcher = self._new_watcher()
        self.peer: LightPeer | None = None
        self.close_code: int | None = None
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._microphone: asyncio.Task[None] | None = None
        self._told = asyncio.Event()

    def _new_watcher(self) -> Watcher:
        return Watcher(decode=self.decode or self.read_cards, read_cards=self.read_cards)

    async def __aenter__(self) -> Self:
        if self.http is None:
            self.http = httpx.AsyncClient(timeout=30, verify=False)  # noqa: S501 - certificates of our own making
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # --- REST ---------------------------------------------------------------------------------

    async def request(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """Call the API with our key; `path` below /api/v1/."""
        assert self.http is not None
        headers = {"Authorization": f"Bearer {self.api_key}"}
        url = f"{self.base_url.rstrip('/')}/api/v1/{path}"
        return await self.http.request(method, url, json=body, headers=headers)

    async def create(self) -> dict[str, Any]:
        """Create the session. Raises `httpx.HTTPStatusError` when it is refused."""
        began = time.monotonic()
        response = await self.request("POST", "sessions", {"avatar": self.avatar, **self.wishes})
        self.connecting.session_create_ms = _ms(began)
        response.raise_for_status()
        self.session = response.json()
        return self.session

    @property
    def id(self) -> str:
        return str(self.session["id"])

    async def say(self, text: str) -> float:
        """Have the avatar say this (REST); returns when it was sent."""
        return await self._command("say", {"text": text})

    async def ask(self, text: str) -> float:
        """Take a turn in writing (REST); returns when it was sent."""
        return await self._command("ask", {"text": text})

    async def interrupt(self) -> float:
        """Have the avatar stop (REST); returns when it was sent."""
        return await self._command("interrupt", {})

    async def _command(self, name: str, body: dict[str, Any]) -> float:
        began = time.monotonic()
        response = await self.request("POST", f"sessions/{self.id}/{name}", body)
        response.raise_for_status()
        return began

    # --- WebSocket ----------------------------------------------------------------------------

    async def join(self, *, since: int | None = None, origin: str | None = None) -> Event:
        """Open the socket and wait for the session's state. Raises `ConnectionClosed` when refused."""
        began = time.monotonic()
        query = f"?token={self.session['client_token']}" + ("" if since is None else f"&since={since}")
        headers = {"Origin": origin} if origin else {}
        self._socket = await connect(
            self.session["ws_url"] + query,
            additional_headers=headers,
            max_size=MAX_MESSAGE_BYTES,
            compression=None,
            ping_interval=None,
            proxy=None,
        )
        self._reader = asyncio.create_task(self._read(self._socket))
        state = await self.event("session.state", since=began)
        self.connecting.join_ms = _ms(began)
        return state

    async def _read(self, socket: ClientConnection) -> None:
        try:
            async for message in socket:
                data = json.loads(message)
                self.events.append(Event(time.monotonic(), data["type"], data))
                self._told.set()
        except ConnectionClosed:
            pass
        finally:
            self.close_code = socket.close_code
            self._told.set()

    async def send(self, type_: str, **fields: Any) -> float:
        """Send a message; returns when."""
        assert self._socket is not None
        at = time.monotonic()
        await self._socket.send(json.dumps({"type": type_, **fields}))
        return at

    async def send_raw(self, message: str | bytes) -> None:
        assert self._socket is not None
        await self._socket.send(message)

    async def user_text(self, text: str) -> float:
        return await self.send("user.text", text=text)

    async def leave(self) -> None:
        """Close the socket only, as a reload or a lost network does."""
        if self._socket is not None:
            await self._socket.close()
        if self._reader is not None:
            await self._reader

    async def event(
        self,
        *types: str,
        since: float = 0.0,
        seconds: float = EVENT_SECONDS,
        where: Callable[[dict[str, Any]], bool] = lambda _: True,
    ) -> Event:
        """The first event of one of these types that came since then; waits for it.

        Raises `TimeoutError`, and `ConnectionError` when the socket closes first.
        """
        checked = 0
        deadline = time.monotonic() + seconds
        while True:
            for event in self.events[checked:]:
                if event.type in types and event.at >= since and where(event.data):
                    return event
            checked = len(self.events)
            if self.close_code is not None:
                raise ConnectionError(f"the socket closed ({self.close_code}) before {' or '.join(types)}")
            self._told.clear()
            if len(self.events) > checked:
                continue
            try:
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    await self._told.wait()
            except TimeoutError:
                raise TimeoutError(f"no {' or '.join(types)} in {seconds} s: {self.situation()}") from None

    def seen(self, *types: str, since: float = 0.0) -> list[Event]:
        return [event for event in self.events if event.type in types and event.at >= since]

    # --- WebRTC -------------------------------------------------------------------------------

    async def connect_media(self, *, wait_for_picture: bool = True) -> None:
        """Offer, take the answer, connect, and wait for the first picture. Again: a fresh peer."""
        if self.peer is not None:
            await self.peer.close()
        self.watcher = self._new_watcher()
        self.peer = LightPeer(on_packet=self.watcher, needs=self.watcher.needs, video=self.video)
        sdp = await self.peer.offer()
        began = await self.send("rtc.offer", sdp=self.path.offer(sdp) if self.path else sdp)
        answer = await self.event("rtc.answer", since=began)
        self.connecting.answer_ms = 1000 * (answer.at - began)
        text = str(answer.data["sdp"])
        await self.peer.accept(self.path.answer(text) if self.path else text)
        self.connecting.connected_ms = _ms(began)
        if wait_for_picture:
            await self.until(lambda: self.watcher.first_picture_at is not None)
            assert self.watcher.first_picture_at is not None
            self.connecting.first_frame_ms = 1000 * (self.watcher.first_picture_at - began)

    async def until(self, condition: Callable[[], bool], seconds: float = EVENT_SECONDS) -> None:
        """Wait for something about the media. Raises `TimeoutError`, which says what there was instead."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not in {seconds} s: {self.situation()}")
            await asyncio.sleep(0.005)

    def situation(self) -> str:
        """What came so far, for the message of a failed test."""
        speech = sum(sound.speech for sound in self.watcher.sounds)
        events = "; ".join(f"{event.type} {_brief(event.data)}" for event in self.events[-12:])
        return (
            f"socket closed with {self.close_code}, {len(self.watcher.pictures)} pictures, "
            f"{len(self.watcher.sounds)} packets of sound, {speech} of speech; last events: {events}"
        )

    async def speak(self, pcm16k: bytes, *, over: str = "rtc") -> float:
        """Say this into the microphone, in real time; returns when it began.

        `over` is "rtc" (an Opus track) or "ws" (binary messages). Goes on in the background; silence
        follows, as from a quiet room, until `hush`.
        """
        await self.hush()
        began = time.monotonic()
        run = self._speak_rtc(pcm16k) if over == "rtc" else self._speak_ws(pcm16k)
        self._microphone = asyncio.create_task(run)
        return began

    async def hush(self) -> None:
        """Switch the microphone off."""
        microphone, self._microphone = self._microphone, None
        if microphone is not None:
            microphone.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await microphone

    async def _speak_rtc(self, pcm16k: bytes) -> None:
        assert self.peer is not None
        encoder = opus_encoder()
        async for number, chunk in _paced(pcm16k):
            sound = av.AudioFrame.from_ndarray(
                np.frombuffer(chunk, np.int16)[None], format="s16", layout="mono"
            )
            sound.sample_rate, sound.pts = 16_000, number * 320
            for packet in encoder.encode(sound):
                self.peer.speak(bytes(packet))

    async def _speak_ws(self, pcm16k: bytes) -> None:
        async for _, chunk in _paced(pcm16k):
            await self.send_raw(chunk)

    # --- Figures ------------------------------------------------------------------------------

    async def first_sound(self, since: float, seconds: float = EVENT_SECONDS) -> float:
        """Wait for the first audible packet; returns when it came, in ms after `since`."""
        await self.until(lambda: self.watcher.first_audible(since) is not None, seconds)
        return self.first_sound_ms(since)

    def first_sound_ms(self, since: float) -> float:
        at = self.watcher.first_audible(since)
        assert at is not None, "nothing was heard"
        return 1000 * (at - since)

    async def silence(self, since: float, *, quiet: float = 1.0, seconds: float = 10.0) -> float:
        """Wait until nothing of an utterance came for `quiet` seconds; returns the time to silence, in ms.

        Silence begins with the first packet of comfort sound that has none of an utterance after it: what
        came of the old reply behind it would move it, and so be seen.
        """

        def silent() -> bool:
            at = self.watcher.silent_at(since)
            return at is not None and self.watcher.sounds[-1].at - at >= quiet

        await self.until(silent, seconds)
        at = self.watcher.silent_at(since)
        assert at is not None
        return 1000 * (at - since)

    def late_packets(self, since: float, until: float = math.inf) -> int:
        """Speech packets (audible or not) that came after the first silent one since then.

        After an interruption that nothing new follows these are of the old epoch: there must be none.
        """
        sounds = self.watcher.span(since, until)
        first = next((index for index, sound in enumerate(sounds) if not sound.speech), len(sounds))
        return sum(sound.speech for sound in sounds[first:])

    def av_offset_ms(self, since: float = 0.0) -> float | None:
        """How much the voice lags behind the lips: by a test card where there is one, else by reports."""
        assert self.peer is not None
        if self.read_cards:
            return av_offset_ms(self.watcher, self.peer, since)
        return self.peer.offset_ms()

    async def close(self) -> None:
        """Hang up, without ending the session."""
        await self.hush()
        if self.peer is not None:
            await self.peer.close()
            self.peer = None
        await self.leave()
        if self._own_http and self.http is not None:
            await self.http.aclose()
            self.http = None


def _brief(data: dict[str, Any]) -> str:
    """The fields of an event that say most, cut short."""
    known = ("code", "detail", "status", "phase", "turn", "reason", "text")
    return " ".join(f"{name}={str(data[name])[:60]}" for name in known if name in data)


def opus_encoder() -> Any:
    """As a browser encodes for us: 16 kHz mono."""
    codec: Any = av.CodecContext.create("libopus", "w")
    codec.sample_rate, codec.layout, codec.format, codec.bit_rate = 16_000, "mono", "s16", 24_000
    codec.options = {"application": "voip"}
    return codec


async def _paced(pcm16k: bytes) -> AsyncIterator[tuple[int, bytes]]:
    """20 ms of sound every 20 ms, then silence for ever."""
    began, number = time.monotonic(), 0
    while True:
        chunk = pcm16k[number * MIC_CHUNK_BYTES : (number + 1) * MIC_CHUNK_BYTES]
        yield number, chunk.ljust(MIC_CHUNK_BYTES, b"\0")
        number += 1
        await asyncio.sleep(max(0.0, began + number * 0.020 - time.monotonic()))


def _ms(began: float) -> float:
    return 1000 * (time.monotonic() - began)
