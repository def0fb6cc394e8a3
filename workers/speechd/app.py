"""The HTTP side of the sidecar: OpenAI's speech and transcription calls on loopback."""

import asyncio
import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from aiohttp import web

from workers.speechd import wav
from workers.speechd.catalogue import VOICES
from workers.speechd.ears import Ears
from workers.speechd.figures import FIGURES, Figures, counted
from workers.speechd.hearing import transcribe
from workers.speechd.mouth import Mouth, Piece
from workers.speechd.problems import Refused, bad
from workers.speechd.requests import MAX_JSON_BYTES, SpeechWish, speech_wish
from workers.speechd.sensevoice import SenseVoice
from workers.speechd.speaking import Speaking
from workers.speechd.turnstile import Full

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

API_KEY = web.AppKey("api_key", bytes)
MOUTH = web.AppKey("mouth", Mouth)
SPEAKING = web.AppKey("speaking", Speaking)
EARS = web.AppKey("ears", Ears)
SENSEVOICE = web.AppKey("sensevoice", SenseVoice)

MAX_UPLOAD_BYTES = 25 * 1024 * 1024
PAUSE_SECONDS = {",": 0.12, ";": 0.2, ":": 0.2, "—": 0.2}
SENTENCE_PAUSE_SECONDS = 0.35
BLOCK_BYTES = 32 * 1024


def application(
    *, api_key: bytes, mouth: Mouth, speaking: Speaking, ears: Ears, sensevoice: SenseVoice | None = None
) -> web.Application:
    app = web.Application(
        middlewares=[counted, _problems, _closed_to_strangers], client_max_size=MAX_UPLOAD_BYTES + 64 * 1024
    )
    app[API_KEY] = api_key
    app[FIGURES] = Figures()
    app[MOUTH] = mouth
    app[SPEAKING] = speaking
    app[EARS] = ears
    app[SENSEVOICE] = sensevoice or SenseVoice(None)
    app.router.add_get("/health", health)
    app.router.add_get("/metrics", figures_page)
    app.router.add_get("/v1/audio/voices", voices)
    app.router.add_post("/v1/audio/speech", speech)
    app.router.add_post("/v1/audio/transcriptions", transcribe_upload)
    return app


@web.middleware
async def _problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refused as refused:
        return refused.response()
    except Full:
        return Refused(429, "busy", "Too many requests are waiting.").response()
    except web.HTTPRequestEntityTooLarge:
        return Refused(413, "body_too_large", "The body is too large.").response()
    except web.HTTPNotFound:
        return Refused(404, "not_found", "There is no such address.").response()


@web.middleware
async def _closed_to_strangers(request: web.Request, handler: Handler) -> web.StreamResponse:
    given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
    if not hmac.compare_digest(given, b"Bearer " + request.app[API_KEY]):
        raise Refused(401, "invalid_api_key", "The API key is missing or wrong.")
    return await handler(request)


async def health(request: web.Request) -> web.Response:
    """Answers as soon as requests are taken; `loaded` says which models are in memory."""
    loaded = [*request.app[MOUTH].loaded, *request.app[EARS].loaded, *request.app[SENSEVOICE].loaded]
    return web.json_response({"status": "ok", "loaded": loaded, "voices": len(VOICES)})


async def figures_page(request: web.Request) -> web.Response:
    """What it did so far, in Prometheus' format; with the key like everything else."""
    request.app[FIGURES].waiting.set(request.app[SPEAKING].waiting)
    return request.app[FIGURES].page()


async def voices(_: web.Request) -> web.Response:
    found = [{"id": voice.id, "language": voice.language} for voice in VOICES.values()]
    return web.json_response({"object": "list", "data": found})


async def speech(request: web.Request) -> web.StreamResponse:
    """Speech as it is made. Faults before the first sound are answers, later ones cut the body."""
    began, figures = time.perf_counter(), request.app[FIGURES]
    wish = speech_wish(await _json(request))
    async with aclosing(request.app[SPEAKING].pieces(wish)) as pieces:
        first = await anext(pieces, None)
        if first is None:
            raise bad("nothing_to_say", "The text has nothing that sounds.", "input")
        figures.first.observe(time.perf_counter() - began)
        response = _response(wish, first.sample_rate)
        await response.prepare(request)
        send = _send_events if wish.events else _send_sound
        await send(response, wish, first, _measured(figures, first, pieces))
    await response.write_eof()
    return response


async def _measured(figures: Figures, first: Piece, rest: AsyncIterator[Piece]) -> AsyncIterator[Piece]:
    figures.spoken.inc(_seconds(first))
    async for piece in rest:
        figures.spoken.inc(_seconds(piece))
        yield piece


def _seconds(piece: Piece) -> float:
    return len(piece.pcm) / 2 / piece.sample_rate


async def transcribe_upload(request: web.Request) -> web.StreamResponse:
    return await transcribe(request, request.app[EARS], request.app[SENSEVOICE])


async def _json(request: web.Request) -> Any:
    if (request.content_length or 0) > MAX_JSON_BYTES:
        raise Refused(413, "body_too_large", "The body is too large.")
    body = await request.read()
    if len(body) > MAX_JSON_BYTES:
        raise Refused(413, "body_too_large", "The body is too large.")
    try:
        return json.loads(body)
    except ValueError as exc:
        raise bad("invalid_json", "The body is not JSON.") from exc


def _response(wish: SpeechWish, sample_rate: int) -> web.StreamResponse:
    kind = "text/event-stream" if wish.events else {"pcm": "audio/pcm", "wav": "audio/wav"}[wish.format]
    return web.StreamResponse(
        headers={"Content-Type": kind, "X-Sample-Rate": str(sample_rate), "Cache-Control": "no-store"}
    )


async def _send_sound(
    response: web.StreamResponse, wish: SpeechWish, first: Piece, rest: AsyncIterator[Piece]
) -> None:
    if wish.format == "wav":
        await response.write(wav.header(first.sample_rate))
    async for _, pcm in _joined(first, rest):
        await _write_blocks(response, pcm)


async def _send_events(
    response: web.StreamResponse, wish: SpeechWish, first: Piece, rest: AsyncIterator[Piece]
) -> None:
    """Every piece of sound is followed by when its phones and words are heard."""
    sent_samples = 0
    if wish.format == "wav":
        await _event(response, "speech.audio.delta", audio=_base64(wav.header(first.sample_rate)))
    async for piece, pcm in _joined(first, rest):
        begins = sent_samples + (len(pcm) - len(piece.pcm)) // 2
        await _event(response, "speech.audio.delta", audio=_base64(pcm))
        await _event(response, "speech.audio.timings", **_timings(piece, begins / piece.sample_rate))
        sent_samples += len(pcm) // 2
    await _event(response, "speech.audio.done", samples=sent_samples)


async def _joined(first: Piece, rest: AsyncIterator[Piece]) -> AsyncIterator[tuple[Piece, bytes]]:
    """Each piece with its sound, and the pause before it in front."""
    yield first, first.pcm
    before = first
    async for piece in rest:
        seconds = PAUSE_SECONDS.get(before.last_mark, SENTENCE_PAUSE_SECONDS)
        yield piece, bytes(int(seconds * piece.sample_rate) * 2) + piece.pcm
        before = piece


def _timings(piece: Piece, offset: float) -> dict[str, Any]:
    return {
        "phones": [
            {"symbol": sound.symbol, **_span(sound.start + offset, sound.end + offset)}
            for sound in piece.sounds
        ],
        "words": [
            {"text": word.text, **_span(word.start + offset, word.end + offset)} for word in piece.words
        ],
    }


def _span(start: float, end: float) -> dict[str, int]:
    return {"start_ms": round(start * 1000), "end_ms": round(end * 1000)}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


async def _event(response: web.StreamResponse, kind: str, **fields: Any) -> None:
    text = json.dumps({"type": kind, **fields}, ensure_ascii=False, separators=(",", ":"))
    await response.write(f"data: {text}\n\n".encode())


async def _write_blocks(response: web.StreamResponse, pcm: bytes) -> None:
    for start in range(0, len(pcm), BLOCK_BYTES):
        await response.write(pcm[start : start + BLOCK_BYTES])
        await asyncio.sleep(0)
