"""WebSockets: conversations of good and bad messages, and floods of them.

Whatever a client sends, its session answers the next `ping` or the socket closes with a code that the
documentation knows; every error has a code that it knows; nothing ends but what was asked to end.
"""

import asyncio
import contextlib
import json
import re
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from tests.bad_input import explore
from tests.bad_input.explore import Broken
from tests.bad_input.findings import Finding, Findings
from tests.bad_input.grammar import Message, conversations

PART = "sockets"
SECONDS = 20.0
FLOOD_SECONDS = 180.0
DOCS = Path(__file__).parents[2] / "docs"
# A client may meet these; what a session does of itself when nobody connects media is among them.
CLOSES = {1000, 4400, 4409, 4410, 4429}
ENDS = {"connect_timeout", "disconnected", "client_ended", "idle_timeout", "max_duration", "avatar_ended"}
MANY_MESSAGES = 40  # nearly as many as may be refused before the socket is closed
# These say that something of ours broke.
OURS = {"internal_error", "database_unavailable", "host_unreachable"}


def known_codes() -> set[str]:
    """Every word of the documentation that may be a code."""
    texts = [path.read_text() for path in DOCS.glob("**/*.md")]
    return set(re.findall(r"`([a-z0-9]+(?:_[a-z0-9]+)*)`", "\n".join(texts)))


class Line:
    """One client who says anything. Its session is made anew whenever it ended."""

    def __init__(self, base_url: str, key: str, avatar: str) -> None:
        self._wish = {"avatar": avatar, "record": False, "may_say": True}
        self._http = httpx.AsyncClient(
            base_url=base_url, headers={"Authorization": f"Bearer {key}"}, timeout=SECONDS
        )
        self._codes = known_codes()
        self._sent = 0  # over this socket
        self._socket: ClientConnection | None = None
        self._silent = False  # a socket stood open, and nothing came
        self.session: dict[str, Any] | None = None
        self.heard: list[dict[str, Any]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._socket is not None:
            await self._socket.close()
        if self.session is not None:
            with contextlib.suppress(httpx.HTTPError):  # what it met before was told
                await self._http.delete(f"/api/v1/sessions/{self.session['id']}")
        await self._http.aclose()

    async def join(self) -> ClientConnection:
        """A socket of a session that goes on; raises `Broken` where there is none to be had."""
        if self._socket is not None and self._socket.close_code is None:
            return self._socket
        for _ in range(3):
            if self.session is None:
                await self._begin()
            try:
                self._socket = await connect(
                    self.url, max_size=2**20, compression=None, ping_interval=None, proxy=None
                )
            except (OSError, WebSocketException) as error:  # TimeoutError is one
                raise Broken(f"a socket does not open: {type(error).__name__}") from error
            self._sent = 0
            with contextlib.suppress(ConnectionClosed):
                await self._socket.send('{"type": "ping"}')
            if await self._until_pong():
                return self._socket
            self._silent |= self._socket.close_code is None
            self.session = None
        raise Broken("a session cannot be joined any more")

    async def anew(self) -> None:
        """Open another socket of the session. Raises `Broken` where that is refused, or nothing comes."""
        if self._socket is not None:
            await self._socket.close()
        self._socket, self._silent = None, False
        await self.join()
        if self._silent:
            raise Broken("the session does not answer any more")

    @property
    def url(self) -> str:
        """Where a socket of the session may be opened, with its token."""
        assert self.session is not None
        return f"{self.session['ws_url']}?token={self.session['client_token']}"

    async def _begin(self) -> None:
        try:
            answer = await self._http.post("/api/v1/sessions", json=self._wish)
        except httpx.HTTPError as error:
            raise Broken(f"a session is not answered: {type(error).__name__}") from error
        if answer.status_code != 201:
            raise Broken(f"a session is refused: {answer.status_code} {answer.text[:300]}")
        self.session = answer.json()

    async def talk(self, messages: Sequence[Message]) -> None:
        """Say this, and see that the session still answers. Raises `Broken`."""
        socket = await self.join()
        self.heard = []
        with contextlib.suppress(ConnectionClosed):
            for message in messages:
                self._sent += 1
                await socket.send(message["text"] if "text" in message else bytes.fromhex(message["bytes"]))
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(ConnectionClosed):
                await socket.send('{"type": "ping"}')
            if await self._until_pong(1.0):
                return
            if socket.close_code is not None:
                self._closed(socket.close_code)
                return
        raise Broken("the session does not answer any more")

    async def _until_pong(self, seconds: float | None = None) -> bool:
        """Read until a pong; False where the socket closed, or the ping was refused as one too many."""
        assert self._socket is not None
        try:
            async with asyncio.timeout(SECONDS if seconds is None else seconds):
                while True:
                    event = self._event(await self._socket.recv())
                    if event["type"] == "pong":
                        return True
        except (ConnectionClosed, TimeoutError):
            return False

    def _event(self, raw: str | bytes) -> dict[str, Any]:
        event = json.loads(raw)
        if not isinstance(event, dict) or not isinstance(event.get("type"), str):
            raise Broken(f"an event without a type: {raw[:200]!r}")
        self.heard.append(event)
        if event["type"] == "error":
            self._error(event)
        if event["type"] == "session.ended":
            self.session = None
            if event["reason"] not in ENDS:
                raise Broken(f"the session ended: {event['reason']}")
        return event

    def _error(self, event: dict[str, Any]) -> None:
        code = event.get("code")
        if code in OURS or code not in self._codes:
            raise Broken(f"error {code}: {event.get('detail')}")
        if not event.get("detail"):
            raise Broken(f"error {code} says nothing")

    def _closed(self, code: int) -> None:
        # Hanging up on a client who goes on sending resets the line, and what was said last is lost with it.
        # A process that died is seen by the guard.
        hung_up = code == 1006 and self._sent >= MANY_MESSAGES
        if code not in CLOSES and not hung_up:
            raise Broken(f"the socket closed with {code}")
        if code == 1000 and self.session is not None:
            raise Broken("the socket closed as after an end, and there was none")
        if code == 4410:
            self.session = None


def run(
    base_url: str,
    findings: Findings,
    *,
    key: str,
    avatar: str,
    seed: int,
    examples: int = 100,
    seconds: float | None = None,
) -> None:
    """Have `examples` conversations, or as many as `seconds` allow."""
    with asyncio.Runner() as runner:
        line = runner.run(Line(base_url, key, avatar).__aenter__())

        def talk(messages: list[Message]) -> None:
            findings.count(PART, len(messages))
            runner.run(line.talk(messages))

        def found(messages: list[Message], what: str) -> None:
            findings.add(Finding(PART, "messages", what, {"messages": messages}))

        try:
            explore.explore(conversations(), talk, found, first_seed=seed, examples=examples, seconds=seconds)
        finally:
            runner.run(line.__aexit__(None, None, None))


# --- Floods -------------------------------------------------------------------------------------


async def _pings(line: Line) -> None:
    await line.talk([{"text": '{"type": "ping"}'}] * 500)


async def _texts(line: Line) -> None:
    await line.talk([{"text": '{"type": "user.text", "text": "Hi"}'}] * 300)
    await line.talk([{"text": '{"type": "avatar.interrupt"}'}] * 300)


async def _offers(line: Line) -> None:
    await line.talk(
        [{"text": json.dumps({"type": "rtc.offer", "sdp": f"v=0\r\n{number}"})} for number in range(200)]
    )


async def _candidates(line: Line) -> None:
    await line.talk([{"text": '{"type": "rtc.candidate", "candidate": null}'}] * 500)


async def _sound(line: Line) -> None:
    await line.talk([{"bytes": "00" * 64_000}] * 200)


async def _crumbs(line: Line) -> None:
    await line.talk([{"bytes": ""}, {"bytes": "00"}] * 1_000)


async def _nonsense(line: Line) -> None:
    await line.talk([{"text": "{"}] * 300)


async def _closing(socket: ClientConnection) -> None:
    """Read until the other side hangs up: behind what is left unread, its goodbye is never seen."""
    with contextlib.suppress(ConnectionClosed):
        async with asyncio.timeout(SECONDS):
            while True:
                await socket.recv()


async def _too_large(line: Line) -> None:
    socket = await line.join()
    with contextlib.suppress(ConnectionClosed):
        await socket.send("x" * 2_000_000)
    await _closing(socket)
    if socket.close_code not in (1006, 1009):
        raise Broken(f"two million characters close the socket with {socket.close_code}")
    await line.talk([])


async def _takeovers(line: Line) -> None:
    for _ in range(30):
        old = await line.join()
        line._socket = None  # the old one is left open, and taken over
        await line.join()
        await _closing(old)
        if old.close_code != 4409:
            raise Broken(f"a socket that was taken over closes with {old.close_code}")


async def _before_joining(line: Line) -> None:
    await line.join()
    async with connect(line.url, max_size=2**20, compression=None, ping_interval=None, proxy=None) as socket:
        with contextlib.suppress(ConnectionClosed):
            for _ in range(400):
                await socket.send('{"type": "mic.start"}')
            async with asyncio.timeout(3):
                while True:
                    line._event(await socket.recv())
    if socket.close_code not in (1000, 4400, 4429):
        raise Broken(f"a flood before joining closes with {socket.close_code}")
    await line.talk([])


FLOODS: dict[str, Callable[[Line], Coroutine[Any, Any, None]]] = {
    "pings": _pings,
    "texts": _texts,
    "offers": _offers,
    "candidates": _candidates,
    "sound": _sound,
    "crumbs of sound": _crumbs,
    "nonsense": _nonsense,
    "a message far too large": _too_large,
    "takeovers": _takeovers,
    "messages before joining": _before_joining,
}


async def floods(base_url: str, findings: Findings, key: str, avatar: str) -> None:
    """More of everything than a client may send; after each the session still answers."""
    async with Line(base_url, key, avatar) as line:
        for name, flood in FLOODS.items():
            findings.count(PART)
            try:
                async with asyncio.timeout(FLOOD_SECONDS):
                    await flood(line)
                    await line.talk([])
            except (Broken, TimeoutError) as error:
                findings.add(Finding(PART, f"flood of {name}", str(error) or "no end in sight"))
