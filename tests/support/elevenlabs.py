"""ElevenLabs, as far as we use it: speech over HTTP and WebSocket, voices, cloning.

Strict as the real one is: the key in its own header, a known voice and model, settings within bounds, a
first message of one space, formats that the plan has. Each request takes the next misbehaviour of a list
and then behaves; `429 system_busy` answers that status and name, `400 text` and `400 fields` use the other
shapes of `detail`, `upgrade 403` refuses the WebSocket itself.

    python -m tests.support.elevenlabs --port 8802
"""

import argparse
import asyncio
import base64
import json
import re
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import numpy as np
from aiohttp import BodyPartReader, WSMsgType, web

from project.bench.babble import RATE, babble
from tests.support.encoding import encoded

KEY = "xi-test-key"
VOICE = "21m00Tcm4TlvDq8ikWAM"
MODELS = ("eleven_flash_v2_5", "eleven_turbo_v2_5", "eleven_multilingual_v2", "eleven_v3")
FORMATS = {"mp3_22050_32", "mp3_24000_48", "mp3_44100_128", "opus_48000_64"} | {
    f"pcm_{rate}" for rate in (8000, 16_000, 22_050, 24_000)
}
PAID = {"pcm_44100", "pcm_48000", "mp3_44100_192"}
SETTINGS = {"stability": (0, 1), "similarity_boost": (0, 1), "style": (0, 1), "speed": (0.7, 1.2)}
PIECE_MS = 250
MAX_TEXT = 40_000


@dataclass
class ElevenLabsService:
    """`sound` is the last whole answer before it was encoded; `open_now` counts answers under way.

    `absolute` has HTTP's times count from the first sample of all, instead of each object's own.
    """

    url: str = ""
    key: str = KEY
    sample_rate: int = RATE
    sound: bytes = b""
    absolute: bool = True
    requests: list[dict[str, Any]] = field(default_factory=list)
    open_now: int = 0
    transports: list[Any] = field(default_factory=list)
    ways: list[str] = field(default_factory=list)
    voices: dict[str, dict[str, Any]] = field(default_factory=dict)
    most_per_page: int = 2
    unverified: bool = False

    @property
    def opened(self) -> int:
        return len(self.transports)

    def misbehave(self, *ways: str) -> None:
        self.ways = list(ways)

    def next_way(self) -> str:
        return self.ways.pop(0) if self.ways else ""


@dataclass(frozen=True)
class Spoken:
    """`marks` are characters with their start and end in ms."""

    pcm: bytes
    rate: int
    wire: bytes
    marks: tuple[tuple[str, int, int], ...]


class _Refused(Exception):
    def __init__(self, status: int, detail: Any) -> None:
        super().__init__(status)
        self.status, self.detail = status, detail


@lru_cache(maxsize=64)
def spoken(text: str, output_format: str = "pcm_24000") -> Spoken:
    kind, rate = output_format.split("_", maxsplit=1)[0], int(output_format.split("_")[1])
    said = babble(text)
    pcm = _at_rate(said.pcm, rate)
    if kind == "pcm":
        return Spoken(pcm, rate, pcm, _marks(text, said.words))
    bits = int(output_format.split("_")[2]) * 1000
    wire = encoded(pcm, rate, "mp3" if kind == "mp3" else "opus", bit_rate=bits)
    return Spoken(pcm, rate, wire, _marks(text, said.words))


def _at_rate(pcm: bytes, rate: int) -> bytes:
    if rate == RATE:
        return pcm
    samples = np.frombuffer(pcm, "<i2").astype(np.float64)
    at = np.arange(len(samples) * rate // RATE) * RATE / rate
    return np.interp(at, np.arange(len(samples)), samples).astype("<i2").tobytes()


def _marks(text: str, words: tuple[tuple[str, int, int], ...]) -> tuple[tuple[str, int, int], ...]:
    """Every character of the text: a word's share its time, a space lasts until the next word."""
    marks: list[tuple[str, int, int]] = []
    left = list(words)
    for piece in re.findall(r"\S+|\s", text):
        if piece.isspace():
            end = left[0][1] if left else marks[-1][2]
            marks.append((piece, marks[-1][2] if marks else 0, end))
            continue
        _, start, end = left.pop(0)
        step = (end - start) / len(piece)
        for index, character in enumerate(piece):
            marks.append((character, start + round(index * step), start + round((index + 1) * step)))
    return tuple(marks)


def application(state: ElevenLabsService) -> web.Application:
    @web.middleware
    async def judge(request: web.Request, handler: Any) -> web.StreamResponse:
        if request.transport not in state.transports:
            state.transports.append(request.transport)
        state.open_now += 1
        try:
            return await handler(request)
        except _Refused as exc:
            headers = {"Retry-After": "0"} if exc.status == 429 else {}
            return web.json_response({"detail": exc.detail}, status=exc.status, headers=headers)
        finally:
            state.open_now -= 1

    app = web.Application(middlewares=[judge], client_max_size=32 * 1024 * 1024)
    speech = "/v1/text-to-speech/{voice}"
    app.router.add_post(f"{speech}/stream", partial(_speech, state, timed=False))
    app.router.add_post(f"{speech}/stream/with-timestamps", partial(_speech, state, timed=True))
    app.router.add_get(f"{speech}/stream-input", partial(_socket, state))
    app.router.add_get("/v2/voices", partial(_voices, state))
    app.router.add_post("/v1/voices/add", partial(_add, state))
    app.router.add_delete("/v1/voices/{voice}", partial(_delete, state))
    return app


def _named(name: str, message: str = "no") -> dict[str, str]:
    return {"status": name, "message": message}


def _field(*where: str) -> list[dict[str, Any]]:
    return [{"loc": list(where), "msg": "is not valid", "type": "value_error"}]


def _let_in(state: ElevenLabsService, request: web.Request) -> None:
    if "xi_api_key" in request.query or request.headers.get("xi-api-key") != state.key:
        raise _Refused(401, _named("invalid_api_key", "Invalid API key"))


def _answered_by_order(way: str, text: str) -> None:
    """A refusal that the test asked for. It repeats the text, as some do."""
    status, _, name = way.partition(" ")
    if not status.isdecimal():
        return
    name = "" if name == "reason" else name
    usual = {"401": "invalid_api_key", "429": "too_many_concurrent_requests", "500": "internal_error"}
    detail: Any = _named(name or usual.get(status, "bad_request"), f"while saying {text}")
    if name == "text":
        detail = f"no, not {text}"
    elif name == "fields":
        detail = _field("body", "text")
    elif name == "typed":
        detail = {"type": "authentication_error", "code": "invalid_api_key", "message": text}
    raise _Refused(int(status), detail)


def _checked(state: ElevenLabsService, voice: str, asked: Mapping[str, Any]) -> None:
    """What is the same over HTTP and over a socket."""
    if voice not in STOCK and voice not in state.voices:
        raise _Refused(404, _named("voice_not_found", f"A voice with voice_id {voice} was not found."))
    if asked.get("model_id") not in MODELS:
        raise _Refused(400, _named("model_not_found"))
    if asked["output_format"] in PAID:
        raise _Refused(403, _named("output_format_not_allowed"))
    if asked["output_format"] not in FORMATS:
        raise _Refused(422, _field("query", "output_format"))
    takes = asked["model_id"].endswith("_v2_5") or asked["model_id"] == "eleven_v3"
    if asked.get("language_code") and (not takes or not re.fullmatch("[a-z]{2}", asked["language_code"])):
        raise _Refused(400, _named("unsupported_language"))
    for name, value in (asked.get("voice_settings") or {}).items():
        low, high = SETTINGS.get(name, (False, True))
        if name not in {*SETTINGS, "use_speaker_boost"} or not low <= value <= high:
            raise _Refused(422, _field("body", "voice_settings", name))


async def _speech(state: ElevenLabsService, request: web.Request, *, timed: bool) -> web.StreamResponse:
    way = state.next_way()
    _let_in(state, request)
    asked = await request.json()
    _answered_by_order(way, str(asked.get("text")))
    if not isinstance(asked.get("text"), str) or not asked["text"].strip():
        raise _Refused(422, _field("body", "text"))
    if len(asked["text"]) > MAX_TEXT:
        raise _Refused(400, _named("max_character_limit_exceeded"))
    asked["output_format"] = request.query.get("output_format", "mp3_44100_128")
    known = {"text", "model_id", "language_code", "voice_settings", "seed", "previous_text", "next_text"}
    if unknown := set(asked) - known - {"output_format", "apply_text_normalization"}:
        raise _Refused(422, _field("body", *unknown))
    _checked(state, request.match_info["voice"], asked)
    state.requests.append({**asked, "voice": request.match_info["voice"], "headers": dict(request.headers)})
    if way == "silent":
        await asyncio.sleep(3600)
    if way == "drop":
        _abort(request)
        return web.Response()
    if way == "garbage":
        return web.Response(text=f"<p>{asked['text']}</p>", content_type="text/html")
    said = spoken(asked["text"], asked["output_format"])
    state.sound, state.sample_rate = said.pcm, said.rate
    kind = asked["output_format"].split("_")[0]
    plain = {"pcm": "audio/pcm", "mp3": "audio/mpeg", "opus": "audio/opus"}[kind]
    answer = web.StreamResponse(headers={"Content-Type": "application/json" if timed else plain})
    await answer.prepare(request)
    async for message in _messages(state, request, said, way):
        if not timed:
            await answer.write(base64.b64decode(message["audio"]))
        elif "detail" in message:
            await answer.write(json.dumps(message).encode() + b"\n")
            return answer
        else:
            await _write(answer, _object(message), way)
    return answer


async def _write(answer: web.StreamResponse, content: Mapping[str, Any], way: str) -> None:
    line = json.dumps(content).encode() + b"\n\n"
    step = 333 if way in ("odd", "slow-chunks") else len(line)
    for at in range(0, len(line), step):
        await answer.write(line[at : at + step])
        await asyncio.sleep(0)


def _object(message: Mapping[str, Any]) -> dict[str, Any]:
    marks = message["marks"]
    alignment = {
        "characters": [mark[0] for mark in marks],
        "character_start_times_seconds": [mark[1] / 1000 for mark in marks],
        "character_end_times_seconds": [mark[2] / 1000 for mark in marks],
    }
    given = alignment if marks else None
    return {"audio_base64": message["audio"], "alignment": given, "normalized_alignment": given}


async def _messages(
    state: ElevenLabsService, request: web.Request, said: Spoken, way: str
) -> AsyncIterator[dict[str, Any]]:
    """Pieces of sound, each with the characters that begin in it."""
    if way == "empty":
        return
    length_ms = len(said.pcm) * 500 / said.rate
    per_piece = max(1, round(len(said.wire) * PIECE_MS / length_ms))
    per_piece += per_piece % 2
    if way in ("odd", "slow-chunks"):
        per_piece = 333
    marks = list(said.marks)
    for at in range(0, len(said.wire), per_piece):
        if at >= len(said.wire) // 2 and way in ("stall", "cut", "error"):
            if way == "error":
                yield {"detail": _named("system_busy", "not now")}
                return
            await _leave(request, way)
        begin_ms, end_ms = (round(length_ms * x / len(said.wire)) for x in (at, at + per_piece))
        here = [mark for mark in marks if mark[1] < end_ms] if at + per_piece < len(said.wire) else marks
        marks = marks[len(here) :]
        moved = 0 if state.absolute else begin_ms
        data = base64.b64encode(said.wire[at : at + per_piece]).decode()
        yield {"audio": data, "marks": [(m[0], max(m[1] - moved, 0), m[2] - moved) for m in here]}
        await asyncio.sleep(0.001 if way == "slow-chunks" else 0)


async def _leave(request: web.Request, way: str) -> None:
    await asyncio.sleep(0.05)
    if way == "stall":
        await asyncio.sleep(3600)
    assert request.transport is not None
    request.transport.close()
    raise ConnectionResetError


def _abort(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.abort()


async def _socket(state: ElevenLabsService, request: web.Request) -> web.StreamResponse:
    way = state.next_way()
    if way.startswith("upgrade "):
        return web.Response(status=int(way.split()[1]))
    socket = web.WebSocketResponse(timeout=0.2)
    await socket.prepare(request)
    try:
        await _talk(state, request, socket, way)
    except _Refused as exc:
        name = exc.detail["status"] if isinstance(exc.detail, dict) and "status" in exc.detail else "invalid"
        if way != "401 reason":
            error = {"message": json.dumps(exc.detail), "error": name, "code": 1008}
            await socket.send_str(json.dumps(error))
        await socket.close(code=1008, message=f"{name}: {exc.status}".encode())
    except ConnectionResetError:
        with suppress(ConnectionResetError):
            await socket.close()
    return socket


async def _talk(
    state: ElevenLabsService, request: web.Request, socket: web.WebSocketResponse, way: str
) -> None:
    query = dict(request.query)
    first = await _heard(socket, query)
    _let_in(state, request)
    if first.get("text") != " ":
        raise _Refused(400, _named("invalid_first_message"))
    asked = {"output_format": "mp3_44100_128", **query, "voice_settings": first.get("voice_settings")}
    _checked(state, request.match_info["voice"], asked)
    asked |= {"first": first, "voice": request.match_info["voice"], "messages": [], "text": ""}
    asked["headers"] = dict(request.headers)
    state.requests.append(asked)
    while True:
        message = await _heard(socket, query)
        asked["messages"].append(message)
        if message["text"] == "":
            break
        if not message["text"].endswith(" "):
            raise _Refused(400, _named("text_without_space"))
        asked["text"] += message["text"]
    await _spoken(state, request, socket, way, asked)


async def _spoken(
    state: ElevenLabsService,
    request: web.Request,
    socket: web.WebSocketResponse,
    way: str,
    asked: dict[str, Any],
) -> None:
    if way == "500":
        await socket.close(code=1011)
        return
    _answered_by_order(way, asked["text"])
    if way == "silent":
        await _until_gone(socket)
    if way == "drop":
        _abort(request)
        return
    if way == "garbage":
        await socket.send_str("good morning")
        return
    said = spoken(asked["text"].rstrip(), asked["output_format"])
    state.sound, state.sample_rate = said.pcm, said.rate
    speaking = asyncio.ensure_future(_send(state, request, socket, way, said))
    gone = asyncio.ensure_future(_until_gone(socket))
    try:
        await asyncio.wait({speaking, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (speaking, gone):
            task.cancel()
        spoke, _ = await asyncio.gather(speaking, gone, return_exceptions=True)
    if isinstance(spoke, _Refused | ConnectionResetError):
        raise spoke


async def _send(
    state: ElevenLabsService, request: web.Request, socket: web.WebSocketResponse, way: str, said: Spoken
) -> None:
    """Half of the text's times with the first message, the other half in the middle, the rest untimed."""
    segments = _segments(said)
    length_ms = len(said.pcm) * 500 / said.rate
    sent_ms = 0.0
    async for message in _messages(state, request, said, way):
        if "detail" in message:
            error = {"message": "not now", "error": message["detail"]["status"], "code": 1008}
            await socket.send_str(json.dumps(error))
            await socket.close(code=1008)
            return
        alignment = None
        data = base64.b64decode(message["audio"])
        if segments and sent_ms >= segments[0][0]:
            _, marks = segments.pop(0)
            alignment = {
                "chars": [mark[0] for mark in marks],
                "charStartTimesMs": [max(0, round(mark[1] - sent_ms)) for mark in marks],
                "charDurationsMs": [mark[2] - mark[1] for mark in marks],
            }
        sent_ms += len(data) * length_ms / len(said.wire)
        frame = {"audio": message["audio"], "isFinal": None}
        await socket.send_str(json.dumps({**frame, "alignment": alignment, "normalizedAlignment": alignment}))
    await socket.send_str(json.dumps({"audio": None, "isFinal": True, "alignment": None}))
    await socket.close()


def _segments(said: Spoken) -> list[tuple[float, list[tuple[str, int, int]]]]:
    """Where each begins in ms, and its characters; cut at a space near the middle."""
    marks = list(said.marks)
    spaces = [index for index, mark in enumerate(marks) if mark[0] == " " and index >= len(marks) // 2]
    cut = spaces[0] + 1 if spaces else len(marks)
    return [(0.0, marks[:cut])] + ([(marks[cut][1] - PIECE_MS, marks[cut:])] if cut < len(marks) else [])


async def _heard(socket: web.WebSocketResponse, query: Mapping[str, str]) -> dict[str, Any]:
    """The client's next message; one that is waited for too long ends the socket."""
    try:
        seconds = float(query.get("inactivity_timeout", 20))
        message = await asyncio.wait_for(socket.receive(), min(seconds, 180))
    except TimeoutError:
        raise _Refused(408, _named("input_timeout_exceeded")) from None
    if message.type != WSMsgType.TEXT:
        raise ConnectionResetError
    content = json.loads(message.data)
    if not isinstance(content, dict) or not isinstance(content.get("text"), str):
        raise _Refused(422, _field("text"))
    if "xi_api_key" in content:
        raise _Refused(400, _named("key_in_message"))
    return content


async def _until_gone(socket: web.WebSocketResponse) -> None:
    while (await socket.receive()).type == WSMsgType.TEXT:
        pass


async def _voices(state: ElevenLabsService, request: web.Request) -> web.Response:
    _answered_by_order(way := state.next_way(), "")
    _let_in(state, request)
    if way == "garbage":
        return web.Response(text="<p>no</p>")
    size = int(request.query.get("page_size", 10))
    if not 1 <= size <= 100:
        raise _Refused(422, _field("query", "page_size"))
    size = min(size, state.most_per_page)
    begin = int(request.query.get("next_page_token", "token-0").removeprefix("token-"))
    entries = list({**STOCK, **state.voices}.values())
    more = begin + size < len(entries)
    page = {"voices": entries[begin : begin + size], "has_more": more, "total_count": len(entries)}
    return web.json_response({**page, "next_page_token": f"token-{begin + size}" if more else None})


async def _add(state: ElevenLabsService, request: web.Request) -> web.Response:
    way = state.next_way()
    _let_in(state, request)
    _answered_by_order(way, "")
    found: dict[str, Any] = {}
    async for part in await request.multipart():
        if isinstance(part, BodyPartReader):
            data = await part.read()
            found[str(part.name)] = bytes(data) if part.filename else data.decode()
    if not found.get("name") or not found.get("files"):
        raise _Refused(422, _field("body", "name" if not found.get("name") else "files"))
    if not found["files"].startswith(b"RIFF"):
        raise _Refused(400, _named("invalid_audio"))
    voice = f"cloned{len(state.voices)}"
    labels = json.loads(found.get("labels") or "{}")
    state.voices[voice] = {"voice_id": voice, "name": found["name"], "category": "cloned", "labels": labels}
    state.requests.append(found)
    return web.json_response({"voice_id": voice, "requires_verification": state.unverified})


async def _delete(state: ElevenLabsService, request: web.Request) -> web.Response:
    _let_in(state, request)
    _answered_by_order(state.next_way(), "")
    if state.voices.pop(request.match_info["voice"], None) is None:
        raise _Refused(400, _named("voice_does_not_exist"))
    return web.json_response({"status": "ok"})


def _stock(voice: str, name: str, gender: str, locale: str, **more: Any) -> dict[str, Any]:
    language = locale.partition("-")[0]
    return {
        "voice_id": voice,
        "name": name,
        "category": "premade",
        "labels": {"gender": gender, "language": language, "accent": "any"},
        "preview_url": f"https://example.com/{voice}.mp3",
        "verified_languages": [
            {"language": "fr", "locale": "fr-FR", "model_id": MODELS[0]},
            {"language": language, "locale": locale, "model_id": MODELS[0]},
        ],
        **more,
    }


STOCK = {
    entry["voice_id"]: entry
    for entry in (
        _stock(VOICE, "Rachel", "female", "en-US"),
        _stock("EXAVITQu4vr4xnSDxMaL", "Sarah", "female", "en-US"),
        _stock("nPczCjzI2devNBz1zQrb", "Brian", "male", "en-US"),
        _stock("onwK4e9ZLuTAKqWW03F9", "Daniel", "male", "en-GB"),
        _stock("plain", "", "non-binary", "", labels=None, verified_languages=None, preview_url=None),
        _stock("german", "Grete", "female", "de-DE", verified_languages=[]),
    )
}


@contextmanager
def elevenlabs(**settings: Any) -> Iterator[ElevenLabsService]:
    """Run it on a thread with a loop of its own until the block ends."""
    state, ready, box = ElevenLabsService(**settings), threading.Event(), dict[str, Any]()

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


def _runner(state: ElevenLabsService) -> web.AppRunner:
    return web.AppRunner(application(state), handler_cancellation=True, access_log=None, shutdown_timeout=0.2)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.support.elevenlabs", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8802)
    parser.add_argument("--key", default=KEY)
    options = parser.parse_args()

    async def serve() -> None:
        runner = _runner(ElevenLabsService(key=options.key, most_per_page=100))
        await runner.setup()
        await web.TCPSite(runner, options.host, options.port).start()
        print(f"ElevenLabs on http://{options.host}:{options.port}", flush=True)
        await asyncio.Event().wait()

    with suppress(KeyboardInterrupt):
        asyncio.run(serve())


if __name__ == "__main__":
    main()
