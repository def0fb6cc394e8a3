"""Sessions in numbers: the same ones idle, then talking, while what they cost is counted."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from project import collector
from project.bench.client import LiveClient
from project.bench.counters import Counters, Reading
from project.bench.customers import Service, connected, web
from project.bench.errors import BenchError
from project.bench.resources import Use, snapshot
from project.bench.target import Target

QUESTION = "When is your shop open?"
ANSWER_SECONDS = 120.0
SETTLE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Span:
    """What some sessions cost over a while, and what their customers saw.

    `sent_bits` is what all of them received in a second, with IP, UDP and SRTP; `spoken` the share of
    their time in which they were spoken to.
    """

    sessions: int
    spent: Reading
    web_mb: float
    fps: tuple[float, ...]
    freezes: int
    spoken: float
    sent_bits: float
    connections: int


@dataclass
class Crowd:
    """Customers that stay connected; `grow` adds more."""

    service: Service
    target: Target
    counters: Counters
    clients: list[LiveClient]
    exits: AsyncExitStack

    async def grow(self, count: int) -> None:
        """Connect one after the other until there are so many."""
        http = await self.exits.enter_async_context(web())
        while len(self.clients) < count:
            self.clients.append(await self.exits.enter_async_context(connected(self.service, http)))
        collector.settle()  # or what holds this process up is taken for a pause of everybody's picture

    async def watched(self, seconds: float, *, talking: float = 0.0, seed: int = 0) -> Span:
        """So many seconds in which each is spoken to for this share of its time.

        The pauses are drawn by chance, the same for the same seed; beginnings are spread. Raises `BenchError`
        when somebody fell silent.
        """
        talks = [
            asyncio.create_task(_talk(client, talking, random.Random(f"{seed} {number}")))
            for number, client in enumerate(self.clients)
            if talking
        ]
        try:
            await asyncio.sleep(self.counters.late + (3 if talking else 1) * SETTLE_SECONDS)
            before, octets = self.counters.read(), _octets(self.clients)
            began = time.monotonic()
            await asyncio.sleep(seconds)
            spent = before.until(self.counters.read())
            sent = 8 * (_octets(self.clients) - octets) / spent.seconds
            span = self._span(spent, began, sent)
        finally:
            for talk in talks:
                talk.cancel()
            ended = await asyncio.gather(*talks, return_exceptions=True)
        if broken := next((error for error in ended if isinstance(error, Exception)), None):
            raise BenchError(f"A conversation broke off, so that less was spoken: {broken}"[:500]) from broken
        return span

    def _span(self, spent: Reading, began: float, sent: float) -> Span:
        video = [client.watcher.video(began) for client in self.clients]
        sounds = [client.watcher.span(began) for client in self.clients]
        heard = sum(sound.speech for each in sounds for sound in each)
        return Span(
            sessions=len(self.clients),
            spent=spent,
            web_mb=web_memory_mb(self.target),
            fps=tuple(figures.fps for figures in video),
            freezes=sum(figures.freezes for figures in video),
            spoken=heard / max(1, sum(len(each) for each in sounds)),
            sent_bits=sent,
            connections=self.counters.connections(),
        )


@asynccontextmanager
async def gathered(service: Service, target: Target, counters: Counters) -> AsyncIterator[Crowd]:
    """A crowd of nobody yet; its sessions end with the block."""
    async with AsyncExitStack() as exits:
        yield Crowd(service, target, counters, [], exits)


async def at_rest(counters: Counters, seconds: float) -> Reading:
    """What the stack does without anybody."""
    await asyncio.sleep(counters.late)
    before = counters.read()
    await asyncio.sleep(seconds)
    return before.until(counters.read())


def web_memory_mb(target: Target) -> float:
    """Proportional memory of the web processes."""
    return snapshot(target.pids()).get("web", Use()).memory_mb


async def _talk(client: LiveClient, share: float, dice: random.Random) -> None:
    """Ask, hear the whole answer, and be quiet for as long as makes the share."""
    await asyncio.sleep(dice.uniform(0, 2))
    while True:
        asked = await client.user_text(QUESTION)
        began = await client.event("speech.started", since=asked, seconds=ANSWER_SECONDS)
        ended = await client.event("speech.ended", since=asked, seconds=ANSWER_SECONDS)
        quiet = (ended.at - began.at) * (1 - share) / share
        await asyncio.sleep(quiet * dice.uniform(0.5, 1.5))


# What lies around a payload and its RTP header: extension and tag of SRTP, UDP, IP.
AROUND_BYTES = 8 + 10 + 8 + 20


def _octets(clients: Sequence[LiveClient]) -> int:
    streams = [stream for client in clients if client.peer for stream in client.peer.streams.values()]
    return sum(stream.octets + stream.packets * AROUND_BYTES for stream in streams)
