"""What becomes of a recording when the process that makes it dies, or storage is away meanwhile."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from websockets.exceptions import ConnectionClosed

from project.bench.client import LiveClient
from project.bench.stack import EmbeddedStack
from tests.faults.batch import ready_avatar
from tests.support.media import voice
from workers.rendering.probe import inspect

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

RATE = 48_000
AWAY_SECONDS = 20
LOUD = 1000  # of 32768


@pytest.fixture(scope="module")
def live_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    home = tmp_path_factory.mktemp("recordings") / "home"
    with EmbeddedStack(home, render_workers=1, env={"BUILTIN_AVATARS": "lena"}) as stack:
        ready_avatar(stack)
        yield stack


@pytest.fixture
def client(live_stack: EmbeddedStack) -> LiveClient:
    live_stack.wait_healthy()
    return LiveClient(live_stack.base_url, live_stack.api_key, avatar="lena")


def kill_host(stack: EmbeddedStack, session_id: str) -> None:
    """Kill the process that hosts a session."""
    query = f"from sessions.models import Session; print(Session.objects.get(pk='{session_id}').host)"
    pid = int(stack.manage("shell", "-v", "0", "-c", query).strip().rsplit(":", 2)[1])
    part = next(name for name, each in stack.pids().items() if each == pid)
    stack.kill(part, signal.SIGKILL)


async def spoken(client: LiveClient, text: str) -> None:
    begun = await client.say(text)
    await client.event("speech.ended", since=begun, seconds=60)


async def rejoined(client: LiveClient) -> None:
    """Come back as the browser does, until somebody hosts the session."""
    await client.until(lambda: client.close_code is not None)
    since = client.events[-1].seq
    for _ in range(60):
        client.close_code = None
        try:
            await client.join(since=since)
        except (OSError, ConnectionClosed, TimeoutError):
            await asyncio.sleep(0.5)
        else:
            break
    await client.connect_media()


async def recording(client: LiveClient, folder: Path) -> Path:
    """End the session, wait for its recording, and fetch it."""
    (await client.request("POST", f"sessions/{client.id}/end", {})).raise_for_status()
    for _ in range(300):
        (found,) = (await client.request("GET", f"recordings?session={client.id}")).json()["results"]
        if found["status"] in ("ready", "failed"):
            break
        await asyncio.sleep(0.5)
    assert found["status"] == "ready", found
    answer = await client.request("GET", f"recordings/{found['id']}/video")
    assert client.http is not None
    path = folder / "recording.mp4"
    path.write_bytes((await client.http.get(answer.headers["location"])).content)
    return path


def sides(path: Path) -> NDArray[np.float32]:
    """Both channels, int16 scale."""
    with av.open(str(path)) as container:
        parts = [frame.to_ndarray() for frame in container.decode(audio=0)]
    return np.concatenate(parts, axis=1) * 32768


def stretches(side: NDArray[np.float32]) -> list[tuple[float, float]]:
    """(begin, end) in seconds of what is louder than a whisper; pauses of a second part them."""
    loud = np.flatnonzero(np.abs(side) > LOUD)
    cuts = np.flatnonzero(np.diff(loud) > RATE)
    begins, ends = np.r_[loud[:1], loud[cuts + 1]], np.r_[loud[cuts], loud[-1:]]
    return [(float(begin) / RATE, float(end) / RATE) for begin, end in zip(begins, ends, strict=True)]


async def test_a_recording_survives_the_process_that_makes_it(live_stack, client, tmp_path):
    async with client:
        await client.create()
        await client.join()
        await client.connect_media()
        await client.speak((voice(2.0, 16_000)).tobytes())
        await spoken(client, "This is what was said before.")
        await asyncio.sleep(4)
        kill_host(live_stack, client.id)
        await rejoined(client)
        await spoken(client, "And this is what was said afterwards.")
        path = await recording(client, tmp_path)

    seen = inspect(path)
    assert seen.errors == 0
    assert seen.frames > 100
    assert abs(float(seen.audio_seconds) - float(seen.pts[-1])) < 0.2
    avatar, customer = map(stretches, sides(path))
    assert len(avatar) >= 2, avatar
    assert len(customer) >= 1
    assert avatar[-1][0] - avatar[0][1] > 3, "the time between the two hosts is there"


async def test_a_recording_is_whole_though_storage_was_away(live_stack, client, tmp_path):
    async with client:
        await client.create()
        await client.join()
        await client.connect_media()
        await spoken(client, "Before.")
        live_stack.kill("storage", signal.SIGSTOP)
        try:
            await asyncio.sleep(AWAY_SECONDS / 2)
            await spoken(client, "Meanwhile.")
            await asyncio.sleep(AWAY_SECONDS / 2)
        finally:
            live_stack.kill("storage", signal.SIGCONT)
        await spoken(client, "Afterwards.")
        path = await recording(client, tmp_path)

    avatar = stretches(sides(path)[0])
    assert len(avatar) == 3, avatar
    assert avatar[1][0] - avatar[0][1] > AWAY_SECONDS / 2 - 1
    assert avatar[2][0] - avatar[1][1] > AWAY_SECONDS / 2 - 1
