"""What the fakes of HTTP providers share: a thread with a server, a journal, and misbehaving on demand.

A fake says which routes it has and how it answers a request that is right; what is wrong it refuses
with `Wrong`. `GET /control` tells what was asked, `POST /control {"misbehave": [...]}` sets what the
next requests get.
"""

import argparse
import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from aiohttp import web

from project.bench.babble import RATE, babble

KEY = "secret"
TEXT = "Marmalade umbrellas never whistle."
PIECE = 4800
Answer = Callable[[web.Request, str], Awaitable[web.StreamResponse]]


class Wrong(Exception):
    """A request that the real provider would refuse."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        super().__init__(str(status))
        self.status, self.body = status, body


class HttpService:
    """A fake; `requests` are those it took, `open_now` counts answers under way, `opened` connections."""

    path = "/v1"

    def __init__(self, key: str = KEY, text: str = TEXT) -> None:
        self.key = key
        self.origin = ""
        self.sound, self.sample_rate = babble(text).pcm, RATE
        self.requests: list[Any] = []
        self.open_now = 0
        self._transports: list[Any] = []
        self._ways: list[str] = []

    @property
    def url(self) -> str:
        return self.origin + self.path

    @property
    def opened(self) -> int:
        return len(self._transports)

    def misbehave(self, *ways: str) -> None:
        self._ways = list(ways)

    def routes(self) -> list[tuple[str, str, Answer]]:
        """Method, path, and what answers there."""
        raise NotImplementedError

    def problem(self, status: int) -> Mapping[str, Any]:
        """The body of a refusal, as this provider writes it."""
        code = {401: "invalid_api_key", 429: "rate_limit_exceeded"}.get(status)
        return {"error": {"message": TEXT, "type": "server_error", "param": None, "code": code}}

    def application(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        for method, path, answer in self.routes():
            app.router.add_route(method, self.path + path, self._handler(answer))
        app.router.add_get("/control", self._tell)
        app.router.add_post("/control", self._change)
        return app

    def _handler(self, answer: Answer) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            if request.transport not in self._transports:
                self._transports.append(request.transport)
            self.open_now += 1
            try:
                return await self._answered(request, answer)
            except Wrong as wrong:
                return web.json_response(wrong.body, status=wrong.status)
            finally:
                self.open_now -= 1

        return handle

    async def _answered(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        way = self._ways.pop(0) if self._ways and request.method == "POST" else ""
        wanted = f"Bearer {self.key}" if self.key else None
        if way == "401" or request.headers.get("Authorization") != wanted:
            raise Wrong(401, self.problem(401))
        name, _, argument = way.partition(" ")
        if name.isdecimal():
            await request.read()
            headers = {"Retry-After": argument or "0"}
            return web.json_response(self.problem(int(name)), status=int(name), headers=headers)
        if way == "garbage":
            return web.Response(text=f"<p>{TEXT}</p>", content_type="text/html")
        if way == "silent":
            await request.read()  # who does not read does not see either that somebody hangs up
            await _hang(request)
        if way == "drop":
            assert request.transport is not None
            request.transport.abort()
        return await answer(request, way)

    async def _tell(self, _: web.Request) -> web.Response:
        told = {"requests": self.requests, "open_now": self.open_now, "opened": self.opened}
        return web.json_response(told, dumps=lambda data: json.dumps(data, default=str))

    async def _change(self, request: web.Request) -> web.Response:
        self.misbehave(*(await request.json())["misbehave"])
        return web.json_response({})


async def body_of(request: web.Request, wrong: Callable[[str], Wrong]) -> dict[str, Any]:
    """The JSON object that was sent; what is none is refused."""
    if request.content_type != "application/json":
        raise wrong("content-type")
    try:
        body = json.loads(await request.read())
    except ValueError as exc:
        raise wrong("body") from exc
    if not isinstance(body, dict):
        raise wrong("body")
    return body


async def send(
    request: web.Request, body: bytes, way: str, headers: Mapping[str, str], *, length: bool = False
) -> web.StreamResponse:
    """A body in pieces, in the way that was asked for; chunked unless its `length` is told."""
    answer = web.StreamResponse(headers=dict(headers))
    body = b"" if way == "empty" else body
    if length:
        answer.content_length = len(body)
    await answer.prepare(request)
    step = 333 if way in ("odd", "slow-chunks") else PIECE
    if way in ("stall", "cut"):
        step = min(step, max(2, len(body) // 2))
    for at in range(0, len(body), step):
        if way in ("stall", "cut") and at >= len(body) // 2:
            await asyncio.sleep(0.05)
            if way == "stall":
                await _hang(request)
            assert request.transport is not None
            request.transport.close()
            raise ConnectionResetError
        await answer.write(body[at : at + step])
        await asyncio.sleep(0.001 if way == "slow-chunks" else 0)
    await answer.write_eof()
    return answer


async def _hang(request: web.Request) -> None:
    """Do nothing until the client is gone; who left before this began cancels nobody."""
    while request.transport is not None:
        await asyncio.sleep(0.01)


S = TypeVar("S", bound=HttpService)


@contextmanager
def served(service: S) -> Iterator[S]:
    """The fake on a free port of loopback, until the block ends."""
    ready, box = threading.Event(), dict[str, Any]()

    async def serve() -> None:
        runner = await _started(service, "127.0.0.1", 0)
        box.update(loop=asyncio.get_running_loop(), stop=asyncio.Event())
        ready.set()
        await box["stop"].wait()
        await runner.cleanup()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    if not ready.wait(10):
        raise RuntimeError("the server did not start")
    try:
        yield service
    finally:
        box["loop"].call_soon_threadsafe(box["stop"].set)
        thread.join(10)


async def _started(service: HttpService, host: str, port: int) -> web.AppRunner:
    runner = web.AppRunner(
        service.application(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1
    )
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    service.origin = f"http://{host}:{runner.addresses[0][1]}"
    return runner


def run(make: Callable[[argparse.Namespace], HttpService], name: str, **more: Mapping[str, Any]) -> None:
    """The fake as a program: `python -m tests.support.<name> --port N --key K`."""
    parser = argparse.ArgumentParser(prog=f"python -m tests.support.{name}")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8720)
    parser.add_argument("--key", default=KEY)
    for option, settings in more.items():
        parser.add_argument(f"--{option}", **settings)
    options = parser.parse_args()

    async def serve() -> None:
        service = make(options)
        await _started(service, options.host, options.port)
        print(f"{name} on {service.url}", flush=True)
        await asyncio.Event().wait()

    with suppress(KeyboardInterrupt):
        asyncio.run(serve())
