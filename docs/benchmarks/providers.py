"""What our side of speech providers costs: time before the first sound, CPU while it flows, hanging up.

Real adapters, behind the chain that the product puts before them, speak to a server in another process
whose every moment is known. It sends sound as fast as it is heard. Prints and writes the time over the
server's own first byte, the CPU time of streams that run at once, and how long a cancellation takes.

    .venv/bin/python -m docs.benchmarks.providers [--turns 60] [--streams 50] [--seconds 8]
"""

import argparse
import asyncio
import base64
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from aiohttp import web

from workers.adapters import catalogue, registry, sockets
from workers.adapters.endpoint import Endpoint, async_client
from workers.adapters.tts.base import PcmChunk, SpeechRequest, Synthesizer
from workers.speech import voices
from workers.speech.chain import FallbackSynthesizer

PAGE = Path(__file__).with_suffix(".md")
RATE = 24_000
PIECE_MS = 100
PIECE = bytes(range(1, 241)) * (RATE * 2 * PIECE_MS // 1000 // 240)
FIRST_MS = 100
GOALS = {"overhead_ms": 15.0, "core_percent": 1.0, "cancel_ms": 50.0}

# --- The server ----------------------------------------------------------------------------------


@dataclass
class Exchange:
    """Moments of one request, of the clock that all processes share."""

    arrived: float
    first: float = 0.0
    left: float = 0.0


class Server:
    """Answers as OpenAI, ElevenLabs and both protocols of DashScope do; `voice` says for how many ms."""

    def __init__(self) -> None:
        self.log: list[Exchange] = []

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/v1/audio/speech", self._openai)
        app.router.add_post("/v1/text-to-speech/{voice}/stream/with-timestamps", self._elevenlabs)
        app.router.add_get("/api-ws/v1/inference", self._tasks)
        app.router.add_get("/api-ws/v1/realtime", self._session)
        app.router.add_get("/log", self._told)
        return app

    async def _told(self, _: web.Request) -> web.Response:
        told, self.log = [vars(one) for one in self.log], []
        return web.json_response(told)

    async def _paced(self, voice: str, send: Callable[[bytes], Awaitable[Any]], begun: Exchange) -> None:
        """Each piece when it would be heard, the first after `FIRST_MS`."""
        start = time.monotonic() + FIRST_MS / 1000
        for number in range(max(int(voice) // PIECE_MS, 1)):
            await asyncio.sleep(start + number * PIECE_MS / 1000 - time.monotonic())
            begun.first = begun.first or time.monotonic()
            await send(PIECE)

    def _begin(self) -> Exchange:
        self.log.append(Exchange(time.monotonic()))
        return self.log[-1]

    async def _streamed(
        self, request: web.Request, voice: str, coded: Callable[[bytes], bytes]
    ) -> web.StreamResponse:
        begun = self._begin()
        answer = web.StreamResponse(headers={"Content-Type": "audio/pcm"})

        async def send(pcm: bytes) -> None:
            if not answer.prepared:
                await answer.prepare(request)
            await answer.write(coded(pcm))

        try:
            await self._paced(voice, send, begun)
        except (asyncio.CancelledError, ConnectionError):
            begun.left = time.monotonic()
            raise
        return answer

    async def _openai(self, request: web.Request) -> web.StreamResponse:
        return await self._streamed(request, (await request.json())["voice"], lambda pcm: pcm)

    async def _elevenlabs(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        return await self._streamed(request, request.match_info["voice"], _line)

    async def _tasks(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=0, compress=False)
        await socket.prepare(request)
        begun, voice, task = Exchange(0), "0", ""

        async def event(name: str) -> None:
            await socket.send_str(json.dumps({"header": {"task_id": task, "event": name}, "payload": {}}))

        async for message in socket:
            content = json.loads(message.data)
            action = content["header"]["action"]
            if action == "run-task":
                begun, task = self._begin(), content["header"]["task_id"]
                voice = content["payload"]["parameters"]["voice"]
                await event("task-started")
            elif action == "finish-task":
                if not await self._on_socket(voice, socket, socket.send_bytes, begun):
                    break
                await event("task-finished")
        return socket

    async def _session(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=0, compress=False)
        await socket.prepare(request)
        session: dict[str, Any] = {}

        async def event(kind: str, **content: Any) -> None:
            await socket.send_str(json.dumps({"type": kind, **content}))

        await event("session.created", session={})
        async for message in socket:
            content = json.loads(message.data)
            if content["type"] == "session.update":
                session = content["session"]
                await event("session.updated", session=session)
            elif content["type"] == "input_text_buffer.append":
                begun = self._begin()
            elif content["type"] == "input_text_buffer.commit":
                await event("input_text_buffer.committed")

                async def send(pcm: bytes) -> None:
                    await event("response.audio.delta", delta=base64.b64encode(pcm).decode())

                if not await self._on_socket(session["voice"], socket, send, begun):
                    break
                await event("response.done", response={"status": "completed"})
        return socket

    async def _on_socket(
        self,
        voice: str,
        socket: web.WebSocketResponse,
        send: Callable[[bytes], Awaitable[Any]],
        begun: Exchange,
    ) -> bool:
        """Send while listening for the client's leaving, which only who listens is told of."""
        speaking = asyncio.create_task(self._paced(voice, send, begun))
        gone = asyncio.create_task(socket.receive())
        left = True
        try:
            await asyncio.wait([speaking, gone], return_when=asyncio.FIRST_COMPLETED)
            left = gone.done()
        finally:
            if left:
                begun.left = time.monotonic()
            for task in (speaking, gone):
                task.cancel()
            await asyncio.wait([speaking, gone])
            with suppress(ConnectionError, asyncio.CancelledError):
                speaking.result()
        return not left


def _line(pcm: bytes) -> bytes:
    return json.dumps({"audio_base64": base64.b64encode(pcm).decode(), "alignment": None}).encode() + b"\n"


async def serve() -> None:
    runner = web.AppRunner(Server().application(), access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)  # whoever started it has gone
    await runner.cleanup()


# --- The client ----------------------------------------------------------------------------------

ADAPTERS: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "HTTP, raw sound (openai_compatible)": ("openai_compatible", "/v1", {}),
    "HTTP, JSON lines (elevenlabs)": ("elevenlabs", "", {}),
    "WebSocket, binary (cosyvoice)": ("cosyvoice", "", {}),
    "WebSocket, base64 (qwen)": ("qwen", "", {}),
}


def speaker(url: str, name: str) -> FallbackSynthesizer:
    """An adapter as the product uses it: behind the chain."""
    adapter, path, options = ADAPTERS[name]
    made: Synthesizer = registry.synthesizer(adapter, Endpoint(url + path, "key"), dict(options))
    entry = {"provider_voice": adapter, "name": adapter, "language": "en-US", "gender": "female"}
    voice = replace(voices.made(catalogue.providers()["local"], entry), provider=adapter)
    return FallbackSynthesizer([(voice, made)])


def request(ms: int) -> SpeechRequest:
    return SpeechRequest("How are you today?", str(ms), "en-US", priority="live")


async def told(url: str) -> list[dict[str, float]]:
    answer = await async_client(url, asyncio.get_running_loop()).get("/log")
    return list(answer.json())


async def first_sounds(url: str, name: str, turns: int, *, fresh: bool) -> list[float]:
    """Ms from the request to the first sound, less what the server took from its arrival."""
    found: list[float] = []
    for _ in range(turns):
        if fresh:
            await sockets.close_idle()
            await async_client(url + ADAPTERS[name][1], asyncio.get_running_loop()).aclose()
            async_client.cache_clear()
        await told(url)
        started, heard = time.monotonic(), 0.0
        async for event in speaker(url, name).stream(request(PIECE_MS)):
            if isinstance(event, PcmChunk) and not heard:
                heard = time.monotonic()
        (asked,) = await told(url)
        found.append((heard - started - (asked["first"] - asked["arrived"])) * 1000)
    return found


async def at_once(url: str, name: str, streams: int, seconds: float) -> dict[str, float]:
    """CPU of this process per stream while all run, in percent of a core; and how late the pieces were."""
    ms = int(seconds * 1000)

    async def listen(late: list[float]) -> int:
        size, first = 0, 0.0
        async for event in speaker(url, name).stream(request(ms)):
            if isinstance(event, PcmChunk):
                first = first or time.monotonic()
                late.append(time.monotonic() - first - size / (RATE * 2))
                size += len(event.pcm)
        return size

    await listen([])  # imports and first use are nobody's share
    late: list[list[float]] = [[] for _ in range(streams)]
    worked, started = time.process_time(), time.monotonic()
    sizes = await asyncio.gather(*(listen(times) for times in late))
    took, worked = time.monotonic() - started, time.process_time() - worked
    if set(sizes) != {ms // PIECE_MS * len(PIECE)}:
        raise RuntimeError(f"{name}: sound is missing")
    return {
        "core_percent": worked / took / streams * 100,
        "late_ms": quantiles(list(itertools.chain(*late)), n=20)[-1] * 1000,
        "took": took,
    }


async def hanging_up(url: str, name: str, turns: int) -> dict[str, float]:
    """Ms from a cancellation to its end here, and to the server's hearing of it."""
    here: list[float] = []
    there: list[float] = []
    for _ in range(turns):
        await told(url)
        sounding = asyncio.Event()
        task = asyncio.create_task(_until(speaker(url, name).stream(request(5000)), sounding))
        await sounding.wait()
        await asyncio.sleep(0.03)
        cancelled = time.monotonic()
        task.cancel()
        await asyncio.wait([task])
        here.append((time.monotonic() - cancelled) * 1000)
        await asyncio.sleep(0.15)  # its next piece is due meanwhile
        (asked,) = await told(url)
        there.append((asked["left"] - cancelled) * 1000)
    return {"here": median(here), "here_95": quantiles(here, n=20)[-1], "there": median(there)}


async def _until(events: AsyncIterator[Any], sounding: asyncio.Event) -> None:
    async for _ in events:
        sounding.set()


async def measure(url: str, name: str, given: argparse.Namespace) -> dict[str, float]:
    await first_sounds(url, name, 5, fresh=False)
    kept = await first_sounds(url, name, given.turns, fresh=False)
    fresh = await first_sounds(url, name, given.turns, fresh=True)
    left = await hanging_up(url, name, max(given.turns // 3, 4))
    cost = await at_once(url, name, given.streams, given.seconds)
    return {
        "kept": median(kept),
        "kept_95": quantiles(kept, n=20)[-1],
        "fresh": median(fresh),
        **left,
        **cost,
    }


def page(results: Mapping[str, Mapping[str, float]], given: argparse.Namespace) -> str:
    lines = [
        "# Speech providers, our side of them",
        "",
        (
            f"`python -m docs.benchmarks.providers`: {given.turns} sentences one after another, then "
            f"{given.streams} at once in one process for {given.seconds:g} s,"
        ),
        (
            f"on {os.cpu_count()} cores with a load of {os.getloadavg()[0]:.0f} from other work. "
            f"The server is another process, sends its first byte after {FIRST_MS} ms"
        ),
        (
            "and then sound as fast as it is heard, 100 ms a piece. All stand behind the chain that "
            "the product puts before them."
        ),
        "",
        (
            "| adapter | first sound over the provider's own, median ms | 95% | on a new connection | "
            "CPU per stream, % of a core | pieces late, 95% ms | cancelled after, median ms | 95% | "
            "provider hears of it after, ms |"
        ),
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, one in results.items():
        lines.append(
            f"| {name} | {one['kept']:.1f} | {one['kept_95']:.1f} | {one['fresh']:.1f} | "
            f"{one['core_percent']:.2f} | {one['late_ms']:.1f} | {one['here']:.2f} | {one['here_95']:.2f} | "
            f"{one['there']:.1f} |"
        )
    lines += [
        "",
        (
            f"Goals: at most {GOALS['overhead_ms']:g} ms over the provider's first byte, less than "
            f"{GOALS['core_percent']:g}% of a core for a stream, "
            f"a cancellation over in {GOALS['cancel_ms']:g} ms."
        ),
    ]
    return "\n".join(lines) + "\n"


def missed(results: Mapping[str, Mapping[str, float]]) -> list[str]:
    told = {"kept": "overhead_ms", "core_percent": "core_percent", "here_95": "cancel_ms"}
    return [
        f"{name}: {figure} is {one[figure]:.1f}"
        for name, one in results.items()
        for figure, goal in told.items()
        if one[figure] > GOALS[goal]
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=60)
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--only", default="", help="adapters whose names hold this")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        asyncio.run(serve())
        return 0
    command = [sys.executable, "-m", "docs.benchmarks.providers", "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        url = f"http://127.0.0.1:{int(next(iter(server.stdout or ())))}"
        try:
            results = {}
            for name in ADAPTERS:
                if given.only in name:
                    results[name] = asyncio.run(measure(url, name, given))
                    print(name, {key: round(value, 2) for key, value in results[name].items()}, flush=True)
        finally:
            server.communicate()
    if not given.only:
        PAGE.write_text(page(results, given), encoding="utf-8")
    print(*missed(results), sep="\n")
    return bool(missed(results))


if __name__ == "__main__":
    sys.exit(main())
