"""A live session that speaks the WebSocket contract, and misbehaves when told to.

A real server on a real port: WebSockets with sequence numbers and replay, answers to offers by
aiortc with a moving picture and a quiet tone. Everything else is passed on to Django, so that the
pages run under their own origin and content policy.
"""

import asyncio
import contextlib
import fractions
import json
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import aiohttp
import av
import numpy as np
from aiohttp import web
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription

TOKEN = "test-token-of-a-session"
SESSION = "ses_test"
CONSENT = "Picture, sound and words are kept for 30 days."
FACE = (
    "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 80 100'>"
    "<rect width='80' height='100' fill='%23b9ccc2'/><circle cx='40' cy='42' r='20' fill='%23e6b48f'/></svg>"
)
FPS = 25
WIDTH, HEIGHT = 128, 160


class Picture(MediaStreamTrack):
    """A bar that wanders, so that a frozen picture can be told from a living one."""

    kind = "video"

    def __init__(self, fps: int) -> None:
        super().__init__()
        self._fps = fps
        self._number = 0
        self._began: float | None = None

    async def recv(self) -> av.VideoFrame:
        await _pace(self, self._number / self._fps)
        picture = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
        picture[:HEIGHT] = 60
        at = self._number * 4 % WIDTH
        picture[:HEIGHT, at : at + 12] = 220
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts, frame.time_base = self._number * 90000 // self._fps, fractions.Fraction(1, 90000)
        self._number += 1
        return frame


class Tone(MediaStreamTrack):
    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._number = 0
        self._began: float | None = None

    async def recv(self) -> av.AudioFrame:
        await _pace(self, self._number / 50)
        at = np.arange(960) + 960 * self._number
        sound = (800 * np.sin(at * 2 * np.pi * 220 / 48000)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(sound[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts = 48000, self._number * 960
        frame.time_base = fractions.Fraction(1, 48000)
        self._number += 1
        return frame


async def _pace(track: Any, at: float) -> None:
    now = asyncio.get_running_loop().time()
    if track._began is None:
        track._began = now
    await asyncio.sleep(max(0.0, track._began + at - now))


class FakeSession:
    """Tests call its methods from their own thread; the server has a thread and a loop of its own."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.heard: list[dict[str, Any]] = []
        self.joins: list[int] = []  # the `since` of each
        self.offers = 0
        self.status = "active"
        self.position: int | None = None
        self.record = True
        self.known = True  # False: nobody has heard of this session
        self.refusal: tuple[int, str] | None = None
        self.deaf = False  # takes messages, answers nothing
        self.deaf_to_offers = 0
        self.fps = FPS
        self.events: list[dict[str, Any]] = []
        self.sockets: list[web.WebSocketResponse] = []
        self.peers: list[RTCPeerConnection] = []
        self.microphone_frames = 0
        self.site: dict[str, tuple[str, dict[str, str]]] = {}  # pages of another site: body, headers
        self.turn = 0
        self.speech_seconds = 1.2
        self.replay_pause = 0.0  # between two events that a join repeats, as on a slow line
        self.at_join: list[dict[str, Any]] = []  # told right behind the state of the next join
        self.numbered_answers = False  # a pong takes a number, and is not told again
        self.lost: set[str] = set()  # types of events that do not reach the socket
        self._speaking: asyncio.Task[None] | None = None
        self._readers: set[asyncio.Task[None]] = set()
        self.loop = asyncio.new_event_loop()
        self.port = 0

    # --- What tests do -------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def emit(self, **event: Any) -> None:
        self.call(self._emit(event))

    def drop(self) -> None:
        """Cut every socket, as a dying network does: no close frame."""
        self.call(self._drop())

    def kill_peers(self) -> None:
        """Media stops without a word, as when the hosting process died."""
        self.call(self._kill_peers())

    def place(self, status: str, position: int | None = None, **more: Any) -> None:
        self.status, self.position = status, position
        self.emit(type="session.state", status=status, phase="idle", position=position, **more)

    def messages(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.heard if message["type"] == kind]

    # --- The server ----------------------------------------------------------------------------

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get(f"/ws/sessions/{SESSION}/", self._socket)
        app.router.add_get(f"/live/{SESSION}/info", self._info)
        app.router.add_options(f"/live/{SESSION}/info", self._preflight)
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        self._client = aiohttp.ClientSession(auto_decompress=False)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]

    async def stop(self) -> None:
        await self._drop()
        await self._kill_peers()
        await self._client.close()
        await self._runner.cleanup()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        if page := self.site.get(request.path):
            return web.Response(text=page[0], headers=page[1])
        headers = {name: value for name, value in request.headers.items() if name != "Connection"}
        address = f"{self.upstream}{request.rel_url}"
        body = await request.read()
        async with self._client.request(
            request.method, address, headers=headers, data=body, allow_redirects=False
        ) as answer:
            content = await answer.read()
            skipped = {"transfer-encoding", "connection", "content-length", "keep-alive"}
            kept = [(k, v) for k, v in answer.headers.items() if k.lower() not in skipped]
            response = web.Response(status=answer.status, body=content)
            if request.path.startswith("/static/"):  # as WhiteNoise does, which the test server leaves out
                response.headers["Access-Control-Allow-Origin"] = "*"
            for name, value in kept:
                if name.lower() == "content-type":
                    response.headers["Content-Type"] = value
                else:
                    response.headers.add(name, value)
            return response

    async def _info(self, request: web.Request) -> web.Response:
        if not self.known or request.headers.get("Authorization") != f"Bearer {TOKEN}":
            problem = {"status": 403, "code": "token_invalid", "detail": "No."}
            return web.json_response(problem, status=403, headers=self._for_sites(request))
        facts = {"id": SESSION, "status": self.status, **self._facts(), "yours": False}
        return web.json_response(facts, headers=self._for_sites(request))

    async def _preflight(self, request: web.Request) -> web.Response:
        return web.Response(status=204, headers=self._for_sites(request))

    def _for_sites(self, request: web.Request) -> dict[str, str]:
        names = {"Access-Control-Allow-Headers": "Authorization"}
        return names | {"Access-Control-Allow-Origin": request.headers.get("Origin", self.url)}

    def _facts(self) -> dict[str, Any]:
        return {
            "avatar": {"name": "Lena", "preview_url": FACE, "width": WIDTH, "height": HEIGHT},
            "record": self.record,
            "consent": CONSENT if self.record else "",
            "language": "en",
            "may_say": False,
            "limits": {"warning_seconds": 60},
        }

    # --- The socket ----------------------------------------------------------------------------

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        since = int(request.query.get("since", 0))
        self.joins.append(since)
        wrong = None if request.query.get("token") == TOKEN else (4401, "token_invalid")
        if refusal := self.refusal or wrong:
            return await _refuse(socket, *refusal)
        for older in self.sockets[:]:
            self.sockets.remove(older)
            await _refuse(older, 4409, "replaced")
        for event in [event for event in self.events if event["seq"] > since]:
            await socket.send_json(event)
            await asyncio.sleep(self.replay_pause)
        self.sockets.append(socket)
        await self._emit(
            {
                "type": "session.state",
                "status": self.status,
                "phase": "idle",
                "position": self.position,
                "ice_servers": [],
                **self._facts(),
            }
        )
        for event in self.at_join:
            await self._emit(event)
        with contextlib.suppress(ConnectionError):
            async for message in socket:
                if message.type == aiohttp.WSMsgType.TEXT:
                    await self._command(socket, json.loads(message.data))
        if socket in self.sockets:
            self.sockets.remove(socket)
        return socket

    async def _command(self, socket: web.WebSocketResponse, message: dict[str, Any]) -> None:
        self.heard.append(message)
        if self.deaf:
            return
        match message["type"]:
            case "ping":
                number = {"seq": len(self.events) + 1} if self.numbered_answers else {}
                await socket.send_json({"type": "pong", **number})
                if number:
                    self.events.append({"type": "pong", **number})
            case "rtc.offer":
                await self._offered(socket, message)
            case "user.text":
                await self._hush(interrupted=True)
                self._speaking = asyncio.ensure_future(self._answer(message["text"]))
            case "avatar.interrupt":
                await self._hush(interrupted=True)
            case "session.end":
                await self._emit({"type": "session.ended", "reason": "client_ended"})

    async def _offered(self, socket: web.WebSocketResponse, message: dict[str, Any]) -> None:
        self.offers += 1
        if self.deaf_to_offers:
            self.deaf_to_offers -= 1
            return
        await self._kill_peers()
        peer = RTCPeerConnection()
        self.peers.append(peer)
        peer.on("track", self._listen)
        await peer.setRemoteDescription(RTCSessionDescription(message["sdp"], "offer"))
        peer.addTrack(Tone())
        peer.addTrack(Picture(self.fps))
        await peer.setLocalDescription(await peer.createAnswer())
        await socket.send_json({"type": "rtc.answer", "id": message["id"], "sdp": peer.localDescription.sdp})

    def _listen(self, track: MediaStreamTrack) -> None:
        async def count() -> None:
            while True:
                frame = await track.recv()
                if np.abs(frame.to_ndarray()).max() > 300:  # not the silence of a muted track
                    self.microphone_frames += 1

        if track.kind == "audio":
            task = asyncio.ensure_future(count())
            self._readers.add(task)
            task.add_done_callback(
                lambda done: self._readers.discard(done) or done.cancelled() or done.exception()
            )

    # --- The conversation ----------------------------------------------------------------------

    async def _emit(self, event: dict[str, Any]) -> None:
        event = {**event, "seq": len(self.events) + 1, "at_ms": 40 * len(self.events)}
        self.events.append(event)
        if event["type"] in self.lost:
            return
        for socket in self.sockets[:]:
            with contextlib.suppress(ConnectionError):
                await socket.send_json(event)

    async def _answer(self, text: str) -> None:
        self.turn += 2
        turn = self.turn
        await self._emit({"type": "transcript.final", "turn": turn - 1, "text": text})
        await self._emit({"type": "session.state", "status": "active", "phase": "thinking"})
        parts = [f"You said: {text}.", "And this is the second sentence."]
        for part in parts:
            await self._emit({"type": "reply.delta", "turn": turn, "text": f"{part} "})
        await self._emit({"type": "session.state", "status": "active", "phase": "speaking"})
        await self._emit({"type": "speech.started", "turn": turn})
        lasting = round(self.speech_seconds * 1000)
        for number, part in enumerate(parts):
            start = number * lasting
            await self._emit(
                {
                    "type": "reply.utterance",
                    "turn": turn,
                    "text": part,
                    "start_ms": start,
                    "end_ms": start + lasting,
                }
            )
            await asyncio.sleep(self.speech_seconds)
        await self._ended(turn, interrupted=False, heard=" ".join(parts))

    async def _hush(self, *, interrupted: bool) -> None:
        if self._speaking is None or self._speaking.done():
            return
        self._speaking.cancel()
        await self._ended(self.turn, interrupted=interrupted, heard="You said")

    async def _ended(self, turn: int, *, interrupted: bool, heard: str) -> None:
        await self._emit(
            {"type": "speech.ended", "turn": turn, "interrupted": interrupted, "heard_text": heard}
        )
        await self._emit({"type": "session.state", "status": "active", "phase": "idle"})
        figures = {"llm_first_token_ms": 152.4, "tts_first_pcm_ms": 103.0, "avatar_first_frame_ms": 61.2}
        await self._emit({"type": "metrics", "turn": turn, **figures})

    async def _drop(self) -> None:
        for socket in self.sockets[:]:
            self.sockets.remove(socket)
            transport = socket._req.transport if socket._req else None
            if transport is not None:
                transport.abort()

    async def _kill_peers(self) -> None:
        for peer in self.peers:
            await _vanish(peer)
        self.peers.clear()


async def _vanish(peer: RTCPeerConnection) -> None:
    """Stop without telling the other side: no DTLS alert, no RTCP goodbye."""
    for transport in {sender.transport for sender in peer.getSenders()}:
        await transport.transport.stop()
    await peer.close()


async def _refuse(socket: web.WebSocketResponse, code: int, error: str) -> web.WebSocketResponse:
    with contextlib.suppress(ConnectionError):
        await socket.send_json({"type": "error", "seq": 0, "at_ms": 0, "code": error, "detail": "Refused."})
        await socket.close(code=code)
    return socket


@contextlib.contextmanager
def fake_session(upstream: str) -> Iterator[FakeSession]:
    fake = FakeSession(upstream)
    ready = threading.Event()

    def run() -> None:
        asyncio.set_event_loop(fake.loop)
        fake.loop.run_until_complete(fake.start())
        ready.set()
        fake.loop.run_forever()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield fake
    finally:
        with contextlib.suppress(TimeoutError):
            fake.call(fake.stop())
        fake.loop.call_soon_threadsafe(fake.loop.stop)
        thread.join(5)


def wait_for(condition: Callable[[], Any], pump: Callable[[int], Any], seconds: float = 10) -> Any:
    """Wait until something is so; `pump` lets the browser go on (page.wait_for_timeout)."""
    for _ in range(round(seconds * 20)):
        if found := condition():
            return found
        pump(50)
    raise AssertionError("It did not come to pass")
