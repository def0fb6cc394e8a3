"""Qwen's realtime synthesis: a session of events in JSON, sound in base64."""

import asyncio
import base64
import contextlib
import json
import uuid
from typing import Any

from aiohttp import WSMsgType, web

from tests.support.dashscope.state import CLONES_OF_QWEN, QWEN, QWEN_RATES, Asked, Idle, State, pieces, spoken

LANGUAGES = {
    "Auto", "Chinese", "English", "German", "Italian", "Portuguese", "Spanish", "Japanese", "Korean",
    "French", "Russian",
}  # fmt: skip
SETTINGS = {
    "voice", "mode", "response_format", "sample_rate", "language_type", "volume", "speech_rate", "pitch_rate",
    "bit_rate", "enable_tn", "instructions", "optimize_instructions",
}  # fmt: skip


OTHER_RATE = 16_000
"""What a session has after `other-rate`, whatever was asked."""


class Refused(Exception):
    def __init__(self, code: str, message: str, param: str = "") -> None:
        super().__init__(message)
        self.code, self.param = code, param


class Left(Exception):
    """The server itself hangs up."""


class RealtimeSocket:
    """One session."""

    def __init__(
        self, state: State, socket: web.WebSocketResponse, request: web.Request, number: int
    ) -> None:
        self._state, self._socket, self._request, self._number = state, socket, request, number
        self._model = request.query.get("model", "")
        self._session: dict[str, Any] = {
            "object": "realtime.session",
            "id": f"sess_{uuid.uuid4().hex}",
            "model": self._model,
            "mode": "server_commit",
            "voice": "Cherry",
            "response_format": "pcm",
            "sample_rate": 24_000,
        }
        self._begun = self._finished = False
        self._buffer = ""
        self._speaking: asyncio.Task[None] | None = None
        self._asked: Asked | None = None
        self._idle = Idle(socket, state.settings.idle_seconds)

    async def serve(self) -> None:
        try:
            await self._begin()
            await self._events()
        except Refused as exc:
            await self._refuse(exc)
        except ConnectionError:
            return
        finally:
            self._idle.end()
            await self._abandon()

    async def _begin(self) -> None:
        if self._model not in QWEN and self._model not in CLONES_OF_QWEN:
            raise Refused("model_not_found", f"Model {self._model} not exist.")
        await self._send("session.created", session=self._session)

    async def _events(self) -> None:
        while not self._finished:
            message = await self._socket.receive()
            self._idle.end()
            if message.type is not WSMsgType.TEXT:
                return
            event = json.loads(message.data)
            if not event.get("event_id"):
                raise Refused("invalid_value", "event_id is missing")
            await self._take(str(event.get("type")), event)
        await self._socket.close()

    async def _take(self, kind: str, event: dict[str, Any]) -> None:
        if kind == "session.update":
            await self._update(event.get("session") or {})
        elif kind == "input_text_buffer.append":
            self._begun = True
            self._buffer += str(event["text"])
        elif kind == "input_text_buffer.clear":
            self._buffer = ""
            await self._send("input_text_buffer.cleared")
        elif kind == "input_text_buffer.commit":
            await self._commit()
        elif kind == "response.cancel":
            await self._cancel()
        elif kind == "session.finish":
            await self._finish()
        else:
            raise Refused("invalid_value", f"Unknown event {kind}")

    async def _update(self, wanted: dict[str, Any]) -> None:
        if self._begun:
            raise Refused(
                "invalid_value", "Session update error: session already started or finished or failed."
            )
        voices = QWEN.get(self._model, set())
        clone = self._state.clones.get(wanted.get("voice", ""))
        if wanted.get("voice") not in voices and not (clone and clone.target_model == self._model):
            raise Refused("invalid_value", "Invalid value of voice.", "session.voice")
        checks = {
            "mode": wanted.get("mode", "commit") in ("commit", "server_commit"),
            "response_format": wanted.get("response_format", "pcm") in ("pcm", "wav", "mp3", "opus"),
            "sample_rate": wanted.get("sample_rate", 24_000) in QWEN_RATES,
            "language_type": wanted.get("language_type", "Auto") in LANGUAGES,
            "speech_rate": 0.5 <= wanted.get("speech_rate", 1) <= 2,
        }
        if self._model == "qwen-tts-realtime":
            checks["sample_rate"] = wanted.get("sample_rate", 24_000) == 24_000
            checks["speech_rate"] = "speech_rate" not in wanted
        for name, right in checks.items():
            if not right or set(wanted) - SETTINGS:
                raise Refused("invalid_value", f"Invalid value of {name}", f"session.{name}")
        self._session |= wanted
        if self._state.ways[:1] == ["other-rate"]:
            self._state.ways.pop(0)
            self._session["sample_rate"] = OTHER_RATE
        await self._send("session.updated", session=self._session)

    async def _commit(self) -> None:
        text, self._buffer = self._buffer, ""
        if not text.strip():
            raise Refused("invalid_value", "input_text_buffer is empty")
        if self._speaking is not None:
            raise Refused("invalid_value", "a response is under way")
        way = self._state.way()
        self._asked = Asked("qwen", self._number, "", dict(self._request.headers), dict(self._session))
        self._asked.way, self._asked.text = way, text
        self._state.requests.append(self._asked)
        self._speaking = asyncio.create_task(self._guarded(self._asked, text))

    async def _guarded(self, asked: Asked, text: str) -> None:
        try:
            await self._say(asked, text)
            asked.done = True
            self._speaking = None
            self._idle.begin()
        except Refused as exc:
            await self._refuse(exc)
        except Left:
            assert self._request.transport is not None
            self._request.transport.abort()
        except ConnectionError:
            asked.left_early = not asked.way

    async def _say(self, asked: Asked, text: str) -> None:
        await self._misbehave_first(asked.way)
        names: dict[str, Any] = {
            "response_id": f"resp_{uuid.uuid4().hex}",
            "item_id": f"item_{uuid.uuid4().hex}",
        }
        await self._send("input_text_buffer.committed", item_id="")
        response = {"id": names["response_id"], "object": "realtime.response", "status": "in_progress"}
        await self._send("response.created", response=response)
        await self._send("response.output_item.added", output_index=0, item={"id": names["item_id"]}, **names)
        await self._send("response.content_part.added", part={"type": "audio"}, **names)
        await self._sound(asked, text, names)
        for kind in ("response.audio.done", "response.content_part.done", "response.output_item.done"):
            await self._send(kind, **names)
        response |= {"status": "completed", "usage": {"characters": len(text)}}
        await self._send("response.done", response=response)

    async def _sound(self, asked: Asked, text: str, names: dict[str, Any]) -> None:
        settings, rate = self._state.settings, int(self._session["sample_rate"])
        self._state.sample_rate = rate
        self._state.sound = b"" if asked.way == "empty" else spoken(text, rate)
        frames = pieces(self._state.sound, rate, settings.frame_ms, odd=asked.way == "odd")
        for number, frame in enumerate(frames):
            if pause := 3.0 if asked.way == "slow-chunks" else settings.pause_ms:
                await asyncio.sleep(pause / 1000)
            if number == 1:
                await self._misbehave(asked.way)
            await self._send("response.audio.delta", delta=base64.b64encode(frame).decode(), **names)
            asked.frames += 1
        if asked.way == "endless":
            await asyncio.Event().wait()

    async def _misbehave_first(self, way: str) -> None:
        if way == "silent":
            await asyncio.Event().wait()
        if way == "drop":
            raise Left
        if way == "garbage":
            await self._socket.send_str("<html>502 Bad Gateway</html>")
            await asyncio.Event().wait()
        if way.startswith("failed "):
            raise Refused(way.removeprefix("failed "), "It cannot be done.")

    async def _misbehave(self, way: str) -> None:
        if way == "stall":
            await asyncio.Event().wait()
        if way == "cut":
            raise Left
        if way == "close":
            await self._socket.close(code=1000)
            raise ConnectionError
        if way == "error":
            raise Refused("InternalError", "The engine broke.")
        if way.startswith("late "):
            raise Refused(way.removeprefix("late "), "It cannot be done.")
        if way == "unknown":
            await self._send("response.news", news=[1])

    async def _cancel(self) -> None:
        if self._speaking is None:
            raise Refused("invalid_value", "there is no response to cancel")
        await self._abandon()
        await self._send("response.done", response={"status": "cancelled"})

    async def _finish(self) -> None:
        if self._speaking is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._speaking
        self._finished = True
        await self._send("session.finished")

    async def _abandon(self) -> None:
        if self._speaking is None:
            return
        self._speaking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._speaking
        self._speaking = None
        if self._asked is not None and not self._asked.done:
            self._asked.left_early = True

    async def _refuse(self, exc: Refused) -> None:
        error = {"type": "invalid_request_error", "code": exc.code, "message": str(exc), "param": exc.param}
        await self._send("error", error=error)
        await self._socket.close(code=1000)

    async def _send(self, kind: str, **content: Any) -> None:
        event = {"event_id": f"event_{uuid.uuid4().hex[:20]}", "type": kind, **content}
        await self._socket.send_str(json.dumps(event, ensure_ascii=False))
