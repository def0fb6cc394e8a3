"""An OmniRT server without models: both dialects, its list of models, and every way it goes wrong.

    with omnirt() as server:                          # server.url
        server.ways += ["", "drop"]                   # for the next chunks
        server.models["wav2lip"] = Model(runtime="fallback_runtime")

As the real one it draws a chunk at a time for all sessions, gives few or no pictures for the first chunk,
answers preload errors with status 200, and lists models by connecting to FlashTalk's server behind it,
which ends the session there (`wiped` counts those).
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import binascii
import json
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from aiohttp import WSMsgType, web

from tests.support import drawn_frames, misdrawn
from tests.support.drawn_frames import Session

MAX_BYTES = 50 * 1024 * 1024
FAKE = "fallback_runtime"
SIZED = ("width", "height")
CHUNKED = ("slice_len",)


@dataclass(frozen=True)
class Model:
    """How one model draws: `slice_frames` at a time, `lag` frames or `lookahead` chunks behind the sound."""

    runtime: str = "resident_runtime"
    connected: bool = True
    slice_frames: int = 28
    lag: int = 0
    lookahead: int = 0
    width: int = 96
    height: int = 160
    takes: tuple[str, ...] = ()
    """Fields of `init` that it follows; it ignores the others."""


def _models() -> dict[str, Model]:
    return {
        "flashtalk": Model("proxy"),
        "wav2lip": Model("wav2lip_runtime", lag=4, takes=SIZED + CHUNKED),
        "quicktalk": Model("quicktalk_runtime", slice_frames=4, lookahead=1, takes=SIZED + CHUNKED),
        "musetalk": Model("proxy", slice_frames=25),
        "fasterliveportrait": Model("fasterliveportrait_runtime", slice_frames=12, takes=SIZED + CHUNKED),
    }


NATIVE = {"soulx-flashtalk-14b": "flashtalk"}


@dataclass
class OmniRT:
    """`ways` are for the next chunks, `openings` for the next sessions, `lists` for the next lists."""

    url: str = ""
    key: str = ""
    models: dict[str, Model] = field(default_factory=_models)
    seconds_per_chunk: float = 0.0
    ways: list[str] = field(default_factory=list)
    openings: list[str] = field(default_factory=list)
    lists: list[str] = field(default_factory=list)
    sessions: int = 0
    open_now: int = 0
    begun: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """For each session its model and the message that began it."""
    chunks: int = 0
    closes: int = 0
    listed: int = 0
    wiped: int = 0
    """FlashTalk sessions that were lost because somebody asked for the list."""
    headers: list[dict[str, str]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    talks: set[Any] = field(default_factory=set)
    loop: asyncio.AbstractEventLoop | None = None

    def cut(self) -> None:
        """End all connections at once, as a proxy that saw nothing pass for a while."""
        for talk in list(self.talks):
            if (transport := talk.request.transport) is not None and self.loop is not None:
                self.loop.call_soon_threadsafe(transport.abort)


class _Refused(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class _Gone(Exception):
    """The connection is cut off."""


class _Talk:
    """One WebSocket. `native` is `/v1/avatar/realtime`, else FlashTalk's dialect for one model."""

    def __init__(self, state: OmniRT, request: web.Request, model: str) -> None:
        self.state, self.request, self.model = state, request, model
        self.native = not model
        self.socket = web.WebSocketResponse(max_msg_size=MAX_BYTES, compress=False)
        self.session: Session | None = None
        self.index = 0
        self.fake = False

    async def run(self) -> web.WebSocketResponse:
        await self.socket.prepare(self.request)
        self.state.headers.append(dict(self.request.headers))
        if self.model and self.model not in self.state.models:
            await self._say(type="error", code=f"{self.model}_proxy_not_configured", message="no proxy")
            await self.socket.close()
            return self.socket
        self.state.open_now += 1
        try:
            await self._talk()
        except (_Gone, ConnectionResetError):
            if transport := self.request.transport:
                transport.abort()
        finally:
            self.state.open_now -= 1
            self.session = None
        return self.socket

    async def _talk(self) -> None:
        async for message in self.socket:
            if message.type == WSMsgType.TEXT:
                await self._word(message.data)
            elif message.type == WSMsgType.BINARY:
                try:
                    await self._sound(message.data)
                except _Refused as error:
                    await self._say(type="error", code=error.code, message=str(error))

    async def _say(self, **message: Any) -> None:
        await self.socket.send_str(json.dumps(message))

    async def _word(self, text: str) -> None:
        try:
            message = json.loads(text)
        except ValueError:
            await self._say(
                type="error", message="Invalid JSON", **({"code": "bad_json"} if self.native else {})
            )
            return
        kind = message.get("type")
        if kind == ("session.create" if self.native else "init"):
            await self._begin(message)
        elif kind == ("session.close" if self.native else "close"):
            self.state.closes += 1
            self.session = None
            await self._say(type="session.closed" if self.native else "close_ok")
        elif kind == "ping" and self.native:
            await self._say(type="pong")
        else:
            await self._say(type="error", message=f"Unknown message type: {kind}")

    async def _begin(self, message: dict[str, Any]) -> None:
        way = self.state.openings.pop(0) if self.state.openings else ""
        if way == "drop":
            raise _Gone
        if way == "stall":
            await _until(self.state.released)
        self.session = None
        try:
            said = self._made(message, way)
        except _Refused as error:
            await self._say(type="error", code=error.code, message=str(error))
            return
        self.state.sessions += 1
        self.state.begun.append((self.model, message))
        await self._say(**said)

    def _made(self, message: dict[str, Any], way: str) -> dict[str, Any]:
        if way == "refuse":
            raise _Refused("preprocessed_asset_invalid", "No usable frames in /models/secret")
        if way == "not_ready":
            raise _Refused("runtime_not_ready", "The runtime is loading.")
        inputs = message.get("inputs", {}) if self.native else message
        config = message.get("config", {}) if self.native else message
        name = message.get("model", "soulx-flashtalk-14b")
        if self.native:
            self.model = NATIVE.get(name, name)
        model = self.state.models.get(self.model, Model(FAKE))
        self.fake = model.runtime == FAKE
        if self.native:
            model = replace(model, takes=SIZED)
        session = self._session(
            _image(inputs.get("image_b64" if self.native else "ref_image")), model, config
        )
        return self._native(session, model) if self.native else self._compatible(session, model)

    def _session(self, file: bytes, model: Model, config: dict[str, Any]) -> Session:
        frames = int(config["slice_len"]) if "slice_len" in config and "slice_len" in model.takes else 0
        taken = {name: int(config[name]) for name in SIZED if name in model.takes and name in config}
        sides = {"width": model.width, "height": model.height, **taken}
        frames = frames or model.slice_frames
        self.session = Session(
            file, sides["width"], sides["height"], frames, lag=model.lag or model.lookahead * frames
        )
        self.index = 0
        return self.session

    def _compatible(self, session: Session, model: Model) -> dict[str, Any]:
        return {
            "type": "init_ok",
            "model": self.model,
            "frame_num": session.slice_frames + 1,
            "motion_frames_num": 1,
            "slice_len": session.slice_frames,
            "fps": 25,
            "height": session.height,
            "width": session.width,
            "chunk_samples": session.chunk_samples,
            "lookahead_chunks": model.lookahead,
            "preload": None,
        }

    def _native(self, session: Session, model: Model) -> dict[str, Any]:
        sound = {"format": "pcm_s16le", "sample_rate": 16000, "channels": 1}
        shown = {"encoding": "jpeg-seq", "wire_magic": "VIDX", "fps": 25}
        return {
            "type": "session.created",
            "session_id": f"avt_{self.state.sessions:032x}",
            "trace_id": "trace_0",
            "audio": {**sound, "chunk_samples": session.chunk_samples},
            "video": {**shown, "width": session.width, "height": session.height},
            "lookahead_chunks": model.lookahead,
        }

    async def _sound(self, data: bytes) -> None:
        session = self.session
        if session is None:
            code = "session_required" if self.native else ""
            raise _Refused(code, "No active session. Send 'init' first.")
        if not data.startswith(b"AUDI"):
            raise _Refused("bad_audio_magic", "Binary audio payload must start with AUDI magic.")
        if len(data) - 4 != session.chunk_samples * 2:
            raise _Refused(
                "bad_audio_chunk", f"Expected {session.chunk_samples * 2} bytes of pcm_s16le audio."
            )
        self.state.chunks += 1
        way = self.state.ways.pop(0) if self.state.ways else ""
        await self._before(way)
        if self.state.seconds_per_chunk:
            await asyncio.sleep(self.state.seconds_per_chunk)
        made = session.hear(np.frombuffer(data, "<i2", offset=4))
        if way == "foreign":
            made = replace(session, file=misdrawn.STRANGER, given=0, sound=session.sound[:0]).hear(
                session.sound
            )
        if self.fake:
            way = "fake"
        self.index += 1
        if self.native:
            await self._say(type="metrics", chunk_index=self.index, infer_ms=1.0, encode_ms=0)
        await self._send(way, made, session)

    async def _before(self, way: str) -> None:
        if way == "stall":
            await _until(self.state.released)
        if way == "drop":
            raise _Gone
        if way == "lost":
            self.session = None
            raise _Refused("session_not_found", "Avatar session was not found.")
        if way == "upstream":
            self.session = None
            raise _Refused("", "no close frame received or sent")
        if way in misdrawn.SAID:
            raise _Refused("runtime_error" if way == "fail" else "", misdrawn.SAID[way])
        if way == "text":
            await self.socket.send_str("good morning")
        if way == "chatter":
            for _ in range(200):
                await self._say(type="metrics")

    async def _send(self, way: str, made: list[bytes], session: Session) -> None:
        data = misdrawn.answer(way, made, session)
        if way == "half" and (transport := self.request.transport) is not None:
            transport.write(struct.pack("!BBQ", 0x82, 127, len(data)) + data[: len(data) // 2])
            await asyncio.sleep(0.05)
            raise _Gone
        await self.socket.send_bytes(data)


def _image(value: Any) -> bytes:
    if not value:
        raise _Refused("missing_image", "A base64 reference image is required.")
    try:
        file = base64.b64decode(str(value), validate=True)
    except binascii.Error:
        raise _Refused("bad_image_base64", "Reference image must be valid base64.") from None
    try:
        drawn_frames.plate(file, 16, 16)
    except ValueError:
        raise _Refused("preprocessed_asset_invalid", "The image cannot be read.") from None
    return file


async def _until(event: threading.Event) -> None:
    while not event.is_set():
        await asyncio.sleep(0.02)


def application(state: OmniRT) -> web.Application:
    async def talk(request: web.Request) -> web.WebSocketResponse:
        made = _Talk(state, request, request.match_info.get("model", ""))
        state.talks.add(made)
        try:
            return await made.run()
        finally:
            state.talks.discard(made)

    async def models(_: web.Request) -> web.Response:
        state.listed += 1
        for made in state.talks:
            if made.model == "flashtalk" and made.session is not None:
                made.session = None
                state.wiped += 1
        return _list(state)

    async def preload(_: web.Request) -> web.Response:
        error = {"type": "error", "code": "preprocessed_asset_invalid", "message": "No frames."}
        return web.json_response(error)

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    app = web.Application(middlewares=[_guard(state)], client_max_size=MAX_BYTES)
    for family in ("audio2video", "avatar"):
        app.router.add_get(f"/v1/{family}/models", models)
        app.router.add_post(f"/v1/{family}/{{model}}/preload", preload)
    app.router.add_get("/v1/avatar/realtime", talk)
    for family in ("audio2video", "avatar"):
        app.router.add_get(f"/v1/{family}/{{model:(?!flashhead)[a-z0-9]+}}", talk)
    app.router.add_get("/healthz", healthz)
    return app


def _list(state: OmniRT) -> web.Response:
    way = state.lists.pop(0) if state.lists else ""
    if way == "500":
        return web.Response(status=500, text="Internal Server Error")
    if way == "garbage":
        return web.Response(text="<p>no</p>")
    if way == "long":
        return web.Response(text=" " * 1_000_000)
    statuses = [
        {"id": name, "connected": model.connected, "reason": model.runtime}
        for name, model in state.models.items()
    ]
    connected = [entry["id"] for entry in statuses if entry["connected"]]
    return web.json_response({"models": connected, "statuses": statuses})


def _guard(state: OmniRT) -> Any:
    """HTTP alone asks for the key; WebSockets never do."""

    @web.middleware
    async def guard(request: web.Request, handler: Any) -> web.StreamResponse:
        socket = request.headers.get("Upgrade", "").lower() == "websocket"
        given = request.headers.get("X-API-Key") or request.headers.get("Authorization", "")[7:]
        if state.key and not socket and request.path != "/healthz" and given != state.key:
            return web.json_response({"detail": "Unauthorized"}, status=401)
        answer: web.StreamResponse = await handler(request)
        return answer

    return guard


@contextmanager
def omnirt(port: int = 0, **settings: Any) -> Iterator[OmniRT]:
    """Run it on a thread with a loop of its own until the block ends."""
    state, ready, box = OmniRT(**settings), threading.Event(), dict[str, Any]()

    async def run() -> None:
        runner = web.AppRunner(application(state), access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        state.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        box.update(loop=asyncio.get_running_loop(), stop=asyncio.Event())
        state.loop = box["loop"]
        ready.set()
        await box["stop"].wait()
        await runner.cleanup()

    thread = threading.Thread(target=asyncio.run, args=(run(),), daemon=True)
    thread.start()
    if not ready.wait(10):
        raise RuntimeError("the server did not start")
    try:
        yield state
    finally:
        state.released.set()
        box["loop"].call_soon_threadsafe(box["stop"].set)
        thread.join(5)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.support.omnirt", description=__doc__)
    parser.add_argument("--port", type=int, default=9000)
    options = parser.parse_args()
    with omnirt(port=options.port) as server, suppress(KeyboardInterrupt):
        print(f"OmniRT on {server.url}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
