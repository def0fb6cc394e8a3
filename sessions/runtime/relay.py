"""Sockets and commands that landed in another process than the session's host.

A message between processes is one line of JSON, then bytes of sound if there are any. `op` says
what it is:

* attach, message, audio, refuse, detach     from the process of a socket to the host
* attached, refused, event, close            from the host to the process of the socket
* command                                    from a REST request to the host; answered under its own key
"""

import asyncio
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sessions.runtime.broker import Broker
from sessions.runtime.events import Event
from sessions.runtime.links import GOING_AWAY, Link, Socket

ATTACH_SECONDS = 1.0
SENDERS = 200

Message = dict[str, Any]


class NotHosted(Exception):
    """The process that was taken for the host does not answer, or does not host the session."""


def encode(message: Message, body: bytes = b"") -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n" + body


def decode(data: bytes) -> tuple[Message, bytes]:
    head, _, body = data.partition(b"\n")
    return json.loads(head), body


class Door(Socket):
    """At the host: a socket that is in another process."""

    def __init__(self, relay: "Relay", process_id: str, socket_id: str) -> None:
        self._relay = relay
        self.process_id = process_id
        self.socket_id = socket_id

    def send_event(self, event: Event) -> None:
        self._relay.post(self.process_id, {"op": "event", "socket": self.socket_id, "event": event})

    def close_soon(self, code: int) -> None:
        self._relay.post(self.process_id, {"op": "close", "socket": self.socket_id, "code": code})


@dataclass(slots=True)
class Far(Link):
    """At the socket: a session that is hosted by another process."""

    relay: "Relay"
    host: str
    session_id: str
    socket_id: str
    socket: Socket

    def message(self, kind: str, payload: Message) -> None:
        self.post({"op": "message", "type": kind, "payload": payload})

    def audio(self, pcm16k: bytes) -> None:
        self.post({"op": "audio"}, pcm16k)

    def refuse(self, code: str, detail: str) -> None:
        self.post({"op": "refuse", "code": code, "detail": detail})

    def detach(self) -> None:
        if self.relay.forget(self.socket_id):
            self.post({"op": "detach"})

    def post(self, message: Message, body: bytes = b"") -> None:
        self.relay.post(self.host, {**message, "session": self.session_id, "socket": self.socket_id}, body)


class Relay:
    """The sockets of this process whose sessions are elsewhere."""

    def __init__(self, process_id: str, broker: Broker) -> None:
        self.process_id = process_id
        self._broker = broker
        self._far: dict[str, Far] = {}
        self._posted = 0
        self._heard: dict[str, int] = {}  # the last message of each process, the latest process last
        self._asked: dict[str, tuple[Far, asyncio.Future[str]]] = {}
        self._ops: dict[str, Callable[[str, Message], None]] = {
            "attached": self._answered,
            "refused": self._answered,
            "event": self._event,
            "close": self._close,
        }

    def post(self, process_id: str, message: Message, body: bytes = b"") -> None:
        self._posted += 1
        numbered = {**message, "from": self.process_id, "n": self._posted}
        self._broker.push(process_id, encode(numbered, body))

    def is_new(self, message: Message) -> bool:
        """False for a message that came before: one whose delivery was not confirmed is sent again."""
        sender, number = message.get("from", ""), message.get("n")
        if number is None:
            return True
        if number <= self._heard.get(sender, 0):
            return False
        self._heard.pop(sender, None)
        self._heard[sender] = number
        while len(self._heard) > SENDERS:
            del self._heard[next(iter(self._heard))]
        return True

    async def attach(self, host: str, session_id: str, socket: Socket, since: int | None) -> Far:
        """Connect a socket to its session's host; raises NotHosted when that does not answer."""
        far = Far(self, host, session_id, secrets.token_hex(8), socket)
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._asked[far.socket_id] = (far, answer)
        self.post(host, {"op": "attach", "session": session_id, "socket": far.socket_id, "since": since})
        try:
            async with asyncio.timeout(ATTACH_SECONDS):
                said = await answer
        except TimeoutError:
            said = "silence"
        except asyncio.CancelledError:  # the client did not wait
            self.forget(far.socket_id)
            far.post({"op": "detach"})
            raise
        finally:
            del self._asked[far.socket_id]
        if said != "attached":
            far.post({"op": "detach"})  # it may have been slow instead of gone
            raise NotHosted(said)
        return far

    def sessions(self) -> dict[str, str]:
        """Return the sessions of relayed sockets, each with the process taken for its host."""
        return {far.session_id: far.host for far in self._far.values()}

    def drop(self, session_id: str, host: str) -> None:
        """A host is gone: its clients come back by themselves, and one of us takes the session on."""
        for far in [one for one in self._far.values() if (one.session_id, one.host) == (session_id, host)]:
            self.forget(far.socket_id)
            far.socket.close_soon(GOING_AWAY)

    def forget(self, socket_id: str) -> bool:
        return self._far.pop(socket_id, None) is not None

    def take(self, message: Message) -> bool:
        """Handle a message to a socket of ours; False when it is not such a one."""
        op = self._ops.get(message["op"])
        if op is None:
            return False
        op(message["socket"], message)
        return True

    def _answered(self, socket_id: str, message: Message) -> None:
        if socket_id not in self._asked:
            return
        far, answer = self._asked[socket_id]
        if not answer.done():
            answer.set_result(message["op"])
            if message["op"] == "attached":  # what follows in the inbox is for the socket already
                self._far[socket_id] = far

    def _event(self, socket_id: str, message: Message) -> None:
        if (far := self._far.get(socket_id)) is not None:
            far.socket.send_event(message["event"])

    def _close(self, socket_id: str, message: Message) -> None:
        if (far := self._far.get(socket_id)) is not None:
            self.forget(socket_id)
            far.socket.close_soon(message["code"])
