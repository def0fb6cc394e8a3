"""Customers who talk with the avatar while parts die, and come back as the browser does."""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed

from project.bench.client import Event, LiveClient
from project.bench.faults.plan import Sessions
from project.bench.media import Watcher
from project.bench.provider_stub import TRANSCRIPT
from project.bench.recorded import Recorded

QUESTIONS = (
    "When are you open?",
    "How do I get my money back?",
    "And on Saturday?",
    "Where can I find the blue shoes?",
)
ANSWER_SECONDS = 45.0  # an answer that a failure cost is not waited for longer
LOST_SECONDS = 6.0
BACK_SECONDS = 60.0  # longer than a session waits for its customer
NEVER_AGAIN = frozenset({1000, 4400, 4401, 4403, 4404, 4409, 4410, 4429})
LOST = (OSError, ConnectionClosed, TimeoutError, httpx.HTTPError)


@dataclass
class Stretch:
    """What one connection of media brought; times are monotonic. `cut`: it was not we who left."""

    watcher: Watcher
    began: float
    ended: float | None = None
    cut: bool = False


@dataclass
class Asked:
    """One question: when it was sent, and whether the answer was heard to its end."""

    text: str
    at: float
    answered: bool = False
    trouble: str = ""
    aloud: bool = False  # what was not understood is answered by an apology


@dataclass(frozen=True, slots=True)
class Aloud:
    """What the customer said into the microphone, from a monotonic moment on: s16le at 16 kHz."""

    at: float
    pcm: bytes


@dataclass
class Talk:
    """One session, as its customer saw it. `seconds_to_wall` turns monotonic moments into Unix ones."""

    id: str = ""
    began: float = 0.0
    ended: float | None = None
    cards: bool = False  # the avatar was a test card
    asked: list[Asked] = field(default_factory=list)
    stretches: list[Stretch] = field(default_factory=list)
    aloud: list[Aloud] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    rejoined: int = 0
    close_code: int | None = None
    trouble: list[str] = field(default_factory=list)
    seconds_to_wall: float = field(default_factory=lambda: time.time() - time.monotonic())

    @property
    def spoken(self) -> list[str]:
        """What the avatar began to say, in order, once each."""
        seen: dict[int, str] = {
            event.seq: str(event.data["text"]) for event in self.events if event.type == "reply.utterance"
        }
        return [seen[seq] for seq in sorted(seen)]


@dataclass
class Customers:
    """`at_once` customers, each holding one session after the other until `leave` is set."""

    base_url: str
    api_key: str
    avatar: str
    card: str  # an avatar of the model `mock`: every other session is with it; "" for none
    plan: Sessions
    seed: int
    talks: list[Talk] = field(default_factory=list)

    async def run(self, leave: Callable[[], bool]) -> None:
        """Talk until `leave()`; a session that has begun is held to its end."""
        async with asyncio.TaskGroup() as group:
            for number in range(self.plan.at_once):
                group.create_task(self._customer(number, leave))

    async def one(self) -> Talk:
        """One more session."""
        return await self._session(random.Random(f"{self.seed} last"))

    async def _customer(self, number: int, leave: Callable[[], bool]) -> None:
        draw = random.Random(f"{self.seed} customer {number}")
        sessions = 0
        while not leave():
            await self._session(draw, with_card=bool((number + sessions) % 2))
            sessions += 1

    async def _session(self, draw: random.Random, *, with_card: bool = False) -> Talk:
        talk = Talk(began=time.monotonic(), cards=with_card and bool(self.card))
        wishes: dict[str, Any] = {
            name: value for name in ("voice", "model") if (value := getattr(self.plan, name))
        }
        avatar = self.card if talk.cards else self.avatar
        client = LiveClient(self.base_url, self.api_key, avatar=avatar, wishes=wishes, read_cards=talk.cards)
        async with client:
            conversation = _Conversation(client, talk)
            self.talks.append(talk)
            try:
                await conversation.begin()
                for number in range(self.plan.questions):
                    aloud = draw.random() < self.plan.spoken
                    question = TRANSCRIPT if aloud else QUESTIONS[number % len(QUESTIONS)]
                    await conversation.ask(question, aloud=aloud)
                    await asyncio.sleep(draw.uniform(*self.plan.pause_seconds))
                    if conversation.over:
                        break
                await conversation.end()
            except LOST as error:
                talk.trouble.append(f"{type(error).__name__}: {str(error)[:200]}")
            finally:
                conversation.note()
                talk.ended = time.monotonic()
        return talk


class _Conversation:
    """One client and its notes."""

    def __init__(self, client: LiveClient, talk: Talk) -> None:
        self._client, self._talk = client, talk
        self.over = False

    async def begin(self) -> None:
        await self._until_done(self._client.create, 120.0)
        self._talk.id = self._client.id
        await self._come_back(None)

    async def ask(self, text: str, *, aloud: bool = False) -> None:
        """Ask, in writing or aloud, and hear the answer, or note why not."""
        asked = Asked(text, time.monotonic(), aloud=aloud)
        self._talk.asked.append(asked)
        try:
            if self._gone:
                await self._come_back(self._last)
            asked.at = await (self._say(text) if aloud else self._client.user_text(text))
            await self._hear_out(asked)
        except LOST as error:
            asked.trouble = str(error)[:200] or type(error).__name__
        finally:
            await self._hush()
        if self._gone:
            await self._come_back(self._last)

    async def _say(self, text: str) -> float:
        pcm = Recorded.babbled(text).pcm
        at = await self._client.speak(pcm)
        self._talk.aloud.append(Aloud(at, pcm))
        return at

    async def _hush(self) -> None:
        """Switch the microphone off, whatever its connection met."""
        with contextlib.suppress(Exception):
            await self._client.hush()

    async def _hear_out(self, asked: Asked) -> None:
        """Wait for the end of the answer; media that stopped coming is connected again, as browsers do."""
        until = asked.at + ANSWER_SECONDS
        while not asked.answered:
            try:
                await self._client.event("speech.ended", since=asked.at, seconds=1.0)
                asked.answered = True
            except TimeoutError:
                if time.monotonic() > until:
                    raise
                if self._silent:
                    await self._come_back(self._last)

    @property
    def _silent(self) -> bool:
        """Whether no packet came for so long that a browser takes the connection for lost."""
        stretch = self._talk.stretches[-1]
        sounds = stretch.watcher.sounds
        return time.monotonic() - max(stretch.began, sounds[-1].at if sounds else 0.0) > LOST_SECONDS

    async def end(self) -> None:
        """End the session; a request that is not answered is sent again."""

        async def end() -> None:
            (await self._client.request("POST", f"sessions/{self._talk.id}/end", {})).raise_for_status()

        await self._until_done(end, 120.0)
        self._close_stretch(cut=False)

    def note(self) -> None:
        self._close_stretch(cut=True)
        self._talk.events = list(self._client.events)
        self._talk.close_code = self._client.close_code

    @property
    def _gone(self) -> bool:
        return self._client.close_code is not None

    @property
    def _last(self) -> int:
        return max((event.seq for event in self._client.events), default=0)

    async def _come_back(self, since: int | None) -> None:
        """Join (again) and connect, until somebody takes us or says that it is over."""
        self._close_stretch(cut=True)
        until = time.monotonic() + BACK_SECONDS
        pause = 0.5
        while not self.over:
            refused = self._client.close_code
            if refused in NEVER_AGAIN and self._told_of_the_end(refused):
                return
            if time.monotonic() > until:
                self._talk.trouble.append("nobody took the session on")
                self.over = True
                return
            try:
                await self._hush()
                await self._client.leave()  # where only the media was lost, the socket is opened anew as well
                self._client.close_code = None
                await self._client.join(since=since)
                began = time.monotonic()
                await self._client.connect_media()
            except LOST:
                await asyncio.sleep(pause)
                pause = min(2.0, pause * 1.5)
                since = self._last or since
            else:
                self._talk.stretches.append(Stretch(self._client.watcher, began))
                self._talk.rejoined += since is not None
                return

    def _told_of_the_end(self, code: int | None) -> bool:
        self.over = True
        if not any(event.type == "session.ended" for event in self._client.events) and code != 4410:
            self._talk.trouble.append(f"refused with {code}")
        return True

    def _close_stretch(self, *, cut: bool) -> None:
        if self._talk.stretches and self._talk.stretches[-1].ended is None:
            last = self._talk.stretches[-1]
            last.ended, last.cut = time.monotonic(), cut

    async def _until_done(self, call: Callable[[], Any], seconds: float) -> None:
        until = time.monotonic() + seconds
        while True:
            try:
                await call()
            except LOST:
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(0.5)
            else:
                return
