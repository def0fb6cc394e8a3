"""A fake of Xiaomi's MiMo: speech and hearing within chat completions, one whole answer each.

    python -m tests.support.mimo --port 8721 --key secret

`bare` makes it take bare base64 in `input_audio`, as OpenAI's own models do, in place of a data URI;
`parts` makes it answer with a list of parts.
"""

import base64
import binascii
import io
import json
import wave
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from project.bench.babble import babble
from tests.support.encoding import encoded
from tests.support.http_service import Answer, HttpService, Wrong, body_of, run, send

VOICES = frozenset({"mimo_default", "冰糖", "茉莉", "苏打", "白桦", "Mia", "Chloe", "Milo", "Dean"})
URI = "data:audio/wav;base64,"


class Mimo(HttpService):
    """`transcript` is what it hears in every recording; `says` makes it speak the text it is asked for."""

    def __init__(self, *args: Any, bare: bool = False, parts: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.bare, self.parts = bare, parts
        self.transcript = "When are you open?"
        self.says = False

    def routes(self) -> list[tuple[str, str, Answer]]:
        return [("POST", "/chat/completions", self.chat)]

    async def chat(self, request: web.Request, way: str) -> web.StreamResponse:
        body = await body_of(request, _wrong)
        if not isinstance(body.get("messages"), list) or not body["messages"]:
            raise _wrong("messages")
        message = self._spoken(body, way) if body.get("model") == "mimo-v2.5-tts" else self._heard(body, way)
        self.requests.append(body)
        answer = {"id": "1", "choices": [{"index": 0, "finish_reason": "stop", "message": message}]}
        if way in ("error", "json"):
            answer = {"error": {"message": str(body["messages"][-1]), "code": "overloaded"}}
        data = json.dumps(answer).encode()
        return await send(
            request, data, "" if way == "empty" else way, {"Content-Type": "application/json"}, length=True
        )

    def _spoken(self, body: Mapping[str, Any], way: str) -> dict[str, Any]:
        *before, last = body["messages"]
        if [m.get("role") for m in before] not in ([], ["user"]) or last.get("role") != "assistant":
            raise _wrong("messages")
        if not isinstance(last.get("content"), str) or not last["content"].strip():
            raise _wrong("messages")
        audio = body.get("audio") or {}
        if audio.get("format") not in ("wav", "mp3", "pcm16"):
            raise _wrong("audio.format")
        if audio.get("voice") not in VOICES:
            raise Wrong(400, {"error": {"message": "no", "param": "voice", "code": "invalid_voice"}})
        rate = 16_000 if way == "other-rate" else self.sample_rate
        pcm = babble(last["content"]).pcm if self.says else self.sound
        made = {"wav": lambda: _wav(pcm, rate), "pcm16": lambda: pcm, "mp3": lambda: encoded(pcm, rate)}
        sound = b"" if way == "empty" else made[audio["format"]]()
        return {
            "role": "assistant",
            "content": None,
            "audio": {"id": "a", "data": base64.b64encode(sound).decode()},
        }

    def _heard(self, body: Mapping[str, Any], way: str) -> dict[str, Any]:
        if body.get("model") != "mimo-v2.5-asr":
            raise Wrong(404, {"error": {"message": "no", "param": "model", "code": "model_not_found"}})
        language = body.get("asr_options", {}).get("language", "auto")
        if len(language) not in (2, 3, 4):
            raise _wrong("asr_options.language")
        content = body["messages"][-1].get("content")
        sounds = [p for p in content if p.get("type") == "input_audio"] if isinstance(content, list) else []
        if len(sounds) != 1 or sounds[0]["input_audio"].get("format") != "wav":
            raise _wrong("input_audio")
        _check_sound(str(sounds[0]["input_audio"].get("data")), bare=self.bare)
        text = "" if way == "empty" else self.transcript
        return {"role": "assistant", "content": [{"type": "text", "text": text}] if self.parts else text}


def _check_sound(data: str, *, bare: bool) -> None:
    if data.startswith("data:") == bare:
        raise _wrong("input_audio.data")
    try:
        sound = base64.b64decode(data.removeprefix(URI), validate=True)
        with wave.open(io.BytesIO(sound)):
            pass
    except (binascii.Error, wave.Error, EOFError) as exc:
        raise _wrong("input_audio.data") from exc


def _wav(pcm: bytes, rate: int) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm)
    return out.getvalue()


def _wrong(param: str) -> Wrong:
    return Wrong(400, {"error": {"message": f"wrong: {param}", "param": param, "code": "invalid_request"}})


if __name__ == "__main__":

    def _made(options: Any) -> Mimo:
        made = Mimo(key=options.key)
        made.says = True
        return made

    run(_made, "mimo")
