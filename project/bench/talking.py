"""A customer who talks as people do: asks, hears the whole answer out, and is quiet for a while.

Everything that goes wrong is written down, and the customer comes back as the call page does.
"""

import asyncio
import contextlib
import random
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed, WebSocketException

from project.bench.client import LiveClient
from project.bench.customers import Service, begin
from project.bench.errors import BenchError

ANSWER_SECONDS = 60.0
BACK_SECONDS = 1.0
TRIES_BACK = 5
AWAY_SECONDS = 1.0  # who saw nothing for so long at the end of a span has no call any more
BROKEN = (TimeoutError, ConnectionError, ConnectionClosed, WebSocketException, httpx.HTTPError, OSError)


@dataclass(frozen=True, slots=True)
class Habits:
    """How somebody talks. `share` is the part of the time in which the avatar speaks (0: never)."""

    question: str = "When is your shop open?"
    share: float = 0.4
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError("the share of speech lies between 0 and 1")

    def pause(self, spoken_seconds: float, dice: random.Random) -> float:
        """How long to be quiet after so much speech, so that the share comes out in the mean."""
        return spoken_seconds * (1 - self.share) / self.share * dice.uniform(0.5, 1.5)


@dataclass(frozen=True, slots=True)
class Answered:
    """One turn: when it was asked and when it was over (monotonic seconds), and what came of it, in ms."""

    at: float
    ended_at: float
    ttfa_ms: float
    total_ms: float
    server: dict[str, float]


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that a customer would complain about."""

    at: float
    what: str


@dataclass
class Customer:
    """One session that goes on until `stop`."""

    service: Service
    http: httpx.AsyncClient
    habits: Habits
    number: int
    read_cards: bool = False
    turns: list[Answered] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    joined_at: float | None = None
    created_ms: float | None = None
    first_frame_ms: float | None = None

    def __post_init__(self) -> None:
        self.client: LiveClient | None = None
        self._asked_at: float | None = None  # of a question to which nothing was heard yet
        self._talk: asyncio.Task[None] | None = None
        self._dice = random.Random(f"{self.habits.seed} {self.number}")

    async def start(self) -> None:
        """Join, see the first picture, and begin to talk. What fails is written down."""
        self.client = self.service.client(self.http, read_cards=self.read_cards)
        try:
            await begin(self.client)
            await self.client.join()
            await self.client.connect_media()
        except (*BROKEN, BenchError) as error:
            self._failed("join", error)
            return
        self.joined_at = time.monotonic()
        self.created_ms = self.client.connecting.session_create_ms
        self.first_frame_ms = self.client.connecting.first_frame_ms
        if self.habits.share:
            self._talk = asyncio.create_task(self._go_on())

    async def stop(self) -> None:
        """Hang up, and end the session."""
        if self._talk is not None:
            self._talk.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._talk
        if self.client is not None:
            with contextlib.suppress(*BROKEN):
                if self.client.session:
                    await self.client.request("POST", f"sessions/{self.client.id}/end", {})
            await self.client.close()

    async def _go_on(self) -> None:
        assert self.client is not None
        await asyncio.sleep(self._dice.uniform(0, 4))
        while True:
            try:
                turn = await self._turn(self.client)
            except BROKEN as error:
                self._failed("turn", error)
                if self.client.close_code is not None and not await self._back():
                    return
                await asyncio.sleep(BACK_SECONDS)
                continue
            except Exception as error:  # noqa: BLE001 - who falls silent for a fault of ours is a failure as well
                self._failed("talk", error)
                return
            self.turns.append(turn)
            spoken = turn.total_ms / 1000 - turn.ttfa_ms / 1000
            await asyncio.sleep(self.habits.pause(spoken, self._dice))

    async def _turn(self, client: LiveClient) -> Answered:
        begun = self._asked_at = await client.user_text(self.habits.question)
        try:
            ttfa_ms = await client.first_sound(begun, ANSWER_SECONDS)
        finally:
            self._asked_at = None
        ended = await client.event("speech.ended", since=begun, seconds=ANSWER_SECONDS)
        told = await client.event("metrics", since=begun, seconds=ANSWER_SECONDS)
        figures = {
            name: float(value)
            for name, value in told.data.items()
            if isinstance(value, int | float) and name not in ("seq", "at_ms", "turn")
        }
        return Answered(begun, ended.at, ttfa_ms, 1000 * (ended.at - begun), figures)

    async def _back(self) -> bool:
        """Join again, as a page whose connection broke."""
        assert self.client is not None
        for number in range(TRIES_BACK):
            await asyncio.sleep(BACK_SECONDS * (number + 1))
            since = self.client.events[-1].seq if self.client.events else 0
            self.client.close_code = None
            try:
                await self.client.join(since=since)
                await self.client.connect_media()
                return True
            except BROKEN:
                continue
        self.failures.append(Failure(time.monotonic(), "lost: the session could not be joined again"))
        return False

    def _failed(self, doing: str, error: Exception) -> None:
        self.failures.append(Failure(time.monotonic(), f"{doing}: {type(error).__name__}: {error}"[:300]))

    # --- What was seen --------------------------------------------------------------------------

    def report(self, since: float, until: float) -> dict[str, Any]:
        """What happened in a span (monotonic seconds), as JSON can tell it. A turn counts when it is over."""
        told: dict[str, Any] = {
            "turns": [asdict(turn) for turn in self.turns if since <= turn.ended_at < until],
            "failures": [asdict(failure) for failure in self.failures if since <= failure.at < until],
            "joined": None
            if self.joined_at is None
            else {"at": self.joined_at, "created_ms": self.created_ms, "first_frame_ms": self.first_frame_ms},
            "video": None,
            "watching": False,
            "offset_ms": None,
            "unheard_ms": None if self._asked_at is None else max(0.0, 1000 * (until - self._asked_at)),
        }
        if self.client is None or self.client.peer is None:
            return told
        watcher = self.client.watcher
        # From the last picture of the span before: a pause that began there belongs to one of both.
        shown = max((picture.at for picture in watcher.pictures if picture.at < since), default=since)
        told["video"] = asdict(watcher.video(shown, until))
        told["watching"] = any(until - AWAY_SECONDS < p.at < until for p in reversed(watcher.pictures))
        sounds = watcher.span(since, until)
        told["spoken"] = sum(sound.speech for sound in sounds) / max(1, len(sounds))
        told["offset_ms"] = self.client.av_offset_ms(since)
        return told

    def forget(self, before: float) -> None:
        """Drop what was seen before then: a client that watches for hours must not grow.

        Events stay: they are few, and whoever waits for one counts them.
        """
        if self.client is None:
            return
        watcher = self.client.watcher
        watcher.sounds = [sound for sound in watcher.sounds if sound.at >= before]
        watcher.pictures = [picture for picture in watcher.pictures if picture.at >= before]
        self.turns = [turn for turn in self.turns if turn.ended_at >= before]
