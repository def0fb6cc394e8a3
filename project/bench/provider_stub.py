"""Providers of language, speech and hearing whose every delay is known, and which misbehave when told.

Speaks OpenAI's protocol as our sidecar does, so that LLM_BASE_URL and SPEECH_URL can both point at it.
By default the first token comes after 150 ms and then one every 20 ms, the first sound of speech after
100 ms and the rest at once.

    python -m project.bench.provider_stub --port 8700

`GET /control` tells the settings and what was asked, `POST /control` changes settings while it runs:

    {"reply": "...", "first_token_ms": 150, "transcripts": ["first", "second"],
     "misbehave": {"chat": ["stall"], "speech": ["500", "cut"], "transcriptions": ["429 2"]}}

Each request takes the next misbehaviour of its list; a list that ends with "always" repeats the one
before it for ever, and an empty list behaves. Known: `stall` (after the head and a little), `silent`
(not even the head), `drop` (hangs up), `cut` (breaks off), `error` (an error in the stream), `garbage`,
`empty`, `slow N` (N ms later), a status such as `500` or `429 2` (with Retry-After); for chat also
`thinking`, `think_tag`, `no_done`, `length`, `content_filter`, `comments`, `not_a_stream`, `new_limit`.
"""

import argparse
import asyncio
import base64
import json
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from aiohttp import BodyPartReader, web

from project.bench.babble import RATE, babble

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

REPLY = (
    "Certainly, I can help you with that. Our shop is open from Monday to Friday, from nine in the morning "
    "until six in the evening. On Saturday we close at four, and on Sunday we stay at home. "
    "You can bring shoes back within thirty days, and we return the money to your card."
)
TRANSCRIPT = "When are you open?"
VOICE_IDS = (
    "en-heart", "en-iris", "en-vera", "en-joe", "en-max", "en-leo", "en-gongitsune", "en-tebukuro", "en-kumo",
    "ja-gongitsune", "ja-alpha", "ja-kumo",
)  # fmt: skip
MOST_KEPT = 10_000  # of what was asked, the newest are kept
CHUNK_MS = 240
CHUNK_BYTES = CHUNK_MS * RATE // 1000 * 2


@dataclass
class Settings:
    """What the control call changes. Times in ms; `speech_realtime` 1 sends sound as fast as it is heard."""

    first_token_ms: float = 150.0
    token_ms: float = 20.0
    first_byte_ms: float = 100.0
    speech_realtime: float = 0.0
    transcription_ms: float = 50.0
    reply: str = REPLY
    replies: list[str] = field(default_factory=list)
    transcript: str = TRANSCRIPT
    transcripts: list[str] = field(default_factory=list)
    misbehave: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class Asked:
    """One request. Times are `time.monotonic()`; `left_at` is set when the client hung up early."""

    kind: str
    at: float
    connection: int
    body: dict[str, Any]
    behaviour: str = ""
    first_at: float | None = None
    done_at: float | None = None
    left_at: float | None = None


@dataclass
class State:
    settings: Settings = field(default_factory=Settings)
    asked: list[Asked] = field(default_factory=list)
    connections: dict[int, int] = field(default_factory=dict)

    def of(self, kind: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.kind == kind]


_STATE = web.AppKey("state", State)
_ASKED = web.RequestKey("asked", Asked)


class Pace:
    """Waits for moments counted from the arrival of a request, so that delays do not add up."""

    def __init__(self) -> None:
        self._begun = asyncio.get_running_loop().time()

    async def until(self, ms: float) -> None:
        await asyncio.sleep(self._begun + ms / 1000 - asyncio.get_running_loop().time())


_PACE = web.RequestKey("pace", Pace)


def application(state: State) -> web.Application:
    app = web.Application(middlewares=[_journal], client_max_size=32 * 1024 * 1024)
    app[_STATE] = state
    app.router.add_get("/control", _tell)
    app.router.add_post("/control", _change)
    app.router.add_get("/health", _health)
    app.router.add_get("/v1/audio/voices", _voices)
    app.router.add_get("/v1/models", _models, name="models")
    for prefix in ("", "/v1"):
        app.router.add_post(f"{prefix}/chat/completions", _chat, name=f"chat{len(prefix)}")
        app.router.add_post(f"{prefix}/audio/speech", _speech, name=f"speech{len(prefix)}")
        app.router.add_post(f"{prefix}/audio/transcriptions", _hear, name=f"transcriptions{len(prefix)}")
    return app


@web.middleware
async def _journal(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Write down what was asked and whether the client stayed, and misbehave in its place."""
    name = (request.match_info.route.name or "").rstrip("0123456789")
    if name not in ("chat", "speech", "transcriptions", "models"):
        return await handler(request)
    state = request.app[_STATE]
    number = state.connections.setdefault(id(request.transport), len(state.connections))
    asked = Asked(name, time.monotonic(), number, {})
    asked.behaviour = _next_behaviour(state.settings, name)
    if len(state.asked) >= 2 * MOST_KEPT:
        del state.asked[:MOST_KEPT]
    state.asked.append(asked)
    request[_ASKED], request[_PACE] = asked, Pace()
    asked.body = await _body(request, name)
    try:
        answer = await _refused(request, asked) or await handler(request)
        asked.done_at = time.monotonic()
        return answer
    except (asyncio.CancelledError, ConnectionResetError):
        asked.left_at = time.monotonic()
        raise


def _next_behaviour(settings: Settings, kind: str) -> str:
    waiting = settings.misbehave.get(kind) or []
    if not waiting:
        return ""
    return waiting[0] if waiting[1:2] == ["always"] else waiting.pop(0)


async def _body(request: web.Request, name: str) -> dict[str, Any]:
    if name == "models":
        return {}
    if name != "transcriptions":
        return dict(json.loads(await request.read()))
    found: dict[str, Any] = {}
    async for part in await request.multipart():
        if isinstance(part, BodyPartReader):
            data = await part.read()
            found[str(part.name)] = len(data) if part.name == "file" else data.decode()
    return found


async def _refused(request: web.Request, asked: Asked) -> web.StreamResponse | None:
    """The misbehaviours that every kind of provider knows."""
    name, _, argument = asked.behaviour.partition(" ")
    if name == "slow":
        await asyncio.sleep(float(argument) / 1000)
    elif name == "silent":
        await asyncio.sleep(3600)
    elif name == "drop":
        assert request.transport is not None
        request.transport.abort()
        return web.Response()
    elif name.isdecimal():
        error = {
            "message": "no",
            "type": "server_error",
            "code": argument if not argument.isdecimal() else "",
        }
        headers = {"Retry-After": argument if argument.isdecimal() else "0"}
        return web.json_response({"error": error}, status=int(name), headers=headers)
    elif name == "garbage" and asked.kind != "chat":
        return web.Response(text="<html>502</html>", content_type="text/html")
    elif name == "empty" and asked.kind == "speech":
        return web.Response(body=b"", content_type="audio/pcm")
    elif name == "new_limit" and "max_tokens" in asked.body:
        error = {"message": "no", "param": "max_tokens", "code": "unsupported_parameter"}
        return web.json_response({"error": error}, status=400)
    return None


async def _chat(request: web.Request) -> web.StreamResponse:
    state, asked = request.app[_STATE], request[_ASKED]
    settings = state.settings
    reply = settings.replies.pop(0) if settings.replies else settings.reply
    if not asked.body.get("stream"):
        await request[_PACE].until(settings.first_token_ms)
        return web.json_response({"choices": [{"message": {"role": "assistant", "content": reply}}]})
    if asked.behaviour == "not_a_stream":
        return web.json_response({"status": "fine"})
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await response.prepare(request)
    # Token n leaves at first_token_ms + n * token_ms. A token is a word with the space before it.
    async for index, line in _lines(reply, asked):
        if index is not None:
            await request[_PACE].until(settings.first_token_ms + index * settings.token_ms)
            asked.first_at = asked.first_at or time.monotonic()
        await response.write(line)
    if asked.behaviour == "stall":
        await asyncio.sleep(3600)
    if asked.behaviour == "cut":
        assert request.transport is not None
        request.transport.abort()
    return response


async def _lines(reply: str, asked: Asked) -> AsyncIterator[tuple[int | None, bytes]]:
    """The lines of an answer, each with the number of its token where it has to wait for its time."""
    behaviour, limit = asked.behaviour, int(asked.body.get("max_tokens") or 10_000)
    words = [] if behaviour == "empty" else reply.split(" ")
    tokens = [word if i == 0 else " " + word for i, word in enumerate(words)]
    if behaviour == "think_tag":
        tokens = ["<thi", "nk>Let me ", "see.</th", "ink>\n\n", *tokens]
    for line in _preface(behaviour):
        yield None, line
    for index, token in enumerate(tokens[:limit]):
        if index == 3 and behaviour in ("stall", "cut", "error", "garbage"):
            yield index, _FAULTS[behaviour]
            return
        yield index, _event({"choices": [{"index": 0, "delta": {"content": token}}]})
    reason = {"content_filter": "content_filter", "length": "length"}.get(behaviour, "stop")
    reason = "length" if len(tokens) > limit else reason
    if behaviour != "no_done":
        yield None, _event({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
        yield None, _event({"choices": [], "usage": {"completion_tokens": len(tokens)}})
        yield None, b"data: [DONE]\n\n"


_FAULTS = {
    "stall": b"",
    "cut": b"",
    "error": b'data: {"error": {"message": "overloaded", "type": "overloaded_error", "code": 503}}\n\n',
    "garbage": b"data: {nonsense\n\n",
}


def _preface(behaviour: str) -> list[bytes]:
    if behaviour == "thinking":
        thoughts = ("The user ", "asks something.")
        return [_event({"choices": [{"delta": {"content": None, "reasoning_content": t}}]}) for t in thoughts]
    role = _event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
    return [b": keep-alive\r\n\r\n", b"event: message\r\n", role] if behaviour == "comments" else [role]


def _event(content: Mapping[str, Any]) -> bytes:
    return f"data: {json.dumps(content)}\n\n".encode()


async def _speech(request: web.Request) -> web.StreamResponse:
    settings, asked = request.app[_STATE].settings, request[_ASKED]
    spoken = babble(str(asked.body.get("input", "")))
    if not spoken.pcm:
        return web.json_response({"error": {"code": "nothing_to_say"}}, status=400)
    events = asked.body.get("stream_format") == "sse"
    kind = "text/event-stream" if events else "audio/pcm"
    response = web.StreamResponse(headers={"Content-Type": kind, "X-Sample-Rate": str(RATE)})
    await request[_PACE].until(settings.first_byte_ms)
    await response.prepare(request)
    for number, begin in enumerate(range(0, len(spoken.pcm), CHUNK_BYTES)):
        await request[_PACE].until(settings.first_byte_ms + number * CHUNK_MS * settings.speech_realtime)
        asked.first_at = asked.first_at or time.monotonic()
        pcm = spoken.pcm[begin : begin + CHUNK_BYTES]
        if number == 1 and asked.behaviour in ("stall", "cut", "error"):
            return await _broken_speech(request, response, asked.behaviour, events=events)
        if not events:
            await response.write(pcm)
            continue
        await response.write(_event({"type": "speech.audio.delta", "audio": base64.b64encode(pcm).decode()}))
        await response.write(_event(_timings(spoken.phones, spoken.words, number * CHUNK_MS)))
    if events:
        await response.write(_event({"type": "speech.audio.done"}))
    return response


async def _broken_speech(
    request: web.Request, response: web.StreamResponse, behaviour: str, *, events: bool
) -> web.StreamResponse:
    if behaviour == "stall":
        await asyncio.sleep(3600)
    if behaviour == "error" and events:
        await response.write(_event({"type": "error", "error": {"message": "out of memory"}}))
        return response
    assert request.transport is not None
    request.transport.abort()
    return response


def _timings(phones: Any, words: Any, start_ms: int) -> dict[str, Any]:
    """What begins in the chunk that was just sent."""
    within = range(start_ms, start_ms + CHUNK_MS)
    return {
        "type": "speech.audio.timings",
        "phones": [{"symbol": s, "start_ms": b, "end_ms": e} for s, b, e in phones if b in within],
        "words": [{"text": t, "start_ms": b, "end_ms": e} for t, b, e in words if b in within],
    }


async def _hear(request: web.Request) -> web.StreamResponse:
    settings, asked = request.app[_STATE].settings, request[_ASKED]
    if asked.behaviour == "stall":
        await asyncio.sleep(3600)
    if asked.behaviour in ("cut", "error"):
        return web.json_response({"error": {"type": "server_error"}}, status=500)
    await request[_PACE].until(settings.transcription_ms)
    text = settings.transcripts.pop(0) if settings.transcripts else settings.transcript
    text = "" if asked.behaviour == "empty" else text
    seconds = max(0.0, (int(asked.body.get("file", 44)) - 44) / 32_000)
    segments = [{"id": 0, "start": 0.0, "end": seconds, "text": text}] if text else []
    return web.json_response({"text": text, "segments": segments, "language": "en", "duration": seconds})


async def _health(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok", "loaded": ["stub"], "voices": len(VOICE_IDS)})


async def _voices(_: web.Request) -> web.Response:
    found = [{"id": voice, "language": "ja-JP" if voice[:2] == "ja" else "en-US"} for voice in VOICE_IDS]
    return web.json_response({"object": "list", "data": found})


async def _models(_: web.Request) -> web.Response:
    return web.json_response({"object": "list", "data": [{"id": "stub", "object": "model"}]})


async def _tell(request: web.Request) -> web.Response:
    state = request.app[_STATE]
    asked = [asdict(one) for one in state.asked]
    return web.json_response({"now": time.monotonic(), "settings": asdict(state.settings), "asked": asked})


async def _change(request: web.Request) -> web.Response:
    """Change settings; `{"reset": true}` goes back to the beginning first, `{"forget": true}` keeps the
    settings and forgets what was asked."""
    state, wanted = request.app[_STATE], await request.json()
    reset, forget = wanted.pop("reset", False), wanted.pop("forget", False)
    if reset:
        state.settings = Settings()
    if reset or forget:
        state.asked.clear()
    known = {f.name for f in fields(Settings)}
    if unknown := set(wanted) - known:
        return web.json_response({"error": f"unknown settings: {sorted(unknown)}"}, status=400)
    for name, value in wanted.items():
        setattr(state.settings, name, value)
    return web.json_response(asdict(state.settings))


@dataclass
class Stub:
    """A running stub. `url` has no version in it; the OpenAI addresses are under `/v1`."""

    url: str
    state: State

    @property
    def settings(self) -> Settings:
        return self.state.settings


@contextmanager
def provider_stub(**settings: Any) -> Iterator[Stub]:
    """Run the stub on a thread with a loop of its own until the block ends."""
    state, ready, box = State(Settings(**settings)), threading.Event(), dict[str, Any]()

    async def serve() -> None:
        runner = _runner(state)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        box.update(port=runner.addresses[0][1], loop=asyncio.get_running_loop(), stop=asyncio.Event())
        ready.set()
        await box["stop"].wait()
        await runner.cleanup()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    if not ready.wait(10):
        raise RuntimeError("the stub did not start")
    try:
        yield Stub(f"http://127.0.0.1:{box['port']}", state)
    finally:
        box["loop"].call_soon_threadsafe(box["stop"].set)
        thread.join(5)


def _runner(state: State) -> web.AppRunner:
    return web.AppRunner(application(state), handler_cancellation=True, access_log=None, shutdown_timeout=0.2)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m project.bench.provider_stub", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8700)
    options = parser.parse_args()

    async def serve() -> None:
        runner = _runner(State())
        await runner.setup()
        await web.TCPSite(runner, options.host, options.port).start()
        print(f"providers on http://{options.host}:{options.port}", flush=True)
        await asyncio.Event().wait()

    with suppress(KeyboardInterrupt):
        asyncio.run(serve())


if __name__ == "__main__":
    main()
