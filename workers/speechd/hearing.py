"""The transcription call: an upload in, text with times out."""

import asyncio
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from aiohttp import BodyPartReader, web

from workers.speechd.ears import LANGUAGES, RATE, Ears, Heard, Samples, TooLong, Unreadable
from workers.speechd.problems import Refused, bad
from workers.speechd.sensevoice import LANGUAGES as SENSEVOICE_LANGUAGES
from workers.speechd.sensevoice import NAME as SENSEVOICE
from workers.speechd.sensevoice import NoModel, SenseVoice
from workers.speechd.turnstile import BATCH, LIVE, Turnstile

T = TypeVar("T")
FORMATS = ("json", "verbose_json", "text")
MAX_BYTES = 25 * 1024 * 1024
MAX_FIELD_BYTES = 4096

ALIASES = {"cmn": "zh", "jp": "ja", "kr": "ko", "cn": "zh"}
LONG_SECONDS = 45  # more than anybody says in one go: a recording


class _Lane:
    """One thread, and the queue in front of it."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, name)
        self._queue = Turnstile(most_waiting=16)

    async def run(self, work: Callable[[], T], priority: int = LIVE) -> T:
        async with self._queue.turn(priority):
            running = asyncio.get_running_loop().run_in_executor(self._thread, work)
            try:
                return await asyncio.shield(running)
            except asyncio.CancelledError:
                await asyncio.wait([running])
                raise


_decoding, _short, _long = _Lane("decoding"), _Lane("ears"), _Lane("long-ears")
_sensing = _Lane("sensevoice")


async def transcribe(request: web.Request, ears: Ears, sensevoice: SenseVoice) -> web.StreamResponse:
    upload, fields = await _read(request)
    wanted = fields.get("response_format", "json")
    if wanted not in FORMATS:
        raise bad("response_format_invalid", f"response_format is one of {', '.join(FORMATS)}.")
    if fields.get("model", "").lower() == SENSEVOICE:
        _check_language(fields.get("language", ""), SENSEVOICE_LANGUAGES)
        heard, language = await _sensed(sensevoice, upload, ears)
    else:
        _check_language(fields.get("language", ""), LANGUAGES)
        heard, language = await _hear(ears, upload), "en"
    text = _joined(part.text for part in heard)
    if wanted == "text":
        return web.Response(text=text + "\n")
    return web.json_response(_body(text, heard, language if wanted == "verbose_json" else None))


async def _hear(ears: Ears, upload: bytes) -> list[Heard]:
    samples = await _decoded(ears, upload)
    lane = _long if len(samples) > LONG_SECONDS * RATE else _short
    return await lane.run(lambda: ears.hear(samples))


async def _sensed(sensevoice: SenseVoice, upload: bytes, ears: Ears) -> tuple[list[Heard], str]:
    """A part at a time: who speaks now goes before the rest of a recording."""
    samples = await _decoded(ears, upload)
    priority = BATCH if len(samples) > LONG_SECONDS * RATE else LIVE
    try:
        parts = await _sensing.run(lambda: sensevoice.parts(samples), priority)
    except NoModel as exc:
        raise Refused(404, "model_not_found", str(exc), param="model") from exc
    heard: list[Heard] = []
    languages: list[str] = []
    for part in parts:
        take = await _sensing.run(lambda part=part: sensevoice.hear(samples, part), priority)  # type: ignore[misc]
        heard += take.heard
        languages += [take.language] if take.language else []
    return heard, max(languages, key=languages.count) if languages else ""


async def _decoded(ears: Ears, upload: bytes) -> Samples:
    try:
        return await _decoding.run(lambda: ears.decode(upload))
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


def _check_language(language: str, known: Collection[str]) -> None:
    """A model writes nonsense for languages that it does not know."""
    bare = language.lower().replace("_", "-").split("-")[0]
    if bare and bare != "auto" and ALIASES.get(bare, bare) not in known:
        raise bad(
            "language_unsupported", f"This recogniser understands: {', '.join(sorted(known))}.", "language"
        )


def _joined(texts: Iterable[str]) -> str:
    """Sentences as one text, without spaces where Chinese or Japanese meets its like."""
    whole = ""
    for text in texts:
        meets = whole and text and not (_wide(whole[-1]) and _wide(text[0]))
        whole += f" {text}" if meets else text
    return whole


def _wide(character: str) -> bool:
    return "\u2e80" <= character <= "\u9fff" or "\uff00" <= character <= "\uffef"


def _body(text: str, heard: list[Heard], language: str | None) -> dict[str, Any]:
    """`language` where the answer is to be verbose."""
    segments = [
        {"id": index, "start": round(part.start, 3), "end": round(part.end, 3), "text": part.text}
        for index, part in enumerate(heard)
    ]
    body: dict[str, Any] = {"text": text, "segments": segments}
    if language is not None:
        duration = heard[-1].end if heard else 0.0
        body |= {"task": "transcribe", "language": language, "duration": duration}
    return body
