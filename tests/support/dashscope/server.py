"""The server: who may come in, which protocol is at which path, and starting it on a thread."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.support.dashscope.compatible import chat, embeddings
from tests.support.dashscope.enrolment import answer, refusal
from tests.support.dashscope.realtime import RealtimeSocket
from tests.support.dashscope.state import KEY, Asked, Settings, State
from tests.support.dashscope.tasks import TaskSocket

_CODES = {
    400: "InvalidParameter",
    401: "InvalidApiKey",
    403: "AccessDenied",
    404: "NotFound",
    429: "Throttling.RateQuota",
}
_STATE = web.AppKey("state", State)


def application(state: State) -> web.Application:
    """Both kinds of sockets, the REST call for voices, and OpenAI's calls."""
    app = web.Application(client_max_size=32 * 1024 * 1024)
    app[_STATE] = state
    app.router.add_get("/api-ws/v1/inference", _inference)
    app.router.add_get("/api-ws/v1/inference/", _inference)
    app.router.add_get("/api-ws/v1/realtime", _realtime)
    app.router.add_post("/api/v1/services/audio/tts/customization", _customization)
    app.router.add_post("/compatible-mode/v1/chat/completions", _chat)
    app.router.add_post("/compatible-mode/v1/embeddings", _embeddings)
    return app


async def _inference(request: web.Request) -> web.StreamResponse:
    return await _socket(request, TaskSocket)


async def _realtime(request: web.Request) -> web.StreamResponse:
    return await _socket(request, RealtimeSocket)


async def _socket(request: web.Request, kind: type[TaskSocket] | type[RealtimeSocket]) -> web.StreamResponse:
    state = request.app[_STATE]
    if refused := _refused(state, request):
        return refused
    state.upgrades.append(dict(request.headers))
    socket = web.WebSocketResponse(compress=False, max_msg_size=1024 * 1024)
    await socket.prepare(request)
    state.open_now += 1
    try:
        await kind(state, socket, request, len(state.upgrades)).serve()
    finally:
        state.open_now -= 1
    return socket


async def _customization(request: web.Request) -> web.StreamResponse:
    state = request.app[_STATE]
    return _refused(state, request) or await answer(state, request)


async def _chat(request: web.Request) -> web.StreamResponse:
    state = request.app[_STATE]
    return _refused(state, request) or await chat(state, request)


async def _embeddings(request: web.Request) -> web.StreamResponse:
    state = request.app[_STATE]
    return _refused(state, request) or await embeddings(state, request)


def _refused(state: State, request: web.Request) -> web.Response | None:
    if status := state.refusal():
        state.requests.append(Asked("refused", 0, headers=dict(request.headers), way=status))
        headers = {"Retry-After": "0"} if status == "429" else None
        return refusal(int(status), _CODES.get(int(status), "InternalError"), "no", headers)
    if request.headers.get("Authorization") != f"Bearer {state.settings.key}":
        return refusal(401, "InvalidApiKey", "Invalid API-key provided.")
    return None


@dataclass
class DashScope:
    """A running server. `url` is http; the same port speaks both protocols."""

    url: str
    state: State
    key: str = KEY

    def misbehave(self, *ways: str) -> None:
        """What the next tasks do, one each; a status refuses the next upgrade or call."""
        self.state.ways[:] = ways

    @property
    def settings(self) -> Settings:
        return self.state.settings

    @property
    def requests(self) -> list[Asked]:
        return self.state.requests

    @property
    def open_now(self) -> int:
        return self.state.open_now

    @property
    def opened(self) -> int:
        """How many sockets there ever were."""
        return len(self.state.upgrades)

    @property
    def sound(self) -> bytes:
        """What the last synthesis sent, mono s16le."""
        return self.state.sound

    @property
    def sample_rate(self) -> int:
        return self.state.sample_rate


@contextmanager
def dashscope(**settings: Any) -> Iterator[DashScope]:
    """Run the server on a thread with a loop of its own until the block ends."""
    state, ready, box = State(Settings(**settings)), threading.Event(), dict[str, Any]()

    async def serve() -> None:
        runner = _runner(state)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        box.update(port=runner.addresses[0][1], loop=asyncio.get_running_loop(), stop=asyncio.Event())
        ready.set()
        await box["stop"].wait()
        await runner.cleanup()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    if not ready.wait(10):
        raise RuntimeError("the server did not start")
    try:
        yield DashScope(f"http://127.0.0.1:{box['port']}", state)
    finally:
        box["loop"].call_soon_threadsafe(box["stop"].set)
        thread.join(5)


def _runner(state: State) -> web.AppRunner:
    return web.AppRunner(application(state), handler_cancellation=True, access_log=None, shutdown_timeout=0.2)


async def run(host: str, port: int, settings: Settings) -> None:
    """Serve for ever."""
    runner = _runner(State(settings))
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    print(f"DashScope on http://{host}:{port} with the key {settings.key}", flush=True)
    await asyncio.Event().wait()
