"""A fake of OpenAI's speech and transcription, as strict as OpenAI is about what it is asked.

    python -m tests.support.openai_speech --port 8720 --key secret

Ways of misbehaving beside those of the conformance suite: `json` (an error that calls itself a
success), `other-rate`, `wrong-type` (says nothing of what it sends), and `too-large N` for
transcriptions: files of more than N bytes are refused with 413.
"""

import io
import json
import struct
import wave
from collections.abc import Mapping
from typing import Any

from aiohttp import BodyPartReader, web

from project.bench.babble import babble
from tests.support.encoding import encoded
from tests.support.http_service import Answer, HttpService, Wrong, body_of, run, send

VOICES = frozenset(
    {"alloy", "ash", "ballad", "cedar", "coral", "echo", "fable"}
    | {"marin", "nova", "onyx", "sage", "shimmer", "verse"}
)
SPEECH_MODELS = frozenset({"tts-1", "tts-1-hd", "gpt-4o-mini-tts"})
HEARING_MODELS = frozenset({"whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe"})
SPEECH_FIELDS = frozenset(
    {"model", "input", "voice", "response_format", "speed", "instructions", "stream_format"}
)
HEARING_FIELDS = frozenset(
    {"file", "model", "language", "prompt", "response_format", "temperature", "stream"}
    | {"timestamp_granularities[]"}
)
TYPES = {
    "pcm": "audio/pcm",
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
}
MAX_CHARACTERS = 4096
MAX_FILE_BYTES = 25 * 1024 * 1024


class OpenAISpeech(HttpService):
    """`transcript` is what it hears in every recording; `says` makes it speak the text it is asked for."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.transcript = "When are you open?"
        self.says = False

    def routes(self) -> list[tuple[str, str, Answer]]:
        return [
            ("POST", "/audio/speech", self.speech),
            ("POST", "/audio/transcriptions", self.transcription),
            ("GET", "/models", self.models),
        ]

    async def models(self, _: web.Request, __: str) -> web.StreamResponse:
        names = sorted(SPEECH_MODELS | HEARING_MODELS)
        return web.json_response({"object": "list", "data": [{"id": name} for name in names]})

    async def speech(self, request: web.Request, way: str) -> web.StreamResponse:
        body = await body_of(request, _wrong)
        _check_speech(body)
        self.requests.append(body)
        if way == "json":
            return web.json_response({"error": {"message": body["input"], "code": "server_error"}})
        form = body.get("response_format", "mp3")
        kind = "application/octet-stream" if way == "wrong-type" else TYPES[form]
        rate = 16_000 if way == "other-rate" else self.sample_rate
        pcm = babble(body["input"]).pcm if self.says else self.sound
        headers = {"Content-Type": kind}
        if form == "pcm" and way == "other-rate":
            headers["Content-Type"] = f"audio/pcm; rate={rate}"
        if form == "wav":
            pcm = b"" if way == "empty" else pcm
            return await send(request, _wav_head(rate) + pcm, "" if way == "empty" else way, headers)
        data = pcm if form == "pcm" else encoded(pcm, self.sample_rate, form)
        return await send(request, data, way, headers)

    async def transcription(self, request: web.Request, way: str) -> web.StreamResponse:
        fields, file = await _form(request)
        _check_hearing(fields, file)
        most = MAX_FILE_BYTES
        if way.startswith("too-large"):
            most = int(way.partition(" ")[2])
            self._ways.insert(0, way)  # it stays like that
        if len(file) > most:
            message = f"Maximum content size limit ({most}) exceeded"
            raise Wrong(413, {"error": {"message": message, "type": "server_error", "code": None}})
        self.requests.append({**fields, "file": file})
        if way == "json":
            return web.json_response({"error": {"message": self.transcript, "code": "server_error"}})
        seconds = _seconds(file)
        text = "" if way == "empty" else self.transcript
        kind, answer = _heard(fields.get("response_format", "json"), text, seconds, "words" in str(fields))
        body = answer.encode()
        return await send(request, body, "" if way == "empty" else way, {"Content-Type": kind}, length=True)


def _check_speech(body: Mapping[str, Any]) -> None:
    for name in sorted(set(body) - SPEECH_FIELDS):
        raise _wrong(name, "unknown_parameter")
    text = body.get("input")
    if not isinstance(text, str) or not text:
        raise _wrong("input", "string_too_short")
    if len(text) > MAX_CHARACTERS:
        raise _wrong("input", "string_above_max_length")
    if body.get("model") not in SPEECH_MODELS:
        raise Wrong(404, {"error": {"message": "no", "param": "model", "code": "model_not_found"}})
    if body.get("voice") not in VOICES:
        raise _wrong("voice", "invalid_value")
    if body.get("response_format", "mp3") not in TYPES:
        raise _wrong("response_format", "invalid_value")
    speed = body.get("speed", 1.0)
    if not isinstance(speed, int | float) or not 0.25 <= speed <= 4:
        raise _wrong("speed", "invalid_value")
    if not isinstance(body.get("instructions", ""), str):
        raise _wrong("instructions", "invalid_type")


def _check_hearing(fields: Mapping[str, Any], file: bytes | None) -> None:
    for name in sorted(set(fields) - HEARING_FIELDS):
        raise _wrong(name, "unknown_parameter")
    if not file:
        raise _wrong("file", "missing_required_parameter")
    model, form = fields.get("model"), fields.get("response_format", "json")
    if model not in HEARING_MODELS:
        raise Wrong(404, {"error": {"message": "no", "param": "model", "code": "model_not_found"}})
    allowed = ("json", "text", "srt", "verbose_json", "vtt") if model == "whisper-1" else ("json", "text")
    if form not in allowed:
        raise _wrong("response_format", "unsupported_value")
    if "timestamp_granularities[]" in fields and form != "verbose_json":
        raise _wrong("timestamp_granularities", "invalid_value")
    language = fields.get("language", "en")
    if len(language) not in (2, 3) or not language.isalpha():
        raise _wrong("language", "invalid_language_format")
    if file[:4] != b"RIFF":
        raise _wrong("file", "invalid_value")


def _heard(form: str, text: str, seconds: float, words: bool) -> tuple[str, str]:
    """Content type and body."""
    if form == "text":
        return "text/plain; charset=utf-8", text + "\n"
    end = f"00:00:{int(seconds):02d}"
    if form in ("srt", "vtt"):
        mark = "," if form == "srt" else "."
        cue = f"00:00:00{mark}000 --> {end}{mark}{int(seconds * 1000) % 1000:03d}\n{text}\n\n"
        return "text/plain; charset=utf-8", ("1\n" if form == "srt" else "WEBVTT\n\n") + cue
    answer: dict[str, Any] = {"text": text}
    if form == "verbose_json":
        answer |= {"task": "transcribe", "language": "english", "duration": seconds}
        answer["segments"] = [{"id": 0, "start": 0.0, "end": seconds, "text": f" {text}"}] if text else []
    if words:
        step = seconds / max(1, len(text.split()))
        answer["words"] = [
            {"word": word, "start": i * step, "end": (i + 1) * step} for i, word in enumerate(text.split())
        ]
    return "application/json", json.dumps(answer)


async def _form(request: web.Request) -> tuple[dict[str, Any], bytes | None]:
    if not request.content_type.startswith("multipart/"):
        raise _wrong("content-type")
    fields: dict[str, Any] = {}
    file = None
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader):
            raise _wrong("body")
        data = bytes(await part.read())
        if part.name == "file":
            file = data
            if not part.filename:
                raise _wrong("file")
        elif str(part.name).endswith("[]"):
            fields.setdefault(str(part.name), []).append(data.decode())
        else:
            fields[str(part.name)] = data.decode()
    return fields, file


def _seconds(file: bytes) -> float:
    with wave.open(io.BytesIO(file)) as sound:
        return sound.getnframes() / sound.getframerate()


def _wav_head(rate: int) -> bytes:
    """A WAV that is sent before its length is known."""
    form = struct.pack("<IHHIIHH", 16, 1, 1, rate, rate * 2, 2, 16)
    return b"RIFF\xff\xff\xff\xffWAVEfmt " + form + b"data\xff\xff\xff\xff"


def _wrong(param: str, code: str = "invalid_request") -> Wrong:
    error = {"message": f"wrong: {param}", "type": "invalid_request_error", "param": param, "code": code}
    return Wrong(400, {"error": error})


if __name__ == "__main__":

    def _made(options: Any) -> OpenAISpeech:
        made = OpenAISpeech(key=options.key)
        made.says = True
        return made

    run(_made, "openai_speech")
