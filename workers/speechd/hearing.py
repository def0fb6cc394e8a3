"""The transcription call: an upload in, text with times out."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from aiohttp import BodyPartReader, web

from workers.speechd.ears import LANGUAGES, RATE, Ears, Heard, TooLong, Unreadable
from workers.speechd.problems import Refused, bad
from workers.speechd.turnstile import LIVE, Turnstile

T = TypeVar("T")
FORMATS = ("json", "verbose_json", "text")
MAX_BYTES = 25 * 1024 * 1024
MAX_FIELD_BYTES = 4096

LONG_SECONDS = 45  # more than anybody says in one go: a recording


class _Lane:
    """One thread, and the queue in front of it."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, name)
        self._queue = Turnstile(most_waiting=16)

    async def run(self, work: Callable[[], T]) -> T:
        async with self._queue.turn(LIVE):
            running = asyncio.get_running_loop().run_in_executor(self._thread, work)
            try:
                return await asyncio.shield(running)
            except asyncio.CancelledError:
                await asyncio.wait([running])
                raise


_decoding, _short, _long = _Lane("decoding"), _Lane("ears"), _Lane("long-ears")


async def transcribe(request: web.Request, ears: Ears) -> web.StreamResponse:
    upload, fields = await _read(request)
    wanted = fields.get("response_format", "json")
    if wanted not in FORMATS:
        raise bad("response_format_invalid", f"response_format is one of {', '.join(FORMATS)}.")
    _check_language(fields.get("language", ""))
    heard = await _hear(ears, upload)
    text = " ".join(part.text for part in heard)
    if wanted == "text":
        return web.Response(text=text + "\n")
    return web.json_response(_body(text, heard, verbose=wanted == "verbose_json"))


async def _hear(ears: Ears, upload: bytes) -> list[Heard]:
    try:
        samples = await _decoding.run(lambda: ears.decode(upload))
        lane = _long if len(samples) > LONG_SECONDS * RATE else _short
        return await lane.run(lambda: ears.hear(samples))
    except Unreadable as exc:
        raise bad("audio_unreadable", "The file holds no sound that can be decoded.", "file") from exc
    except TooLong as exc:
        raise Refused(413, "audio_too_long", "The recording is too long.", param="file") from exc


async def _read(request: web.Request) -> tuple[bytes, dict[str, str]]:
    if not request.content_type.startswith("multipart/"):
        raise bad("invalid_form", "Send multipart/form-data with a file.")
    upload: bytes | None = None
    fields: dict[str, str] = {}
    try:
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                raise bad("invalid_form", "The form is nested.")
            if part.name == "file":
                upload = await _limited(part, MAX_BYTES)
            elif part.name:
                fields[part.name] = (await _limited(part, MAX_FIELD_BYTES)).decode("utf-8", "replace")
    except ValueError as exc:
        raise bad("invalid_form", "The form cannot be read.") from exc
    if not upload:
        raise bad("file_missing", "There is no file to hear.", "file")
    return upload, fields


async def _limited(part: BodyPartReader, limit: int) -> bytes:
    data = bytearray()
    while chunk := await part.read_chunk(64 * 1024):
        data += chunk
        if len(data) > limit:
            raise Refused(413, "body_too_large", "The upload is too large.", param=part.name)
    return bytes(data)


def _check_language(language: str) -> None:
    """The model knows English alone; it would write English nonsense for anything else."""
    if language and language.lower().replace("_", "-").split("-")[0] not in LANGUAGES:
        raise bad("language_unsupported", "The local recogniser understands English only.", "language")


def _body(text: str, heard: list[Heard], *, verbose: bool) -> dict[str, Any]:
    segments = [
        {"id": index, "start": round(part.start, 3), "end": round(part.end, 3), "text": part.text}
        for index, part in enumerate(heard)
    ]
    body: dict[str, Any] = {"text": text, "segments": segments}
    if verbose:
        body |= {"task": "transcribe", "language": "en", "duration": heard[-1].end if heard else 0.0}
    return body
