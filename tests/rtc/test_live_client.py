"""The stopwatch: against a host whose delays are known."""

import asyncio

import numpy as np
import pytest

from project.bench.lossy import Line, LossyPath
from tests.support.live_host import SPEECH_FRAMES, THINKING_SECONDS, talking


@pytest.mark.parametrize("decode", [True, False])
async def test_the_first_sound_is_timed_from_the_text(decode: bool) -> None:
    async with talking(decode=decode) as (client, _):
        begun = await client.user_text("Hello?")
        ms = await client.first_sound(begun)
        assert THINKING_SECONDS * 1000 <= ms < THINKING_SECONDS * 1000 + 1000
        assert (await client.event("speech.started", since=begun)).data["turn"] == 1
        await client.until(lambda: not client.watcher.sounds[-1].speech)
        assert client.watcher.realtime_ratio(begun) == pytest.approx(1.0, abs=0.2)
        assert len(client.watcher.heard(begun)) == pytest.approx(2 * SPEECH_FRAMES, abs=8)
        figures = client.watcher.video(begun)
        assert figures.frames > SPEECH_FRAMES
        assert client.connecting.first_frame_ms is not None
        assert all(picture.decoded for picture in client.watcher.pictures) == decode


async def test_silence_is_timed_from_the_interruption_and_nothing_comes_after_it() -> None:
    async with talking() as (client, _):
        await client.first_sound(await client.user_text("Hello?"))
        await asyncio.sleep(0.5)
        stopped = await client.send("avatar.interrupt")
        assert 0 < await client.silence(stopped, quiet=0.5) < 1000
        assert client.late_packets(stopped) == 0


async def test_sound_of_the_old_reply_after_an_interruption_does_not_escape() -> None:
    async with talking() as (client, host):
        host.late = True
        await client.first_sound(await client.user_text("Hello?"))
        await asyncio.sleep(0.5)
        stopped = await client.send("avatar.interrupt")
        assert await client.silence(stopped, quiet=0.8) > 100
        assert client.late_packets(stopped) == 6


async def test_a_microphone_is_heard_over_either_way() -> None:
    tone = (np.sin(np.arange(8000) * 2 * np.pi * 300 / 16_000) * 8000).astype(np.int16).tobytes()
    async with talking() as (client, host):
        await client.speak(tone)
        await client.until(lambda: len(host.listener.heard) > 20_000)
        await client.speak(tone, over="ws")
        await client.until(lambda: len(host.sounds) > 20_000)
        await client.hush()
        assert bytes(host.sounds[: len(tone)]) == tone
        heard = np.frombuffer(bytes(host.listener.heard), np.int16).astype(int)
        assert np.abs(heard).max() > 5000


async def test_it_may_go_through_a_bad_network() -> None:
    async with LossyPath() as path, talking(path) as (client, _):
        await client.until(lambda: len(client.watcher.pictures) > 5)
        assert path.down.passed > 10
        path.down.cut = True
        await asyncio.sleep(0.3)
        before = len(client.watcher.pictures)
        await asyncio.sleep(0.3)
        assert len(client.watcher.pictures) <= before + 1


async def test_lost_packets_are_asked_for_and_their_pictures_are_seen() -> None:
    down = Line(loss=lambda number: number > 100 and number % 20 == 0, delay_ms=50)
    async with LossyPath(down, Line(delay_ms=50)) as path, talking(path, decode=True) as (client, _):
        await client.until(lambda: len(client.watcher.pictures) > 100)
        assert client.peer is not None
        assert client.peer.repaired > 2
        assert client.watcher.incomplete <= 1
        assert client.watcher.undecodable == 0


async def test_what_did_not_come_is_told_with_what_came() -> None:
    async with talking() as (client, _):
        with pytest.raises(TimeoutError, match=r"no nothing in 0.1 s: .*session.state"):
            await client.event("nothing", seconds=0.1)
        with pytest.raises(TimeoutError, match="of speech"):
            await client.first_sound(client.events[-1].at, seconds=0.1)
