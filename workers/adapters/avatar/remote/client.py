"""The one client of every realtime avatar service: a session on a server, one chunk of sound at a time.

    CONNECTING -> OPENING -> READY <-> ANSWERING -> DRAINING -> CLOSED

Whatever breaks the protocol leads to BROKEN: the connection is cut off and never used again. What the
services call their messages is a `Dialect`'s.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from workers.adapters.avatar.base import FPS, SAMPLE_RATE, Pcm
from workers.adapters.avatar.remote import framing
from workers.adapters.avatar.remote.faults import Broken, broken, fault
from workers.adapters.avatar.remote.socket import Socket, opened
from workers.adapters.errors import AdapterError

MOST_TIMES = 4
"""A message may hold so many times the pictures of a chunk."""
MOST_WORDS = 64
"""Messages of text that may come before an answer."""
Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds for each step. A chunk gets at least `chunk`, and `times` as long as it plays."""

    connect: float = 10.0
    init: float = 300.0
    first_chunk: float = 180.0
    chunk: float = 30.0
    close: float = 3.0
    times: float = 20.0


@dataclass(frozen=True, slots=True)
class Announced:
    """What a server said about the session: how much it draws at a time, and how large.

    `lookahead_chunks` is how many chunks it hears before it draws the first.
    """

    slice_frames: int
    chunk_samples: int
    width: int
    height: int
    lookahead_chunks: int = 0


class Dialect(Protocol):
    """What one family of services calls things. Raises `AdapterError`."""

    closing: str
    """The message that ends a session."""
    closed: str
    """The type of its answer."""

    drops_unsaid: bool
    """Whether servers hang up on a session that they cannot make, without a word."""

    def opening(self, picture: bytes, facts: Mapping[str, Any]) -> str:
        """The message that begins a session with this picture (a PNG or JPEG file) and facts about it."""
        ...

    def announced(self, message: Message, provider: str) -> Announced | None:
        """What the session is like; None for a message that says nothing about it."""
        ...

    def refused(self, message: Message, provider: str) -> AdapterError:
        """What an `error` means; `Broken` where a fresh session may go on."""
        ...


class State(Enum):
    CONNECTING = "connecting"
    OPENING = "opening"
    READY = "ready"
    ANSWERING = "answering"
    DRAINING = "draining"
    CLOSED = "closed"
    BROKEN = "broken"


class Client:
    """One connection and its session. Not thread-safe."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        dialect: Dialect,
        *,
        provider: str,
        deadlines: Deadlines | None = None,
        progressive: bool = False,
    ) -> None:
        """`progressive` says that the server may send the pictures of a chunk one by one."""
        self.state = State.CONNECTING
        self.chunks = 0
        self._url, self._headers, self._dialect = url, headers, dialect
        self._provider, self._deadlines = provider, deadlines or Deadlines()
        self._progressive = progressive
        self._socket: Socket | None = None
        self._announced: Announced | None = None
        self._until = 0.0
        self._got = 0

    @property
    def announced(self) -> Announced:
        if self._announced is None:
            raise RuntimeError("the session has not begun")
        return self._announced

    def begin(self, opening: str) -> Announced:
        """Connect and begin the session. Raises `AdapterError`."""
        self._expect(State.CONNECTING)
        self._socket = opened(self._url, self._headers, self._deadlines.connect, self._provider)
        self.state = State.OPENING
        try:
            self._socket.send(opening)
            self._until = time.monotonic() + self._deadlines.init
            self._announced = _checked(self._begun(), self._provider)
        except Broken as error:
            self.abort()
            if error.code != "model_unreachable" or not self._dialect.drops_unsaid:
                raise
            message = "The model's server hung up instead of beginning a session."
            raise broken("model_rejected", message, self._provider) from None
        except BaseException:
            self.abort()
            raise
        self.state = State.READY
        return self._announced

    def send(self, pcm: Pcm) -> None:
        """Send one chunk of sound: exactly as many samples as were announced."""
        self._expect(State.READY)
        announced = self.announced
        if len(pcm) != announced.chunk_samples:
            raise ValueError(f"{len(pcm)} samples where a chunk has {announced.chunk_samples}")
        deadlines = self._deadlines
        patience = max(deadlines.chunk, deadlines.times * announced.chunk_samples / SAMPLE_RATE)
        self._until = time.monotonic() + (patience if self.chunks else max(patience, deadlines.first_chunk))
        self._got = 0
        try:
            self._wire.send(framing.audio(pcm))
        except BaseException:
            self.abort()
            raise
        self.chunks += 1
        self.state = State.ANSWERING

    def receive(self) -> list[bytes]:
        """Wait for pictures of the chunk that was sent: JPEGs, perhaps none.

        As long as the state is ANSWERING, more of them come. Raises `AdapterError`.
        """
        self._expect(State.ANSWERING)
        try:
            found = self._pictures()
        except BaseException:
            self.abort()
            raise
        alone = self._progressive and len(found) == 1 < self.announced.slice_frames
        going_on = self._progressive and self._got > 0
        self._got += len(found)
        if not (alone or going_on) or self._got >= self.announced.slice_frames:
            self.state = State.READY
        return found

    def close(self) -> None:
        """End the session as the server expects it, in a few seconds at most; never raises."""
        if self.state in {State.READY, State.ANSWERING} and self._socket is not None:
            pending = self.state is State.ANSWERING
            self.state = State.DRAINING
            until = time.monotonic() + self._deadlines.close
            try:
                self._take_leave(until, pending=pending)
                self._socket.close(max(0.1, until - time.monotonic()))
                self.state = State.CLOSED
            except AdapterError:
                pass
        if self.state is not State.CLOSED:
            self.abort()

    def abort(self) -> None:
        """Cut the connection off."""
        if self._socket is not None:
            self._socket.abort()
        if self.state is not State.CLOSED:
            self.state = State.BROKEN

    def _take_leave(self, until: float, *, pending: bool) -> None:
        """Say good-bye behind the answer that is still to come, and hear the same."""
        wire = self._wire
        while pending:
            pending = isinstance(wire.receive(_left(until)), str)
        wire.send(self._dialect.closing)
        for _ in range(MOST_WORDS):
            said = wire.receive(_left(until))
            if isinstance(said, str) and self._read(said).get("type") == self._dialect.closed:
                return

    @property
    def _wire(self) -> Socket:
        if self._socket is None:
            raise RuntimeError("there is no connection")
        return self._socket

    def _begun(self) -> Announced:
        for _ in range(MOST_WORDS):
            message = self._wire.receive(_left(self._until))
            if isinstance(message, bytes):
                break
            if announced := self._dialect.announced(self._judged(message), self._provider):
                return announced
        raise self._malformed()

    def _pictures(self) -> list[bytes]:
        for _ in range(MOST_WORDS):
            message = self._wire.receive(_left(self._until))
            if isinstance(message, bytes):
                return self._unwrapped(message)
            self._judged(message)
        raise self._malformed()

    def _unwrapped(self, message: bytes) -> list[bytes]:
        try:
            return framing.pictures(message, most=MOST_TIMES * self.announced.slice_frames)
        except framing.FramingError as error:
            raise self._malformed(f": {error}") from None

    def _judged(self, text: str) -> Message:
        message = self._read(text)
        if message.get("type") == "error":
            raise self._dialect.refused(message, self._provider)
        return message

    def _read(self, text: str) -> Message:
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            raise self._malformed() from None
        if not isinstance(message, dict):
            raise self._malformed()
        return message

    def _malformed(self, why: str = "") -> AdapterError:
        return fault("frames_malformed", f"The model's answer cannot be read{why}.", self._provider)

    def _expect(self, state: State) -> None:
        if self.state is State.BROKEN:
            raise broken("model_unreachable", "The connection to the model's server is gone.", self._provider)
        if self.state is not state:
            raise RuntimeError(f"{self.state.value} where {state.value} is expected")


def _left(until: float) -> float:
    return max(0.0, until - time.monotonic())


def _checked(announced: Announced, provider: str) -> Announced:
    """Refuse what no server of these models may say: sizes without bound, another speed than ours."""
    frames, samples = announced.slice_frames, announced.chunk_samples
    sound = 1 <= frames <= 256 and samples == frames * SAMPLE_RATE // FPS
    shown = all(16 <= side <= 4096 for side in (announced.width, announced.height))
    if not (sound and shown and 0 <= announced.lookahead_chunks <= 8):
        told = f"{frames} frames for {samples} samples at {announced.width}x{announced.height}"
        raise fault("model_profile_mismatch", f"The model's server announces {told}.", provider)
    return announced
