"""The task protocol of Paraformer, CosyVoice and Sambert.

One task at a time on a socket; each has an id of its own, begins with `run-task` and ends with
`task-finished`, after which the socket may serve another, or with `task-failed`, after which it is of
no use. Sound travels as binary messages, all else as JSON.
"""

import asyncio
import json
import logging
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from workers.adapters.dashscope.account import TASKS, Account
from workers.adapters.dashscope.verdicts import verdict
from workers.adapters.errors import AdapterError
from workers.adapters.sockets import Socket
from workers.adapters.text import parsed

Mode = Literal["duplex", "out"]
Payload = Mapping[str, Any]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """What a task is to do. `duplex` ones go on taking text or sound, `out` ones have it all in `given`."""

    task: Literal["asr", "tts"]
    function: str
    model: str
    parameters: Payload
    streaming: Mode = "duplex"
    given: str = ""


@asynccontextmanager
async def running(account: Account, job: Job) -> AsyncGenerator["Task", None]:
    """A task that was started. Leaving it before its end cuts the connection off."""

    async def begin(socket: Socket, seconds: float) -> Task:
        task = Task(account, socket, job)
        await task.start(seconds)
        return task

    async with account.begun(TASKS, "tasks", begin) as (socket, task):
        yield task
        if task.finished:
            socket.keep()


class Task:
    """One task on a socket that is lent."""

    def __init__(self, account: Account, socket: Socket, job: Job) -> None:
        self.finished = False
        self._account, self._socket, self._job = account, socket, job
        self._id = uuid.uuid4().hex
        self._usage: Payload = {}

    async def start(self, seconds: float) -> None:
        """Nothing may be sent before the service has said that the task is there."""
        job = self._job
        await self._send(
            "run-task",
            {
                "task_group": "audio",
                "task": job.task,
                "function": job.function,
                "model": job.model,
                "parameters": job.parameters,
                "input": {"text": job.given} if job.given else {},
            },
        )
        name, _ = await self._event(seconds)
        if name != "task-started":
            raise self._account.unreadable()

    async def text(self, text: str) -> None:
        """More to be said."""
        await self._send("continue-task", {"input": {"text": text}})

    async def sound(self, pcm: bytes) -> None:
        """More to be understood."""
        await self._socket.send(pcm)

    async def finish(self) -> None:
        """There is no more; results go on until all is done."""
        await self._send("finish-task", {"input": {}})

    async def next(self, seconds: float | None = None) -> bytes | Payload | None:
        """The next sound or result; None once the task is finished. Raises `AdapterError`.

        It has so many seconds, or the time for one event.
        """
        name, content = await self._event(seconds or self._account.options.event_seconds)
        if name == "task-finished":
            self._end()
            return None
        return content

    async def _send(self, action: str, payload: Payload) -> None:
        header = {"action": action, "task_id": self._id, "streaming": self._job.streaming}
        await self._socket.send(json.dumps({"header": header, "payload": payload}, ensure_ascii=False))

    async def _event(self, seconds: float) -> tuple[str, bytes | Payload]:
        """The next message of this task that says something; others do not put off the deadline."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while True:
            message = await self._socket.receive(max(until - loop.time(), 0.0))
            if isinstance(message, bytes):
                return "sound", message
            header, payload = self._read(message)
            # What the service cannot even read it refuses without an id.
            if (header.get("task_id") or self._id) != self._id:
                continue
            if header.get("event") == "task-failed":
                raise self._failure(header)
            if isinstance(usage := payload.get("usage"), dict):
                self._usage = usage
            if header.get("event") in ("task-started", "result-generated", "task-finished"):
                return str(header["event"]), payload

    def _read(self, message: str) -> tuple[Payload, Payload]:
        try:
            content = parsed(message)
            header, payload = content["header"], content.get("payload") or {}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise self._account.unreadable() from None
        if not isinstance(header, dict) or not isinstance(payload, dict):
            raise self._account.unreadable()
        return header, payload

    def _failure(self, header: Payload) -> AdapterError:
        given = str(header.get("error_code") or "")
        error = verdict(self._account.provider, given, str(header.get("error_message") or ""))
        _log.warning("a task of %s failed: %s", self._account.provider, error.code)
        return error

    def _end(self) -> None:
        self.finished = True
        # Tasks are billed by what they used, also those that nobody listened to.
        _log.debug("%s: %s used %s", self._account.provider, self._job.model, dict(self._usage))
