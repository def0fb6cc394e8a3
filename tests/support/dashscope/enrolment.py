"""Voices of one's own: what CosyVoice and Qwen are asked at the one address for both."""

import base64
import binascii
import io
import re
import uuid
import wave
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, web

from tests.support.dashscope.state import CLONES_OF_COSYVOICE, CLONES_OF_QWEN, Asked, Clone, State

MAX_DATA = 10 * 1024 * 1024


class Refused(Exception):
    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.status = code, status


async def answer(state: State, request: web.Request) -> web.Response:
    """One call, refused as it would be; its output otherwise."""
    body = await request.json()
    given = body.get("input") or {}
    asked = Asked("enrolment", 0, headers=dict(request.headers), body=body)
    state.requests.append(asked)
    try:
        output = await _output(state, body.get("model"), given)
    except Refused as exc:
        return refusal(exc.status, exc.code, str(exc))
    asked.done = True
    return web.json_response({"output": output, "usage": {"count": 1}, "request_id": str(uuid.uuid4())})


async def _output(state: State, model: Any, given: dict[str, Any]) -> dict[str, Any]:
    if model == "voice-enrollment":
        return await _cosyvoice(state, given)
    if model == "qwen-voice-enrollment":
        return _qwen(state, given)
    raise Refused("ModelNotFound", "Model not exist.", 404)


def refusal(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> web.Response:
    body = {"code": code, "message": message, "request_id": str(uuid.uuid4())}
    return web.json_response(body, status=status, headers=headers)


async def _cosyvoice(state: State, given: dict[str, Any]) -> dict[str, Any]:
    action = given.get("action")
    if action == "create_voice":
        return await _create_cosyvoice(state, given)
    if action == "list_voice":
        prefix = given.get("prefix") or ""
        found = [c for c in _clones(state, "cosyvoice") if c.voice.split("-")[-2].startswith(prefix)]
        return {"voice_list": [_described(state, clone) for clone in _page(found, given)]}
    clone = _known(state, "cosyvoice", given.get("voice_id"))
    if action == "query_voice":
        clone.asked += 1
        return _described(state, clone) | {"target_model": clone.target_model, "resource_link": "https://x/y"}
    if action == "delete_voice":
        del state.clones[clone.voice]
        return {}
    raise Refused("InvalidParameter", "action")


async def _create_cosyvoice(state: State, given: dict[str, Any]) -> dict[str, Any]:
    if given.get("target_model") not in CLONES_OF_COSYVOICE:
        raise Refused("InvalidParameter", "target_model")
    if not re.fullmatch(r"[a-z0-9]{1,9}", given.get("prefix") or ""):
        raise Refused("InvalidParameter", "prefix")
    if set(given) - {"action", "target_model", "prefix", "url", "language_hints"}:
        raise Refused("InvalidParameter", "unknown parameters")
    _check_wav(await _fetched(str(given.get("url") or "")))
    voice = f"{given['target_model']}-{given['prefix']}-{uuid.uuid4().hex}"
    state.clones[voice] = Clone(voice, given["target_model"], "cosyvoice")
    return {"voice_id": voice}


async def _fetched(url: str) -> bytes:
    if not url.startswith(("http://", "https://")):
        raise Refused("InvalidURL", "Invalid URL provided in your request.")
    try:
        async with ClientSession(timeout=ClientTimeout(total=5)) as client, client.get(url) as response:
            response.raise_for_status()
            return await response.read()
    except ClientError:
        raise Refused("BadRequest.ResourceNotFound", "The sound cannot be fetched.") from None


def _described(state: State, clone: Clone) -> dict[str, Any]:
    ready = clone.asked > state.settings.deploying
    times = {"gmt_create": "2026-01-01 10:00:00", "gmt_modified": "2026-01-01 10:00:00"}
    return {"voice_id": clone.voice, "status": "OK" if ready else "DEPLOYING", **times}


def _qwen(state: State, given: dict[str, Any]) -> dict[str, Any]:
    action = given.get("action")
    if action == "create":
        return _create_qwen(state, given)
    if action == "list":
        found = _clones(state, "qwen")
        listed = [{"voice": c.voice, "target_model": c.target_model} for c in _page(found, given)]
        page = {name: given.get(name, default) for name, default in (("page_index", 0), ("page_size", 10))}
        return {**page, "total_count": len(found), "voice_list": listed}
    if action == "delete":
        clone = _known(state, "qwen", given.get("voice"))
        del state.clones[clone.voice]
        return {"voice": clone.voice}
    raise Refused("InvalidParameter", "action")


def _create_qwen(state: State, given: dict[str, Any]) -> dict[str, Any]:
    if given.get("target_model") not in CLONES_OF_QWEN:
        raise Refused("InvalidParameter", "target_model")
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,15}", given.get("preferred_name") or ""):
        raise Refused("InvalidParameter", "preferred_name")
    if set(given) - {"action", "target_model", "preferred_name", "audio", "text", "language"}:
        raise Refused("InvalidParameter", "unknown parameters")
    kind, _, data = str((given.get("audio") or {}).get("data", "")).partition(";base64,")
    if kind != "data:audio/wav" or len(data) > MAX_DATA:
        raise Refused("InvalidParameter", "audio.data")
    try:
        _check_wav(base64.b64decode(data, validate=True))
    except binascii.Error:
        raise Refused("InvalidParameter", "audio.data") from None
    voice = f"qwen-tts-vc-{given['preferred_name']}-voice-{uuid.uuid4().hex[:20]}"
    state.clones[voice] = Clone(voice, given["target_model"], "qwen")
    return {"voice": voice, "target_model": given["target_model"]}


def _check_wav(data: bytes) -> None:
    try:
        with wave.open(io.BytesIO(data)) as sound:
            seconds = sound.getnframes() / sound.getframerate()
            rate, channels = sound.getframerate(), sound.getnchannels()
    except (wave.Error, EOFError):
        raise Refused("Audio.DecoderError", "The sound cannot be read.", 415) from None
    if rate < 24_000 or channels != 1:
        raise Refused("Audio.AudioRateError", "The sample rate is too low.")
    if not 3 <= seconds <= 60:
        raise Refused("Audio.DurationLimitError", "The sound is too short or too long.")


def _clones(state: State, vendor: str) -> list[Clone]:
    return [clone for clone in state.clones.values() if clone.vendor == vendor]


def _page(found: list[Clone], given: dict[str, Any]) -> list[Clone]:
    size = int(given.get("page_size", 10))
    start = int(given.get("page_index", 0)) * size
    return found[start : start + size]


def _known(state: State, vendor: str, voice: Any) -> Clone:
    clone = state.clones.get(str(voice))
    if clone is None or clone.vendor != vendor:
        raise Refused("BadRequest.ResourceNotFound", "The required resource not exist.")
    return clone
