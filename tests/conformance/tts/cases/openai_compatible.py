"""OpenAI's speech, as raw PCM over HTTP."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from tests.conformance.tts.suite import KEY, TEXT, WAYS, TtsCase
from tests.support.babble import RATE, babble
from workers.adapters.endpoint import Deadlines, Endpoint
from workers.adapters.tts.base import SpeechRequest, Synthesizer
from workers.adapters.tts.openai_compatible import OpenAICompatible, SpeechDialect

PIECE = 4800


class _Speech:
    """Answers `POST /audio/speech`."""

    def __init__(self) -> None:
        self.url, self.sample_rate = "", RATE
        self.sound = babble(TEXT).pcm
        self.requests: list[Any] = []
        self.open_now = 0
        self._transports: list[Any] = []
        self._ways: list[str] = []

    @property
    def opened(self) -> int:
        return len(self._transports)

    def misbehave(self, *ways: str) -> None:
        self._ways = list(ways)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.transport not in self._transports:
            self._transports.append(request.transport)
        way = self._ways.pop(0) if self._ways else ""
        self.open_now += 1
        try:
            if request.headers.get("Authorization") != f"Bearer {KEY}" or way == "401":
                return web.json_response({"error": {"message": TEXT, "code": "invalid_api_key"}}, status=401)
            self.requests.append(await request.json())
            return await self._spoken(request, way)
        finally:
            self.open_now -= 1

    async def _spoken(self, request: web.Request, way: str) -> web.StreamResponse:
        if way.isdecimal():
            return web.json_response({"error": {"message": TEXT}}, status=int(way))
        if way == "garbage":
            return web.Response(text=f"<p>{TEXT}</p>", content_type="text/html")
        if way == "silent":
            await asyncio.sleep(3600)
        if way == "drop":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        rate = 16_000 if way == "other-rate" else self.sample_rate
        answer = web.StreamResponse(headers={"Content-Type": "audio/pcm", "X-Sample-Rate": str(rate)})
        answer.content_length = 0 if way == "empty" else len(self.sound)
        await answer.prepare(request)
        step = 333 if way in ("odd", "slow-chunks") else PIECE
        for at in range(0, 0 if way == "empty" else len(self.sound), step):
            if at >= len(self.sound) // 2 and way in ("stall", "cut"):
                await self._leave(request, way)
            await answer.write(self.sound[at : at + step])
            await asyncio.sleep(0.001 if way == "slow-chunks" else 0)
        return answer

    async def _leave(self, request: web.Request, way: str) -> None:
        await asyncio.sleep(0.05)
        if way == "stall":
            await asyncio.sleep(3600)
        assert request.transport is not None
        request.transport.close()
        raise ConnectionResetError


@contextmanager
def _server() -> Iterator[_Speech]:
    service, ready = _Speech(), threading.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        app = web.Application()
        app.router.add_post("/v1/audio/speech", service.answer)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        service.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        ready.set()
        await stop
        await runner.cleanup()

    stop: asyncio.Future[None] = loop.create_future()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield service
    finally:
        loop.call_soon_threadsafe(stop.set_result, None)
        thread.join(10)
        loop.close()


def _make(service: _Speech) -> Synthesizer:
    dialect = SpeechDialect(deadlines=Deadlines(connect=1.0, read=0.3))
    return OpenAICompatible(Endpoint(service.url, KEY), dialect)


CASES = [
    TtsCase(
        name="openai",
        server=_server,
        make=_make,
        request=SpeechRequest(TEXT, "alloy", "en-US"),
        lossless=True,
        words=False,
        ways=WAYS - {"error"},
        other_rate=16_000,
    )
]
