"""Servers of OpenAI's chat completions, each with the ways of its kind, strict, and wrong when told to be.

    python -m tests.support.chat_server --port 8701 [--kind ollama]

A kind differs in how it cuts calls of tools, what it counts, and what it refuses:

* `openai`: calls in pieces; counts where `stream_options` asks it to
* `vllm`: as `openai`, and refuses words of the assistant at the end unless told to go on with them
* `ollama`: calls whole, all numbered 0; goes on with the assistant's words
* `dashscope`: calls in pieces with an empty id in all but the first; counts where asked to
* `template`: a model whose template takes one system message alone, at the beginning
"""

import argparse
import asyncio
import json
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

ANSWER = "We are open from nine to six, and on Saturdays until four."
KNOWN = {
    *("model", "messages", "stream", "stream_options", "tools", "max_tokens", "max_completion_tokens"),
    *("temperature", "top_p", "enable_thinking", "chat_template_kwargs", "reasoning_effort", "thinking"),
}

# Some say what they do not know, some do not.
_EXTRAS = (
    ("no-tools", "tools", None),
    ("no-counting", "stream_options", "stream_options"),
    ("new-limit", "max_tokens", "max_tokens"),
)


@dataclass
class Chat:
    """A running server. `left` counts the answers that clients hung up in; times are not kept."""

    kind: str
    key: str = ""
    port: int = 0
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    ways: deque[str] = field(default_factory=deque)
    open_now: int = 0
    left: int = 0
    connections: set[int] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def misbehave(self, *ways: str) -> None:
        self.ways.extend(ways)


def application(chat: Chat) -> web.Application:
    async def complete(request: web.Request) -> web.StreamResponse:
        chat.open_now += 1
        chat.connections.add(id(request.transport))
        try:
            return await _complete(chat, request)
        except (asyncio.CancelledError, ConnectionResetError):
            chat.left += 1
            raise
        finally:
            chat.open_now -= 1

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": []})

    app = web.Application(client_max_size=4 * 1024 * 1024)
    app.router.add_post("/{prefix:.*}chat/completions", complete)
    app.router.add_get("/{prefix:.*}models", models)
    return app


async def _complete(chat: Chat, request: web.Request) -> web.StreamResponse:
    body = await request.json()
    way = chat.ways.popleft() if chat.ways else ""
    chat.requests.append(body)
    chat.headers.append({name.lower(): value for name, value in request.headers.items()})
    if refusal := _refused(chat, request, body, way):
        return refusal
    if way == "silent":
        await asyncio.sleep(3600)
    if way == "drop":
        return _hang_up(request)
    if way == "not-a-stream":
        return web.json_response({"choices": [{"message": {"content": ANSWER}}]})
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
    await response.prepare(request)
    async for data in _wire(_events(chat, body, way), way):
        await response.write(data)
    if way == "stall":
        await asyncio.sleep(3600)
    if way == "cut":
        return _hang_up(request)
    return response


def _hang_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def _refused(chat: Chat, request: web.Request, body: Any, way: str) -> web.Response | None:
    if way.isdecimal():
        # Real ones quote what they were sent.
        words = f"{request.headers.get('Authorization')} asked {json.dumps(body['messages'])}"
        code = {"401": "invalid_api_key", "429": "rate_limit_exceeded"}.get(way, "server_error")
        return _error(int(way), words, code)
    if chat.key and request.headers.get("Authorization") != f"Bearer {chat.key}":
        return _error(401, "no", "invalid_api_key")
    if unknown := set(body) - KNOWN:
        return _error(400, "no", "unknown_parameter", param=min(unknown))
    for refused, name, param in _EXTRAS:
        if way == refused and name in body:
            return _error(400, "no", "unsupported_parameter", param=param)
    return _misfit(chat.kind, body["messages"], body)


def _misfit(kind: str, messages: list[dict[str, Any]], body: Any) -> web.Response | None:
    """What is wrong with the conversation, as far as the kind minds."""
    if not body["stream"] or not body.get("model") or not messages:
        return _error(400, "no", "invalid_request_error")
    waiting: set[str] = set()
    for turn in messages:
        if turn["role"] == "tool":
            if turn.get("tool_call_id") not in waiting:
                return _error(400, "no", "invalid_request_error", param="messages")
            waiting.discard(turn["tool_call_id"])
        elif waiting:
            return _error(400, "no", "invalid_request_error", param="messages")
        for call in turn.get("tool_calls") or ():
            json.loads(call["function"]["arguments"])
            waiting.add(call["id"])
    roles = [turn["role"] for turn in messages]
    if kind == "template" and "system" in roles[1:]:
        return _error(400, "System message must be at the beginning.", "BadRequestError")
    if kind in ("vllm", "template") and roles[-1] == "assistant":
        return _error(400, "Cannot continue the final message.", "BadRequestError")
    return None


def _error(status: int, message: str, code: str, *, param: str | None = None) -> web.Response:
    error = {"message": message, "type": "error", "code": code, "param": param}
    return web.json_response({"error": error}, status=status, headers={"Retry-After": "0"})


async def _wire(events: Iterator[Any], way: str) -> AsyncIterator[bytes]:
    """Events as bytes, cut and ended as this way has it."""
    end = "\r\n" if way == "crlf" else "\n"
    if way in ("crlf", "comments"):
        yield f": PROCESSING{end}{end}event: message{end}".encode()
    for event in events:
        line = event if isinstance(event, bytes) else f"data: {json.dumps(event)}{end}{end}".encode()
        if way == "one-byte":
            for at in range(len(line)):
                yield line[at : at + 1]
        else:
            yield line
        await asyncio.sleep(0.002)
    if way not in ("stall", "cut", "error", "bare-error", "garbage", "no-done", "truncated"):
        yield f"data: [DONE]{end}{end}".encode()


def _events(chat: Chat, body: Any, way: str) -> Iterator[Any]:
    words = [] if way in ("empty", "tool", "two-tools", "broken-call") else ANSWER.split(" ")
    words = [word if not at else f" {word}" for at, word in enumerate(words)]
    limit = body.get("max_tokens") or body.get("max_completion_tokens") or 1000
    if way == "think":
        words = ["<thi", "nk>The user", " asks.</th", "ink>\n\n", *words]
    yield _chunk({"role": "assistant", "content": ""})
    if way == "reasoning":
        yield _chunk({"content": None, "reasoning_content": "The user asks."})
        yield _chunk({"reasoning": "Still."})
    for number, word in enumerate(words[:limit] if way != "no-limit" else words * 50):
        if number == 4 and way in ("stall", "cut", "truncated"):
            return
        if number == 4 and way == "error":
            yield {"error": {"message": ANSWER, "type": "overloaded_error", "code": 503}}
            return
        if number == 4 and way == "bare-error":
            yield b'{"error": {"message": "out of memory", "code": 500}}\n'
            return
        if number == 4 and way == "garbage":
            yield b"data: {nonsense\n\n"
            return
        yield _chunk({"content": word})
    if way in ("tool", "two-tools", "broken-call"):
        yield from _calls(chat.kind, way)
    reason = "content_filter" if way == "content-filter" else "tool_calls" if not words else "stop"
    yield _chunk({}, reason)
    if (body.get("stream_options") or {}).get("include_usage"):
        yield {**_chunk({}), "choices": [], "usage": {"prompt_tokens": 42, "completion_tokens": len(words)}}


def _calls(kind: str, way: str) -> Iterator[Any]:
    asked = [("call_a", "order_status", '{"number": 7, "name": "Zoë"}')]
    if way == "two-tools":
        asked.append(("call_b", "end_call", ""))
    if way == "broken-call":
        asked = [("call_a", "order_status", '{"number": 7')]
    for index, (call_id, name, arguments) in enumerate(asked):
        if kind == "ollama":
            function = {"name": name, "arguments": arguments}
            yield _chunk(
                {"tool_calls": [{"index": 0, "id": call_id, "type": "function", "function": function}]}
            )
            continue
        first = {
            "index": index,
            "id": call_id,
            "type": "function",
            "function": {"name": name, "arguments": ""},
        }
        yield _chunk({"tool_calls": [first]})
        for at in range(0, len(arguments), 3):
            part: dict[str, Any] = {"index": index, "function": {"arguments": arguments[at : at + 3]}}
            if kind == "dashscope":
                part["id"] = ""
            yield _chunk({"tool_calls": [part]})


def _chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "tiny-1",
        "choices": [choice],
    }


@contextmanager
def chat_server(kind: str, key: str = "") -> Iterator[Chat]:
    """Run one on a thread with a loop of its own until the block ends."""
    chat, ready, box = Chat(kind, key), threading.Event(), dict[str, Any]()

    async def serve() -> None:
        runner = _runner(chat)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        chat.port = runner.addresses[0][1]
        box.update(loop=asyncio.get_running_loop(), stop=asyncio.Event())
        ready.set()
        await box["stop"].wait()
        await runner.cleanup()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    if not ready.wait(10):
        raise RuntimeError("the server did not start")
    try:
        yield chat
    finally:
        box["loop"].call_soon_threadsafe(box["stop"].set)
        thread.join(5)


def _runner(chat: Chat) -> web.AppRunner:
    return web.AppRunner(application(chat), handler_cancellation=True, access_log=None, shutdown_timeout=0.2)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.support.chat_server", description=__doc__)
    parser.add_argument("--port", type=int, default=8701)
    parser.add_argument("--kind", default="openai")
    options = parser.parse_args()

    async def serve() -> None:
        runner = _runner(Chat(options.kind))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", options.port).start()
        print(f"chat on http://127.0.0.1:{options.port}", flush=True)
        await asyncio.Event().wait()

    with suppress(KeyboardInterrupt):
        asyncio.run(serve())


if __name__ == "__main__":
    main()
