"""Fakes of speech models that run as services of one's own, each with the fields and limits of its kind.

    python -m tests.support.speech_services --kind cosyvoice --port 19090

Like the real ones they call themselves well before a model is loaded, answer with the status only
once the first sound is there, serve one request at a time and are busy until its body was read or its
client left, and end a body in the middle when the model fails later. Way `quiet-cut`: the body ends
early without any sign; `json`: an error that calls itself a success.
"""

import asyncio
import io
import wave
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from project.bench.babble import babble
from tests.support.http_service import Answer, HttpService, Wrong, body_of, run, send

_PROMPT = frozenset({"prompt_audio", "prompt_text"})
_TUNING = frozenset(
    [
        "max_text_tokens_per_segment",
        "quick_streaming_tokens",
        "interval_silence_ms",
        "do_sample",
        "top_p",
        "top_k",
        "temperature",
        "num_beams",
        "repetition_penalty",
        "max_mel_tokens",
        "streaming_mode",
        "token_window_size",
        "token_window_hop",
        "token_window_context",
        "token_window_overlap_ms",
        "emo_alpha",
        "emo_vector",
        "use_emo_text",
        "emo_text",
        "emo_audio_prompt",
        "use_random",
    ]
)
FIELDS = {
    "cosyvoice": {"text", "voice", "zero_shot_spk_id", "model", "sample_rate", "mode", "instruction"}
    | _PROMPT,
    "qwen3-tts": {"text", "voice", "model"},
    "f5-tts": {"text", "voice", "model", "sample_rate", "ref_text", "speed"} | _PROMPT,
    "indextts": {"text", "voice", "model", "sample_rate"} | _PROMPT | _TUNING,
    "omnirt": {"text", "voice", "model"} | _TUNING,
}
VOICES = frozenset({"narrator", "guide", "Ryan"})


class SpeechServiceFake(HttpService):
    """`assets` is the folder of voices as the service sees it; prompts lie in it or nowhere."""

    def __init__(self, kind: str = "cosyvoice", *, assets: Path | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("key", "")
        super().__init__(**kwargs)
        self.kind, self.assets = kind, assets
        self.path = "/v1" if kind == "omnirt" else ""
        self.loaded = True
        self.says = False
        self._model = asyncio.Lock()

    def routes(self) -> list[tuple[str, str, Answer]]:
        if self.kind == "omnirt":
            return [
                ("POST", "/text2audio/indextts", self.synthesize),
                ("GET", "/text2audio/health", self.health),
            ]
        return [("POST", "/synthesize", self.synthesize), ("GET", "/health", self.health)]

    def problem(self, status: int) -> Mapping[str, Any]:
        return {"detail": f"failed: {status}"}

    async def health(self, _: web.Request, __: str) -> web.StreamResponse:
        told = {"status": "ok", "loaded": self.loaded, "device": "cuda:0", "streaming": True}
        return web.json_response(told)

    async def synthesize(self, request: web.Request, way: str) -> web.StreamResponse:
        body = await body_of(request, _wrong)
        self._check(body)
        self.requests.append(body)
        if way == "json":
            return web.json_response({"detail": "runtime is disabled"})
        async with self._model:
            if way == "empty":
                raise Wrong(502, {"detail": "the model returned no audio"})
            return await self._sent(request, way, babble(body["text"]).pcm if self.says else self.sound)

    async def _sent(self, request: web.Request, way: str, pcm: bytes) -> web.StreamResponse:
        rate = 16_000 if way == "other-rate" else self.sample_rate
        if self.kind == "qwen3-tts":
            return await send(request, _wav(pcm, rate), way, {"Content-Type": "audio/wav"}, length=True)
        name = "X-Audio-Sample-Rate" if self.kind != "omnirt" else "x-audio-sample-rate"
        headers = {"Content-Type": f"audio/L16; rate={rate}; channels=1", name: str(rate)}
        if way == "quiet-cut":
            pcm = pcm[: len(pcm) // 10 * 2]
        return await send(request, pcm, way, headers)

    def _check(self, body: Mapping[str, Any]) -> None:
        if unknown := set(body) - FIELDS[self.kind]:
            raise Wrong(422, {"detail": [{"loc": ["body", *sorted(unknown)], "msg": "extra fields"}]})
        if not isinstance(body.get("text"), str) or not body["text"].strip():
            raise Wrong(400, {"detail": "text is required"})
        if body.get("mode", "zero_shot") not in ("zero_shot", "cross_lingual", "instruct"):
            raise Wrong(400, {"detail": "unknown mode"})
        vector = body.get("emo_vector", [0] * 8)
        if len(vector) != 8 or sum(vector) > 1.5:
            raise Wrong(422, {"detail": "emo_vector"})
        self._check_voice(body)

    def _check_voice(self, body: Mapping[str, Any]) -> None:
        prompt = body.get("prompt_audio")
        if prompt is None:
            if body.get("voice", "narrator") not in VOICES:  # without one they have their own
                raise Wrong(400, {"detail": f"unknown voice {body.get('voice')}"})
            return
        if self.assets is None or not Path(prompt).resolve().is_relative_to(self.assets.resolve()):
            raise Wrong(400, {"detail": "prompt is outside of the model root"})
        if not Path(prompt).is_file():
            raise Wrong(400, {"detail": "prompt is missing"})
        if body.get("mode") == "zero_shot" and not body.get("prompt_text"):
            raise Wrong(400, {"detail": "prompt_text is required for zero_shot"})


def _wav(pcm: bytes, rate: int) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm)
    return out.getvalue()


def _wrong(what: str) -> Wrong:
    return Wrong(422, {"detail": [{"loc": ["body", what], "msg": "value is not valid"}]})


if __name__ == "__main__":

    def _made(options: Any) -> SpeechServiceFake:
        made = SpeechServiceFake(
            options.kind, key="", assets=Path(options.assets) if options.assets else None
        )
        made.says = True
        return made

    run(
        _made,
        "speech_services",
        kind={"default": "cosyvoice", "choices": sorted(FIELDS)},
        assets={"default": ""},
    )
