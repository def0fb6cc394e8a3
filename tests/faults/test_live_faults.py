"""Parts die, hang and lie while a customer talks: the conversation goes on, and says what is wrong."""

import asyncio
import contextlib
import os
import signal
import statistics
import time
from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed

from project.bench.client import LiveClient
from project.bench.provider_stub import REPLY
from project.bench.providers import Providers
from project.bench.stack import EmbeddedStack
from tests.faults.batch import ready_avatar
from tests.faults.live import SETTINGS, answer, joined

AWAY_SECONDS = 20.0

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def providers() -> Iterator[Providers]:
    with Providers() as providers:
        yield providers


@pytest.fixture(scope="module")
def live_stack(tmp_path_factory, providers) -> Iterator[EmbeddedStack]:
    home = tmp_path_factory.mktemp("live") / "home"
    with EmbeddedStack(home, render_workers=1, env=providers.environment | SETTINGS) as stack:
        stack.avatar = ready_avatar(stack)  # type: ignore[attr-defined]
        yield stack


@pytest.fixture
def client(live_stack, providers) -> LiveClient:
    live_stack.wait_healthy()
    providers.control(reset=True)
    return LiveClient(
        live_stack.base_url, live_stack.api_key, avatar=live_stack.avatar, wishes={"record": False}
    )


async def test_the_session_outlives_every_render_worker(live_stack, providers, client):
    providers.control(reply=REPLY)
    async with client:
        await joined(client)
        begun = await client.user_text("When are you open?")
        await client.first_sound(begun)
        killed = time.monotonic()
        for part in ("live1", "live2"):
            live_stack.kill(part)
        # They take longer to start than a customer should wait in silence: the answer ends with a word.
        await client.event("speech.ended", since=begun, seconds=60)
        assert client.watcher.video(killed).fps > 20, "the idle loop filled the gap"
        await asyncio.to_thread(live_stack.wait_healthy)
        await answer(client, "And on Saturday?")


async def test_an_utterance_goes_on_on_the_other_worker_within_three_seconds(live_stack, providers, client):
    providers.control(reply=REPLY)
    async with client:
        await joined(client)
        await answer(client)  # both workers have seen the avatar, or the one that stays has
        begun = await client.user_text("And on Saturday?")
        await client.first_sound(begun)
        live_stack.kill("live1")
        killed = time.monotonic()
        await client.event("speech.ended", since=begun, seconds=60)
        heard = [sound.at for sound in client.watcher.sounds if sound.at > killed and sound.speech]
        pauses = [later - sooner for sooner, later in zip([killed, *heard], heard, strict=False)]
        assert max(pauses) < 3.0


async def test_a_session_survives_its_web_process(live_stack, client):
    async with client:
        await joined(client)
        await answer(client)
        before = [event.data["text"] for event in client.seen("reply.utterance")]
        last = max(event.seq for event in client.events)
        for part in ("web1", "web2"):
            live_stack.kill(part)
        await client.until(lambda: client.close_code is not None)
        await _rejoin(client, last)
        await client.connect_media()
        await answer(client, "And on Saturday?")
        spoken = await client.request("GET", f"sessions/{client.id}/transcript")
        turns = spoken.json()["turns"]
        texts = " ".join(turn["text"] for turn in turns)
        assert all(text in texts for text in before), "what was said before is in the transcript"
        asked = [turn["text"] for turn in turns if turn["who"] == "user"]
        assert asked == ["When are you open?", "And on Saturday?"]
        numbers = [event.seq for event in client.events if event.seq]
        assert all(number > last for number in numbers[numbers.index(last) + 1 :])


async def _rejoin(client: LiveClient, since: int) -> None:
    """As the browser client does: until somebody takes the socket."""
    until = time.monotonic() + 40
    while True:
        client.close_code = None
        try:
            await client.join(since=since)
        except (OSError, ConnectionError, ConnectionClosed, TimeoutError):
            assert time.monotonic() < until, "nobody took the session on"
            await asyncio.sleep(0.5)
        else:
            return


@pytest.mark.parametrize(
    ("part", "code"), [("valkey", "broker_unavailable"), ("storage", "storage_unavailable")]
)
async def test_the_picture_stays_while_a_part_is_away(part, code, live_stack, client):
    async with client:
        await joined(client)
        await answer(client)
        pid = live_stack.pid(part)
        gone = time.monotonic()
        os.kill(pid, signal.SIGSTOP)
        try:
            with contextlib.suppress(TimeoutError):
                await client.event("error", since=gone, seconds=AWAY_SECONDS)
            await asyncio.sleep(max(0.0, gone + AWAY_SECONDS - time.monotonic()))
        finally:
            os.kill(pid, signal.SIGCONT)
        back = time.monotonic()
        assert [event.data["code"] for event in client.seen("error", since=gone)] == [code]
        video = client.watcher.video(gone, back)
        assert video.fps > 24
        assert video.freezes == 0
        await client.event("session.state", since=back, where=lambda d: d["faults"] == [], seconds=30)
        await answer(client, "And on Saturday?")


@pytest.mark.parametrize(
    ("provider", "behaviour"),
    [
        ("chat", "500"),
        ("chat", "drop"),
        ("chat", "garbage"),
        ("chat", "empty"),
        ("speech", "500"),
        ("speech", "drop"),
        ("speech", "garbage"),
    ],
)
async def test_a_failing_provider_costs_one_answer(provider, behaviour, providers, client):
    async with client:
        await joined(client)
        await answer(client)
        providers.control(misbehave={provider: [behaviour, "always"]})
        begun = await client.user_text("And on Saturday?")
        error = await client.event("error", since=begun, seconds=40)
        assert error.data["code"]
        await client.event("session.state", since=error.at, where=lambda d: d["phase"] == "idle", seconds=40)
        said = "".join(event.data["text"] for event in client.seen("reply.delta", since=begun))
        assert "sorry" in said.lower(), "the customer is told"
        providers.control(misbehave={})
        await answer(client, "And on Sunday?")


async def test_a_voice_that_stalls_does_not_hold_the_session(providers, client):
    async with client:
        await joined(client)
        await answer(client)
        providers.control(reply=REPLY, misbehave={"speech": ["stall"]})
        begun = await client.user_text("And on Saturday?")
        await client.event("error", since=begun, seconds=40)
        providers.control(misbehave={})
        await answer(client, "And on Sunday?")


async def test_a_stalled_answer_is_stopped_by_its_customer(providers, client):
    async with client:
        await joined(client)
        providers.control(misbehave={"chat": ["stall"]})
        begun = await client.user_text("When are you open?")
        await client.event("reply.delta", since=begun)
        await client.send("avatar.interrupt")
        await client.event("session.state", since=begun, where=lambda d: d["phase"] == "idle", seconds=5)
        await answer(client, "And on Sunday?")


async def test_the_process_stands_still_and_lips_and_voice_stay_together(live_stack, providers, client):
    providers.control(reply=REPLY)
    async with client:
        await joined(client)
        begun = await client.user_text("When are you open?")
        await client.first_sound(begun)
        webs = [pid for name, pid in live_stack.pids().items() if name.startswith("web")]
        for pid in webs:
            os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(2.0)
        for pid in webs:
            os.kill(pid, signal.SIGCONT)
        back = time.monotonic()
        await client.event("speech.ended", since=begun, seconds=60)
        span = client.watcher.media_time(back + 0.5)
        assert span is not None
        assert abs(span[0] - span[1]) < 0.08, "picture and sound went on at the same pace"
        burst = [sound.at for sound in client.watcher.sounds if back <= sound.at < back + 1.0]
        assert len(burst) <= 60, "nothing was sent in a burst to catch up"
        assert abs(await _usual_offset(client)) <= 40


async def _usual_offset(client: LiveClient) -> float:
    """The median of some looks: one between a frame's sound and its picture is off by a frame."""
    looks = []
    for _ in range(25):
        await asyncio.sleep(0.03)
        looks.append(client.av_offset_ms())
    return statistics.median(look for look in looks if look is not None)
