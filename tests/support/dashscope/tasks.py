"""The task protocol: recognition and both kinds of synthesis over one socket, one task at a time."""

import asyncio
import contextlib
import json
import re
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import WSMessage, WSMsgType, web

from project.bench.babble import babble
from tests.support.dashscope.state import (
    CLONES_OF_COSYVOICE,
    COSYVOICE,
    COSYVOICE_RATES,
    PARAFORMER,
    SAMBERT,
    SAMBERT_RATES,
    WITHOUT_SSML,
    Asked,
    Idle,
    State,
    pieces,
    spoken,
)

MAX_MESSAGE, MAX_TASK = 20_000, 200_000
COSYVOICE_PARAMETERS = {
    "voice", "volume", "text_type", "sample_rate", "rate", "format", "pitch", "seed", "type", "bit_rate",
    "instruction", "language_hints", "enable_ssml", "word_timestamp_enabled",
}  # fmt: skip
SAMBERT_PARAMETERS = {
    "text_type", "format", "sample_rate", "volume", "rate", "pitch", "word_timestamp_enabled",
    "phoneme_timestamp_enabled",
}  # fmt: skip
PARAFORMER_PARAMETERS = {
    "format", "sample_rate", "language_hints", "vocabulary_id", "disfluency_removal_enabled",
    "semantic_punctuation_enabled", "max_sentence_silence", "multi_threshold_mode_enabled",
    "punctuation_prediction_enabled", "heartbeat", "inverse_text_normalization_enabled",
}  # fmt: skip
_SENTENCE = re.compile(r"[^.!?。!?]*[.!?。!?]+\s*|[^.!?。!?]+$")


class Refused(Exception):
    """What ends a task: the code and the words of `task-failed`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Left(Exception):
    """The server itself hangs up."""


class TaskSocket:
    """One connection. The client's messages are put before the task that runs."""

    def __init__(
        self, state: State, socket: web.WebSocketResponse, request: web.Request, number: int
    ) -> None:
        self._state, self._socket, self._request, self._number = state, socket, request, number
        self._inbox: asyncio.Queue[WSMessage] = asyncio.Queue()
        self._running: asyncio.Task[None] | None = None
        self._asked: Asked | None = None
        self._over = False
        self._idle = Idle(socket, state.settings.idle_seconds)

    async def serve(self) -> None:
        """Until one of the two hangs up."""
        self._idle.begin()
        try:
            while True:
                message = await self._socket.receive()
                self._idle.end()
                if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                    break
                self._take(message)
        finally:
            self._over = True
            self._idle.end()
            await self._abandon()

    async def _abandon(self) -> None:
        if self._running is None:
            return
        self._running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._running
        if self._asked is not None and not self._asked.done:
            self._asked.left_early = True

    def _take(self, message: WSMessage) -> None:
        if self._running is not None and not self._running.done():
            self._inbox.put_nowait(message)
        else:
            self._begin(message)

    def _begin(self, message: WSMessage) -> None:
        self._idle.end()
        self._running = asyncio.create_task(self._guarded(message))
        self._running.add_done_callback(self._ended)

    def _ended(self, _: object) -> None:
        self._running = None
        if self._socket.closed or self._over:
            return
        self._idle.begin()
        if not self._inbox.empty():  # the next task was quicker than the end of this one
            self._begin(self._inbox.get_nowait())

    async def _guarded(self, message: WSMessage) -> None:
        task_id = ""
        try:
            content = _read(message.data if message.type is WSMsgType.TEXT else "")
            task_id = str(content["header"].get("task_id", ""))
            await self._task(content, task_id)
        except Refused as exc:
            told = {"error_code": exc.code, "error_message": str(exc)}
            await self._send("task-failed", task_id, {}, **told)
            await self._socket.close(code=1000)
        except Left:
            assert self._request.transport is not None
            self._request.transport.abort()
        except ConnectionError:
            if self._asked is not None:
                self._asked.left_early = not self._asked.way

    async def _task(self, content: dict[str, Any], task_id: str) -> None:
        header, payload = content["header"], content.get("payload")
        if header.get("action") != "run-task" or not isinstance(payload, dict):
            raise Refused("InvalidParameter", "a task begins with run-task")
        self._name_task(task_id)
        kind, run = self._kind(header, payload)
        asked = Asked(kind, self._number, task_id, dict(self._request.headers), payload)
        asked.way = self._state.way()
        self._asked = asked
        self._state.requests.append(asked)
        await self._misbehave_first(asked.way)
        await run(asked)
        asked.done = True

    def _name_task(self, task_id: str) -> None:
        try:
            uuid.UUID(task_id)
        except ValueError:
            raise Refused("InvalidParameter", "task_id must be a uuid") from None
        if task_id in self._state.task_ids:
            raise Refused("InvalidParameter", "task_id has been used")
        self._state.task_ids.add(task_id)

    def _kind(self, header: dict[str, Any], payload: dict[str, Any]) -> tuple[str, Callable[..., Any]]:
        for name in ("model", "task_group", "task", "function", "parameters", "input"):
            if name not in payload:
                raise Refused("InvalidParameter", f"payload.{name} is missing")
        task = (payload["task_group"], payload["task"], payload["function"], header.get("streaming"))
        if task == ("audio", "asr", "recognition", "duplex"):
            _check_paraformer(payload)
            return "paraformer", self._hear
        if task == ("audio", "tts", "SpeechSynthesizer", "duplex"):
            self._check_cosyvoice(payload)
            return "cosyvoice", self._cosyvoice
        if task == ("audio", "tts", "SpeechSynthesizer", "out"):
            _check_sambert(payload)
            return "sambert", self._sambert
        raise Refused("InvalidParameter", "task can not be null")

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

    # Synthesis

    def _check_cosyvoice(self, payload: dict[str, Any]) -> None:
        model, parameters = payload["model"], payload["parameters"]
        clone = self._state.clones.get(str(parameters.get("voice")))
        if model not in COSYVOICE and model not in CLONES_OF_COSYVOICE:
            raise Refused("ModelNotFound", f"Model {model} not exist.")
        _check_parameters(parameters, COSYVOICE_PARAMETERS, COSYVOICE_RATES)
        known = clone.target_model == model if clone else parameters.get("voice") in COSYVOICE.get(model, ())
        if not known:
            raise Refused("InvalidParameter", "[tts:]Engine return error code: 418")
        if parameters.get("enable_ssml") and parameters["voice"] in WITHOUT_SSML:
            raise Refused("InvalidParameter", "voice does not support ssml")
        if payload["input"]:
            raise Refused("InvalidParameter", "input of run-task must be empty")
        if len(parameters.get("instruction", "")) > 128:
            raise Refused("InvalidParameter", "instruction is too long")

    async def _cosyvoice(self, asked: Asked) -> None:
        voice = _Voice(self._state, asked, self._send, self._socket)
        await self._send("task-started", asked.task_id, {})
        pending = ""
        while True:
            action, given = await self._next_action(asked)
            if action == "finish-task" and given.get("directive") == "cancel":
                await self._send("task-finished", asked.task_id, voice.bill())
                return
            if "text" in given:
                pending = self._text(asked, given["text"], pending)
            elif action == "continue-task" and not given.get("flush"):
                raise Refused("InvalidParameter", "input.text is missing")
            ready = _SENTENCE.findall(pending)
            last = action == "finish-task" or bool(given.get("flush"))
            pending = "" if last or not ready or ready[-1].rstrip()[-1:] in ".!?。!?" else ready.pop()
            for sentence in ready:
                await voice.say(sentence)
            if action == "finish-task":
                break
        await voice.misbehave_last()
        await self._send("task-finished", asked.task_id, voice.bill())

    def _text(self, asked: Asked, text: Any, pending: str) -> str:
        if not isinstance(text, str) or not text:
            raise Refused("InvalidParameter", "input.text must be a text")
        if billed(text) > MAX_MESSAGE or billed(asked.text + text) > MAX_TASK:
            raise Refused("InvalidParameter", "[tts:]text is too long")
        asked.text += text
        return pending + text

    async def _next_action(self, asked: Asked) -> tuple[str, dict[str, Any]]:
        message = await self._inbox.get()
        if message.type is not WSMsgType.TEXT:
            raise Refused("InvalidParameter", "text was expected")
        content = _read(message.data)
        header = content["header"]
        if header.get("task_id") != asked.task_id or header.get("streaming") != "duplex":
            raise Refused("InvalidParameter", "another task is running")
        if header.get("action") not in ("continue-task", "finish-task"):
            raise Refused("InvalidParameter", f"action {header.get('action')} is unknown here")
        return str(header["action"]), dict(content["payload"]["input"])

    async def _sambert(self, asked: Asked) -> None:
        text = asked.body["input"]["text"]
        asked.text = text
        voice = _Voice(self._state, asked, self._send, self._socket, sambert=True)
        await self._send("task-started", asked.task_id, {})
        for sentence in _SENTENCE.findall(text):
            await voice.say(sentence)
        await voice.misbehave_last()
        await self._send("task-finished", asked.task_id, voice.bill())

    # Recognition

    async def _hear(self, asked: Asked) -> None:
        ear = _Ear(self._state, asked)
        await self._send("task-started", asked.task_id, {})
        if asked.body["parameters"].get("heartbeat"):
            await self._send("result-generated", asked.task_id, _HEARTBEAT)
        while True:
            message = await self._sound_or_text()
            if message.type is WSMsgType.BINARY:
                asked.frames += 1
                asked.received += len(message.data)
                for result in ear.heard():
                    await self._send("result-generated", asked.task_id, result)
                    await self._misbehave_hearing(asked.way)
                continue
            action, _ = await self._finish(asked, message)
            if action == "finish-task":
                break
        for result in ear.rest():
            await self._send("result-generated", asked.task_id, result)
            await self._misbehave_hearing(asked.way)
        await self._misbehave_hearing(asked.way)
        await self._send("task-finished", asked.task_id, {"output": {}, "usage": None})

    async def _sound_or_text(self) -> WSMessage:
        seconds = self._state.settings.silence_seconds
        try:
            async with asyncio.timeout(seconds):
                return await self._inbox.get()
        except TimeoutError:
            raise Refused("InvalidParameter", f"request timeout after {seconds:g} seconds.") from None

    async def _finish(self, asked: Asked, message: WSMessage) -> tuple[str, Any]:
        self._inbox.put_nowait(message)
        action, given = await self._next_action(asked)
        if action != "finish-task":
            raise Refused("InvalidParameter", "recognition takes sound alone")
        return action, given

    async def _misbehave_hearing(self, way: str) -> None:
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

    async def _send(self, event: str, task_id: str, payload: dict[str, Any], **more: str) -> None:
        header = {"task_id": task_id, "event": event, "attributes": {}, **more}
        await self._socket.send_str(json.dumps({"header": header, "payload": payload}, ensure_ascii=False))


class _Voice:
    """Speaks sentence after sentence."""

    def __init__(
        self,
        state: State,
        asked: Asked,
        send: Callable[..., Any],
        socket: web.WebSocketResponse,
        *,
        sambert: bool = False,
    ) -> None:
        self._state, self._asked, self._send, self._socket = state, asked, send, socket
        self._sambert = sambert
        self._rate = int(asked.body["parameters"]["sample_rate"])
        self._index, self._said, self._characters = 0, 0, 0
        state.sound, state.sample_rate = b"", self._rate

    async def say(self, sentence: str) -> None:
        if self._asked.way == "empty":
            return
        pcm = spoken(sentence, self._rate)
        self._characters += billed(sentence)
        self._state.sound += pcm
        if not self._sambert:
            await self._tell("sentence-begin", [], original_text=sentence)
        async for frame in self._frames(pcm):
            if not self._sambert:
                await self._tell("sentence-synthesis", [])
            await self._socket.send_bytes(frame)
            self._asked.frames += 1
        words = self._words(sentence)
        if self._sambert and words:
            # It tells a sentence again and again while it grows.
            for end in {max(len(words) - 1, 1), len(words)}:
                await self._sentence(words[:end])
        elif not self._sambert:
            await self._tell("sentence-end", words, original_text=sentence)
        self._said += len(pcm) // 2
        self._index += 1

    async def _frames(self, pcm: bytes) -> AsyncIterator[bytes]:
        settings, way = self._state.settings, self._asked.way
        for number, frame in enumerate(pieces(pcm, self._rate, settings.frame_ms, odd=way == "odd")):
            if pause := 3.0 if way == "slow-chunks" else settings.pause_ms:
                await asyncio.sleep(pause / 1000)
            if number == 1:
                await self._misbehave()
            yield frame

    async def _misbehave(self) -> None:
        way = self._asked.way
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
            await self._tell("sentence-surprise", [], surprise=[1, 2])
            await self._send("news-of-tomorrow", self._asked.task_id, {})

    async def misbehave_last(self) -> None:
        """What happens when all was said but that it is over."""
        if self._asked.way == "endless":
            await asyncio.Event().wait()

    def bill(self) -> dict[str, Any]:
        return {"output": {}, "usage": {"characters": self._characters}}

    async def _tell(self, kind: str, words: list[dict[str, Any]], **more: Any) -> None:
        output = {"type": kind, "sentence": {"index": self._index, "words": words}, **more}
        payload: dict[str, Any] = {"output": output}
        if kind == "sentence-end":
            payload["usage"] = {"characters": self._characters}
        await self._send("result-generated", self._asked.task_id, payload)

    async def _sentence(self, words: list[dict[str, Any]]) -> None:
        sentence = {"begin_time": words[0]["begin_time"], "end_time": words[-1]["end_time"], "words": words}
        await self._send("result-generated", self._asked.task_id, {"output": {"sentence": sentence}})

    def _words(self, sentence: str) -> list[dict[str, Any]]:
        if not self._asked.body["parameters"].get("word_timestamp_enabled"):
            return []
        by_task = self._sambert or self._state.settings.word_times == "task"
        offset = self._said * 1000 // self._rate if by_task else 0
        told, at = [], 0
        for text, start, end in babble(sentence).words:
            begin_index = sentence.index(text, at)
            at = begin_index + len(text)
            entry: dict[str, Any] = {"text": text, "begin_time": start + offset, "end_time": end + offset}
            if not self._sambert:
                entry |= {"begin_index": begin_index, "end_index": at}
            told.append(entry)
        return told


_HEARTBEAT: dict[str, Any] = {
    "output": {"sentence": {"begin_time": 0, "end_time": None, "text": "", "heartbeat": True, "words": []}}
}


class _Ear:
    """Hears what the settings say, as fast as sound comes in."""

    def __init__(self, state: State, asked: Asked) -> None:
        self._settings, self._asked = state.settings, asked
        self._told_ms = 0
        self._rate = int(asked.body["parameters"]["sample_rate"])

    def heard(self) -> list[dict[str, Any]]:
        """What the sound since the last call brought."""
        results, settings = [], self._settings
        now_ms = self._asked.received // 2 * 1000 // self._rate
        while self._told_ms + settings.partial_ms <= now_ms:
            self._told_ms += settings.partial_ms
            results += self._at(self._told_ms)
        return results

    def _at(self, ms: int) -> list[dict[str, Any]]:
        settings = self._settings
        index, within = divmod(ms, settings.sentence_ms)
        if within == 0 and 0 < index <= len(settings.sentences):
            return self._final(index - 1)
        if index >= len(settings.sentences) or within == 0:
            return []
        words = settings.sentences[index].split(" ")
        count = max(1, len(words) * within // settings.sentence_ms)
        return [self._result(index, " ".join(words[:count]), final=False)]

    def rest(self) -> list[dict[str, Any]]:
        """The sentence that the end of the sound cut short, taken for whole."""
        now_ms = self._asked.received // 2 * 1000 // self._rate
        index, within = divmod(now_ms, self._settings.sentence_ms)
        if index < len(self._settings.sentences) and within:
            return self._final(index)
        known = 0 < index <= len(self._settings.sentences)
        return self._final(index - 1) if known and self._told_ms < now_ms else []

    def _final(self, index: int) -> list[dict[str, Any]]:
        result = self._result(index, self._settings.sentences[index], final=True)
        return [result, result] if self._settings.repeat_finals else [result]

    def _result(self, index: int, text: str, *, final: bool) -> dict[str, Any]:
        begin = index * self._settings.sentence_ms + 50
        end = (index + 1) * self._settings.sentence_ms - 50
        sentence = {
            "sentence_id": index + 1,
            "begin_time": begin,
            "end_time": end if final and self._settings.end_time else None,
            "text": text,
            "heartbeat": False,
            "sentence_end": final,
            "words": _evenly(text, begin, end),
        }
        payload: dict[str, Any] = {"output": {"sentence": sentence}}
        if final:
            payload["usage"] = {"duration": (index + 1) * self._settings.sentence_ms // 1000}
        return payload


def _evenly(text: str, begin: int, end: int) -> list[dict[str, Any]]:
    words = text.split(" ")
    step = (end - begin) // len(words)
    return [
        {
            "text": word.rstrip(".,?!"),
            "punctuation": word[len(word.rstrip(".,?!")) :],
            "begin_time": begin + step * i,
            "end_time": begin + step * (i + 1),
        }
        for i, word in enumerate(words)
    ]


def billed(text: str) -> int:
    """Characters as they are counted: a Han character is two."""
    return sum(2 if "\u4e00" <= character <= "\u9fff" else 1 for character in text)


def _check_sambert(payload: dict[str, Any]) -> None:
    if payload["model"] not in SAMBERT:
        raise Refused("ModelNotFound", f"Model {payload['model']} not exist.")
    if "voice" in payload["parameters"]:
        raise Refused("InvalidParameter", "voice is a part of the model")
    _check_parameters(payload["parameters"], SAMBERT_PARAMETERS, SAMBERT_RATES)
    text = payload["input"].get("text")
    if not text or not isinstance(text, str):
        raise Refused("InvalidParameter", "input.text is missing")
    if billed(text) > MAX_MESSAGE:
        raise Refused("InvalidParameter", "[tts:]text is too long")


def _check_paraformer(payload: dict[str, Any]) -> None:
    if payload["model"] not in PARAFORMER:
        raise Refused("ModelNotFound", f"Model {payload['model']} not exist.")
    rates = {8000} if "8k" in payload["model"] else set(range(8000, 48_001))
    _check_parameters(payload["parameters"], PARAFORMER_PARAMETERS, rates)
    if payload["input"] != {}:
        raise Refused("InvalidParameter", "input must be empty")


def _check_parameters(parameters: dict[str, Any], known: set[str], rates: set[int]) -> None:
    if unknown := set(parameters) - known:
        raise Refused("InvalidParameter", f"unknown parameters {sorted(unknown)}")
    if parameters.get("format") not in ("pcm", "wav", "mp3", "opus"):
        raise Refused("InvalidParameter", "format")
    if parameters.get("sample_rate") not in rates:
        raise Refused("InvalidParameter", "sample_rate")
    for name, low, high in (("rate", 0.5, 2), ("pitch", 0.5, 2), ("volume", 0, 100)):
        if not low <= parameters.get(name, 1) <= high:
            raise Refused("InvalidParameter", name)
    if parameters.get("text_type", "PlainText") not in ("PlainText", "SSML"):
        raise Refused("InvalidParameter", "text_type")


def _read(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
        content["header"]["action"]
    except (ValueError, KeyError, TypeError):
        raise Refused("InvalidParameter", "the message cannot be read") from None
    return dict(content)
