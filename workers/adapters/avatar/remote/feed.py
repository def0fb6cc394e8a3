"""Sound into a server, pictures out of it, each in its place, over lost sessions and slow starters.

Sound is numbered by chunks: chunk c holds frames c * slice to (c + 1) * slice - 1, and the n-th picture
that comes is frame n, however many came with each answer. Servers that hear ahead answer the first chunk
with few pictures or none; what is missing comes with later chunks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from workers.adapters.avatar.base import Pcm
from workers.adapters.avatar.remote.client import Announced, Client, State
from workers.adapters.avatar.remote.faults import Broken, fault
from workers.adapters.errors import AdapterError

SURPLUS = 3
"""So many pictures more than there was sound for are dropped."""
SLOW_START = 8
"""So many pictures a server may lag behind, beside the look-ahead that it announced."""
RECONNECTS = 2
"""For one chunk; each begins the session anew."""
FAILURES = 1
"""After which a server that says that it failed is not asked again."""

Inspect = Callable[[Sequence[bytes], Announced, bool], None]
"""Looks at the pictures of an answer, told whether they are a connection's first; raises `AdapterError`."""


class Feed:
    """One stream of pictures. Not thread-safe. What it raises is an `AdapterError`."""

    def __init__(
        self,
        begin: Callable[[], Client],
        *,
        provider: str,
        preroll: int = 0,
        check: Callable[[], None] = lambda: None,
        inspect: Inspect = lambda pictures, announced, first: None,
    ) -> None:
        """`begin` opens a connection and its session; `check` raises when we may not use it any more.

        `preroll` is how many chunks a new session hears again before those that it has to draw.
        """
        self._begin, self._check, self._inspect = begin, check, inspect
        self._provider, self._preroll = provider, preroll
        self._client: Client | None = None
        self._slice = 0
        self._kept: deque[Pcm] = deque()  # the newest chunks; those before are drawn and done
        self._cursor = 0  # the chunk that goes out next on this connection
        self._place = 0  # the frame that comes next on this connection: what was seen before is dropped
        self._greeted = False  # whether this connection has brought pictures
        self._broke = 0
        self._pictures: deque[bytes] = deque()  # the newest pictures, up to frame received - 1
        self.chunks = 0
        self.received = 0
        self.seams: list[int] = []

    @property
    def announced(self) -> Announced:
        """What the session is like, which begins if it has not begun."""
        if self._client is None:
            self._recovering(self._connect)
        return self._connected().announced

    @property
    def waiting(self) -> bool:
        """Whether sound is under way that has not been answered."""
        answering = self._client is not None and self._client.state is State.ANSWERING
        return answering or self._cursor < self.chunks

    def send(self, pcm: Pcm) -> None:
        """Give the next chunk of sound; it goes out at once unless an answer is still to come."""
        self._kept.append(pcm)
        self.chunks += 1
        self._recovering(self._post)

    def receive(self) -> None:
        """Wait for the next answer and put its pictures in their places."""
        self._recovering(self._answer)

    def take(self, frame: int) -> bytes | None:
        """The picture of this frame, None where it has not come yet; those before it are forgotten."""
        first = self.received - len(self._pictures)
        if frame < first:
            raise fault("frames_missing", "A picture was asked for that is gone.", self._provider)
        for _ in range(min(frame - first, len(self._pictures))):
            self._pictures.popleft()
        return self._pictures[0] if self._pictures else None

    def close(self) -> None:
        """End the session politely; never raises. What comes next begins a new one."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def forget(self) -> None:
        """End the session: the next one knows nothing of what was heard so far."""
        self.close()
        self._kept.clear()
        self._pictures.clear()
        self.received = self.chunks * self._slice

    def abort(self) -> None:
        """Cut the connection off. What comes next begins a new session."""
        if self._client is not None:
            self._client.abort()
            self._client = None

    def _recovering(self, step: Callable[[], None]) -> None:
        """Take a step; where the session broke, begin anew and send again what has not been answered."""
        while True:
            try:
                self._check()
                step()
                self._check()  # what came meanwhile may be somebody else's
            except Broken as error:
                self.abort()
                self._broke += 1
                if self._broke > (
                    RECONNECTS if error.code in {"model_lost", "model_unreachable"} else FAILURES
                ):
                    raise
                if self.received:
                    self.seams.append(self.received)
            except AdapterError:
                self.abort()
                raise
            else:
                return

    def _connect(self) -> None:
        self._connected()

    def _connected(self) -> Client:
        if self._client is None:
            self._client = client = self._begin()
            frames = client.announced.slice_frames
            if self._slice and frames != self._slice:
                self.abort()
                message = f"The model's server draws {frames} frames at a time now, {self._slice} before."
                raise fault("model_profile_mismatch", message, self._provider)
            self._slice, self._greeted = frames, False
            self._cursor = self.chunks - len(self._kept)
            self._place = self._cursor * frames
        return self._client

    def _post(self) -> None:
        client = self._connected()
        if client.state is State.READY and self._cursor < self.chunks:
            client.send(self._kept[self._cursor - self.chunks])
            self._cursor += 1

    def _answer(self) -> None:
        self._post()
        client = self._connected()
        pictures = client.receive()
        if pictures:
            self._inspect(pictures, client.announced, not self._greeted)
            self._greeted = True
        self._place_all(pictures)
        if client.state is State.READY:
            self._keep_up(client.announced)
            self._broke = 0
            self._post()  # what is sent again goes on by itself

    def _keep_up(self, announced: Announced) -> None:
        """A server may hear ahead; one that draws less and less is of no use."""
        lag = self._cursor * self._slice - self._place
        if lag > announced.lookahead_chunks * self._slice + SLOW_START:
            message = f"The model's server is {lag} frames behind the sound."
            raise fault("frames_missing", message, self._provider)

    def _place_all(self, pictures: list[bytes]) -> None:
        surplus = self._place + len(pictures) - self._cursor * self._slice
        if surplus > SURPLUS:
            message = f"The model's server drew {surplus} frames more than it was given sound for."
            raise fault("frames_malformed", message, self._provider)
        for picture in pictures[: len(pictures) - max(0, surplus)]:
            if self._place >= self.received:
                self._pictures.append(picture)
                self.received += 1
            self._place += 1
        while len(self._kept) > self._preroll and self._done(self.chunks - len(self._kept) + self._preroll):
            self._kept.popleft()

    def _done(self, chunk: int) -> bool:
        return (chunk + 1) * self._slice <= self.received
