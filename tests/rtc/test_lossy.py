"""A bad network: what is lost is sent again, what cannot be is shown from the next key frame on."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator

import pytest

from project.bench.lossy import Line, LossyPath
from rtc.ice import IceConfig
from rtc.peer import Peer
from tests.support.rtc import Client, Told, playing


@contextlib.asynccontextmanager
async def through(path: LossyPath) -> AsyncIterator[tuple[Peer, Client, Told]]:
    client, told = Client(), Told()
    peer = await Peer.answer(path.offer(await client.offer()), ice=IceConfig(), on_event=told)
    try:
        await client.accept(path.answer(peer.answer_sdp))
        await told.until(lambda: "connected" in told.events, 20)
        yield peer, client, told
    finally:
        await client.close()
        await peer.close()


async def test_everything_goes_through_the_relay() -> None:
    async with LossyPath() as path, through(path) as (peer, client, _), playing(peer):
        await client.receive("video", 20)
        seen = len(client.frames["video"])
        path.down.cut = True
        await asyncio.sleep(0.5)
        assert len(client.frames["video"]) <= seen + 3, "nothing comes by another way"
        path.down.cut = False
        await client.receive("video", seen + 20)


async def test_lost_packets_are_sent_again() -> None:
    """Every twentieth packet is lost and 100 ms pass each way; every frame is seen all the same."""
    down = Line(loss=lambda number: number > 200 and number % 20 == 0, delay_ms=50)
    async with LossyPath(down, Line(delay_ms=50)) as path, through(path) as (peer, client, _), playing(peer):
        frames = await client.receive("video", 75, 30)
        assert down.lost > 5
        assert peer.stats().packets_resent > 0
    steps = [(b.pts - a.pts) / 3600 for a, b in itertools.pairwise(frames[10:])]
    assert max(steps) <= 8, "no pause is longer than the way to the next key frame and back"


async def test_a_client_that_falls_silent_is_noticed_and_welcome_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rtc.peer.SILENCE_SECONDS", 2.5)
    async with LossyPath() as path, through(path) as (peer, client, told), playing(peer):
        await client.receive("video", 5)
        path.up.cut = True
        await told.until(lambda: told.events == ["connected", "silent"], 15)
        assert peer.state == "disconnected"
        path.up.cut = False
        await told.until(lambda: told.events == ["connected", "silent", "connected"], 15)
        assert peer.stats().codec == "h264"


async def test_heavy_loss_lowers_the_quality(monkeypatch: pytest.MonkeyPatch) -> None:
    down = Line(loss=lambda number: number > 150 and number % 4 == 0)
    async with LossyPath(down) as path, through(path) as (peer, _, told), playing(peer):
        await told.until(lambda: told.levels == ["low"], 20)
        assert peer.stats().loss > 0.1
