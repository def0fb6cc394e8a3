"""The service behind Edge's read-aloud, which turns babble into real MP3.

Strict as the real one is: a rolling token in the address, the browser's headers, `speech.config` before
one `ssml` that parses as XML, a voice that exists. Words are told while the sound is sent, in ticks of
100 ns. Each request takes the next misbehaviour of a list and then behaves.

    python -m tests.support.edge_service --port 8801
"""

import argparse
import asyncio
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from typing import Any
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from aiohttp import WSMsgType, web

from project.bench.babble import RATE, babble
from tests.support.encoding import encoded

TOKEN = "6A5AA1D4EAFF4E9FB37E23D68491D6F4"
ORIGIN = "chrome-extension://jdiccldimpdaibmpdkjnbmckianbfold"
OUTPUT = "audio-24khz-48kbitrate-mono-mp3"
LEAD_MS, TAIL_MS = 100, 250
FRAME_BYTES = 144
PIECE_BYTES = 5 * FRAME_BYTES
VOICES = {
    "en-US-AriaNeural": "Female",
    "en-US-EmmaMultilingualNeural": "Female",
    "en-US-GuyNeural": "Male",
    "en-GB-SoniaNeural": "Female",
    "zh-CN-XiaoxiaoNeural": "Female",
    "zh-CN-YunxiNeural": "Male",
    "zh-CN-liaoning-XiaobeiNeural": "Female",
    "iu-Latn-CA-SiqiniqNeural": "Female",
    "ja-JP-NanamiNeural": "Female",
    "de-DE-KatjaNeural": "Female",
}
_NAME = re.compile(r"Microsoft Server Speech Text to Speech Voice \((.+), (.+)\)")
_SPEAK = "{http://www.w3.org/2001/10/synthesis}"


@dataclass
class EdgeService:
    """`requests` are what was to be said; `sound` is the last whole answer before it was encoded.

    `skew_seconds` puts the service's clock ahead of ours. `open_now` counts open sockets.
    """

    url: str = ""
    sample_rate: int = RATE
    sound: bytes = b""
    requests: list[dict[str, Any]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    open_now: int = 0
    opened: int = 0
    skew_seconds: float = 0.0
    dated: bool = True
    ways: list[str] = field(default_factory=list)

    def misbehave(self, *ways: str) -> None:
        self.ways = list(ways)


@dataclass(frozen=True)
class Spoken:
    pcm: bytes
    mp3: bytes
    words: tuple[tuple[str, int, int], ...]


@lru_cache(maxsize=64)
def spoken(text: str) -> Spoken:
    """What the service says for a text; words in ms, without their punctuation."""
    said = babble(text)
    pcm = bytes(2 * RATE * LEAD_MS // 1000) + said.pcm + bytes(2 * RATE * TAIL_MS // 1000)
    bare = ((word.strip(".,;:!?\"'()"), start, end) for word, start, end in said.words)
    words = tuple((word, start + LEAD_MS, end + LEAD_MS) for word, start, end in bare if word)
    return Spoken(pcm, encoded(pcm, RATE, "mp3"), words)


class _Refused(Exception):
    """The request is not as the service wants it; the reason is for the test."""


def application(state: EdgeService) -> web.Application:
    async def connect(request: web.Request) -> web.StreamResponse:
        return await _connect(state, request)

    async def voices(request: web.Request) -> web.StreamResponse:
        return _voices(state, request)

    app = web.Application()
    app.router.add_get("/edge/v1", connect)
    app.router.add_get("/voices/list", voices)
    return app


def _let_in(state: EdgeService, request: web.Request, token: str) -> None:
    """The checks of a request before it is a WebSocket."""
    from edge_tts.drm import generate_sec_ms_gec_v2  # the real one's arithmetic, at our clock

    now = time.time() + state.skew_seconds
    query = request.query
    if query.get(token) != TOKEN:
        raise _Refused("client token")
    if query.get("Sec-MS-GEC") not in {generate_sec_ms_gec_v2(now + off) for off in (-300, 0, 300)}:
        raise _Refused("rolling token")
    if not re.fullmatch(r"\d-\d+\.\d+\.\d+\.\d+", query.get("Sec-MS-GEC-Version", "")):
        raise _Refused("version")
    if "Edg/" not in request.headers.get("User-Agent", "") or "muid=" not in request.headers.get(
        "Cookie", ""
    ):
        raise _Refused("headers")


def _origin(request: web.Request) -> None:
    if request.headers.get("Origin") != ORIGIN or len(request.query.get("ConnectionId", "")) != 32:
        raise _Refused("origin")


def _forbidden(state: EdgeService, reason: str, status: int = 403) -> web.Response:
    state.refused.append(reason)
    response = web.Response(status=status, text="no")
    response.headers["Date"] = (
        formatdate(time.time() + state.skew_seconds, usegmt=True) if state.dated else "yesterday"
    )
    return response


async def _connect(state: EdgeService, request: web.Request) -> web.StreamResponse:
    state.opened += 1
    way = state.ways.pop(0) if state.ways else ""
    if way.isdecimal():
        return _forbidden(state, way, int(way))
    try:
        _let_in(state, request, "TrustedClientToken")
        _origin(request)
    except _Refused as exc:
        return _forbidden(state, str(exc))
    socket = web.WebSocketResponse(compress=True, timeout=0.2)
    await socket.prepare(request)
    state.open_now += 1
    try:
        await _turn(state, request, socket, way)
    except _Refused as exc:
        state.refused.append(str(exc))
        await socket.close(code=1007, message=str(exc).encode())
    except ConnectionResetError:
        pass  # the client left
    finally:
        state.open_now -= 1
    return socket


async def _turn(state: EdgeService, request: web.Request, socket: web.WebSocketResponse, way: str) -> None:
    headers, body = _message(await socket.receive())
    if headers.get("Path") != "speech.config" or "X-Timestamp" not in headers:
        raise _Refused("speech.config comes first")
    audio = json.loads(body)["context"]["synthesis"]["audio"]
    if audio["outputFormat"] != OUTPUT:
        raise _Refused("output format")
    asked = _ssml(*_message(await socket.receive()))
    asked["words"] = audio["metadataoptions"]["wordBoundaryEnabled"] == "true"
    state.requests.append(asked)
    # A socket is read so that a client that leaves is noticed at once.
    reading = asyncio.ensure_future(socket.receive())
    speaking = asyncio.ensure_future(_speak(state, request, socket, way, asked))
    try:
        await asyncio.wait({reading, speaking}, return_when=asyncio.FIRST_COMPLETED)
        if speaking.done():
            await speaking
            await reading
    finally:
        for task in (reading, speaking):
            task.cancel()
        await asyncio.gather(reading, speaking, return_exceptions=True)


def _message(message: Any) -> tuple[dict[str, str], str]:
    if message.type != WSMsgType.TEXT:
        raise ConnectionResetError
    head, separator, body = message.data.partition("\r\n\r\n")
    if not separator:
        raise _Refused("no headers")
    return dict(line.split(":", 1) for line in head.split("\r\n")), body


def _ssml(headers: Mapping[str, str], body: str) -> dict[str, Any]:
    if headers.get("Path") != "ssml" or headers.get("Content-Type") != "application/ssml+xml":
        raise _Refused("ssml comes second")
    if not re.fullmatch(r"[0-9a-f]{32}", headers.get("X-RequestId", "")):
        raise _Refused("request id")
    if len(body.encode()) > 8192:
        raise _Refused("too long")
    try:
        voice = ET.fromstring(body).find(f"{_SPEAK}voice")
        prosody = voice.find(f"{_SPEAK}prosody")  # type: ignore[union-attr]
        named = _NAME.fullmatch(voice.attrib["name"])  # type: ignore[union-attr]
        if any(True for _ in prosody):  # type: ignore[union-attr]
            raise _Refused("markup in the text")
        asked = dict(prosody.attrib)  # type: ignore[union-attr]
        text = prosody.text or ""  # type: ignore[union-attr]
        return {
            "id": headers["X-RequestId"],
            "text": text,
            "voice": f"{named[1]}-{named[2]}",  # type: ignore[index]
            **asked,
        }
    except (ET.ParseError, AttributeError, KeyError, TypeError) as exc:
        raise _Refused("this is no SSML") from exc


async def _speak(
    state: EdgeService, request: web.Request, socket: web.WebSocketResponse, way: str, asked: dict[str, Any]
) -> None:
    said = spoken(asked["text"])
    if way == "silent":
        await asyncio.sleep(3600)
    if way == "drop":
        _abort(request)
        return
    await socket.send_str(_text(asked, "turn.start", {"context": {"serviceTag": asked["id"]}}))
    if way == "garbage":
        await socket.send_str("good morning")
        return
    await socket.send_str(_text(asked, "response", {"context": {"serviceTag": asked["id"]}, "audio": {}}))
    if way != "empty" and asked["voice"] in VOICES:
        await _sound(request, socket, way, asked, said)
    state.sound = said.pcm
    await socket.send_bytes(_binary(asked, b"", kind=None))
    await socket.send_str(_text(asked, "turn.end", {}))


async def _sound(
    request: web.Request, socket: web.WebSocketResponse, way: str, asked: dict[str, Any], said: Spoken
) -> None:
    step = 101 if way in ("odd", "slow-chunks") else PIECE_BYTES
    words = list(said.words) if asked["words"] else []
    for at in range(0, len(said.mp3), step):
        if at >= len(said.mp3) // 2 and way in ("stall", "cut", "error"):
            await _leave(request, socket, way)
            return
        now_ms = at // FRAME_BYTES * 24
        while words and words[0][1] <= now_ms + 120:
            await socket.send_str(_text(asked, "audio.metadata", {"Metadata": [_boundary(*words.pop(0))]}))
        await socket.send_bytes(_binary(asked, said.mp3[at : at + step]))
        await asyncio.sleep(0.001 if way == "slow-chunks" else 0)
    if asked["words"]:
        end = {"Type": "SessionEnd", "Data": {"Offset": len(said.pcm) * 10_000_000 // (2 * RATE)}}
        last = {"Metadata": [end, _boundary(*words.pop(0))]} if words else None
        if last:
            await socket.send_str(_text(asked, "audio.metadata", last))


async def _leave(request: web.Request, socket: web.WebSocketResponse, way: str) -> None:
    if way == "stall":
        await asyncio.sleep(3600)
    elif way == "error":
        await socket.close(code=1011, message=b"internal error")
    else:
        await asyncio.sleep(0.02)
        await socket.close()
    raise ConnectionResetError


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _boundary(word: str, start_ms: int, end_ms: int) -> dict[str, Any]:
    text = {"Text": escape(word), "Length": len(word), "BoundaryType": "WordBoundary"}
    data = {"Offset": start_ms * 10_000, "Duration": (end_ms - start_ms) * 10_000, "text": text}
    return {"Type": "WordBoundary", "Data": data}


def _text(asked: Mapping[str, Any], path: str, body: Mapping[str, Any]) -> str:
    kind = "application/json; charset=utf-8"
    return f"X-RequestId:{asked['id']}\r\nContent-Type:{kind}\r\nPath:{path}\r\n\r\n{json.dumps(body)}"


def _binary(asked: Mapping[str, Any], data: bytes, kind: str | None = "audio/mpeg") -> bytes:
    lines = [
        f"X-RequestId:{asked['id']}",
        f"Content-Type:{kind}" if kind else "",
        "X-StreamId:1",
        "Path:audio",
    ]
    head = "".join(f"{line}\r\n" for line in lines if line).encode()
    return len(head).to_bytes(2, "big") + head + data


def _voices(state: EdgeService, request: web.Request) -> web.Response:
    state.opened += 1
    way = state.ways.pop(0) if state.ways else ""
    try:
        _let_in(state, request, "trustedclienttoken")
    except _Refused as exc:
        return _forbidden(state, str(exc))
    if way.isdecimal():
        return web.Response(status=int(way))
    if way == "garbage":
        return web.Response(text="<p>no</p>")
    return web.json_response([_voice(name, gender) for name, gender in VOICES.items()])


def _voice(name: str, gender: str) -> dict[str, Any]:
    locale = name.rpartition("-")[0]
    return {
        "Name": f"Microsoft Server Speech Text to Speech Voice ({locale}, {name.rpartition('-')[2]})",
        "ShortName": name,
        "Gender": gender,
        "Locale": locale,
        "SuggestedCodec": OUTPUT,
        "FriendlyName": f"Microsoft {name} Online (Natural)",
        "Status": "GA",
        "VoiceTag": {"ContentCategories": ["General"], "VoicePersonalities": ["Friendly"]},
    }


@contextmanager
def edge_service(**settings: Any) -> Iterator[EdgeService]:
    """Run it on a thread with a loop of its own until the block ends."""
    state, ready, box = EdgeService(**settings), threading.Event(), dict[str, Any]()

    async def serve() -> None:
        runner = _runner(state)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        state.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        box.update(loop=asyncio.get_running_loop(), stop=asyncio.Event())
        ready.set()
        await box["stop"].wait()
        await runner.cleanup()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    if not ready.wait(10):
        raise RuntimeError("the service did not start")
    try:
        yield state
    finally:
        box["loop"].call_soon_threadsafe(box["stop"].set)
        thread.join(5)


def _runner(state: EdgeService) -> web.AppRunner:
    return web.AppRunner(application(state), handler_cancellation=True, access_log=None, shutdown_timeout=0.2)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.support.edge_service", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8801)
    options = parser.parse_args()

    async def serve() -> None:
        runner = _runner(EdgeService())
        await runner.setup()
        await web.TCPSite(runner, options.host, options.port).start()
        print(f"Edge's voices on http://{options.host}:{options.port}", flush=True)
        await asyncio.Event().wait()

    with suppress(KeyboardInterrupt):
        asyncio.run(serve())


if __name__ == "__main__":
    main()
