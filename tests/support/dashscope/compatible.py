"""DashScope's OpenAI mode: chat and embeddings below `/compatible-mode/v1`."""

import hashlib
import json
from typing import Any

import numpy as np
from aiohttp import web

from tests.support.dashscope.state import Asked, State

MODELS = {"qwen-plus", "qwen-max", "qwen-turbo", "qwen-flash"}
EMBEDDINGS = {"text-embedding-v3": 1024, "text-embedding-v4": 1024}
MAX_TEXTS = 10
_ROLES = {"system", "user", "assistant", "tool"}


class Refused(Exception):
    """An error in OpenAI's form."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code

    @property
    def response(self) -> web.Response:
        error = {"message": str(self), "type": "invalid_request_error", "param": None, "code": self.code}
        return web.json_response({"error": error, "request_id": "1"}, status=self.status)


async def chat(state: State, request: web.Request) -> web.StreamResponse:
    """The reply of the settings, a word at a time where it is asked as a stream."""
    body = await request.json()
    asked = Asked("chat", 0, headers=dict(request.headers), body=body)
    state.requests.append(asked)
    try:
        _check_chat(body)
    except Refused as exc:
        return exc.response
    if not body.get("stream"):
        message = {"role": "assistant", "content": state.settings.reply}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return web.json_response({"id": "chatcmpl-1", "object": "chat.completion", "choices": [choice]})
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for line in _lines(state.settings.reply, body):
        await response.write(line)
    asked.done = True
    return response


def _check_chat(body: dict[str, Any]) -> None:
    if body.get("model") not in MODELS:
        raise Refused(404, "model_not_found", "The model does not exist or you do not have access to it.")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refused(400, "invalid_parameter_error", "[] is too short - 'messages'")
    if any(message.get("role") not in _ROLES for message in messages):
        raise Refused(400, "invalid_parameter_error", "messages.role is invalid")
    if "system" in [message["role"] for message in messages[1:]]:
        raise Refused(400, "invalid_parameter_error", "System message must be at the beginning.")
    if body.get("stream_options") and not body.get("stream"):
        raise Refused(400, "invalid_parameter_error", "stream_options needs stream")


def _lines(reply: str, body: dict[str, Any]) -> list[bytes]:
    words = reply.split(" ")
    texts = [word if number == 0 else f" {word}" for number, word in enumerate(words)]
    deltas = [_choice({"role": "assistant", "content": ""}), *(_choice({"content": text}) for text in texts)]
    chunks: list[dict[str, Any]] = [*deltas, _choice({"content": ""}, "stop")]
    if (body.get("stream_options") or {}).get("include_usage"):
        usage = {"prompt_tokens": 20, "completion_tokens": len(words), "total_tokens": 20 + len(words)}
        chunks.append({"choices": [], "usage": usage})
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
    lines = [f"data: {json.dumps({'usage': None, **head, **chunk})}\n\n".encode() for chunk in chunks]
    return [*lines, b"data: [DONE]\n\n"]


def _choice(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}]}


async def embeddings(state: State, request: web.Request) -> web.Response:
    """A vector for each text, the same for the same words."""
    body = await request.json()
    state.requests.append(Asked("embeddings", 0, headers=dict(request.headers), body=body))
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    try:
        _check_texts(body, texts)
    except Refused as exc:
        return exc.response
    size = int(body.get("dimensions") or EMBEDDINGS[body["model"]])
    data = [
        {"object": "embedding", "index": number, "embedding": _vector(text, size)}
        for number, text in enumerate(texts)
    ]
    count = sum(len(text.split()) for text in texts)
    usage = {"prompt_tokens": count, "total_tokens": count}
    return web.json_response({"object": "list", "data": data, "model": body["model"], "usage": usage})


def _check_texts(body: dict[str, Any], texts: Any) -> None:
    if body.get("model") not in EMBEDDINGS:
        raise Refused(404, "model_not_found", "The model does not exist or you do not have access to it.")
    if not isinstance(texts, list) or not texts or any(not isinstance(t, str) or not t for t in texts):
        raise Refused(400, "invalid_parameter_error", "input.contents")
    if len(texts) > MAX_TEXTS:
        raise Refused(
            400, "invalid_parameter_error", "batch size is invalid, it should not be larger than 10"
        )
    if body.get("encoding_format", "float") != "float":
        raise Refused(400, "invalid_parameter_error", "encoding_format")


def _vector(text: str, size: int) -> list[float]:
    """The sum of a direction for each word."""
    total = np.zeros(size)
    for word in text.lower().split():
        seed = int.from_bytes(hashlib.sha256(word.strip(".,?!").encode()).digest()[:8], "little")
        total += np.random.default_rng(seed).standard_normal(size)
    norm = float(np.linalg.norm(total)) or 1.0
    return [round(float(value), 6) for value in total / norm]
