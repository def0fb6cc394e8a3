import asyncio
import json

import pytest
from asgiref.sync import sync_to_async
from django.test import AsyncClient

from generation.api import events
from generation.clips import watching
from generation.clips.models import Clip
from project.accounts import keys

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def key(alice) -> dict[str, str]:
    _, text = keys.create(alice, name="Test", scopes=None)
    return {"Authorization": f"Bearer {text}"}


@pytest.fixture(autouse=True)
def one_database(monkeypatch):
    """Threads of a test share its in-memory database."""

    async def in_database(work):
        return await sync_to_async(work)()

    monkeypatch.setattr(watching, "in_database", in_database)
    monkeypatch.setattr(events, "in_database", in_database)
    monkeypatch.setattr(watching, "POLL_SECONDS", 0.02)


async def read(response) -> list[tuple[int, str, dict]]:
    """Everything until the server closes the stream."""
    text = b"".join([part async for part in response.streaming_content]).decode()
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in fields:
            found.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return found


async def get(clip: Clip, headers: dict[str, str]):
    return await AsyncClient().get(f"/api/v1/clips/{clip.pk}/events", headers=headers)


async def test_progress_is_told_until_the_end(make, broker, key) -> None:
    clip = await sync_to_async(make)()
    response = await get(clip, key)
    assert response.headers["Content-Type"] == "text/event-stream"
    assert response.headers["X-Accel-Buffering"] == "no"
    reading = asyncio.create_task(read(response))
    await asyncio.sleep(0.1)
    while broker.messages:
        await sync_to_async(broker.step)()
        await asyncio.sleep(0.06)
    async with asyncio.timeout(10):
        told = await reading
    ids = [number for number, _, _ in told]
    assert ids == sorted(set(ids))
    assert [name for _, name, _ in told[:-1]] == ["clip.progress"] * (len(told) - 1)
    assert len(told) > 3
    assert told[-1][1] == "clip.succeeded"
    assert told[-1][2]["result"]["video_url"]


async def test_who_comes_back_gets_what_is_new_and_then_nothing(make, broker, key) -> None:
    clip = await sync_to_async(make)()
    await sync_to_async(broker.run)()
    told = await read(await get(clip, key | {"Last-Event-ID": "1"}))
    assert [name for _, name, _ in told] == ["clip.succeeded"]
    again = await get(clip, key | {"Last-Event-ID": str(told[-1][0])})
    assert again.status_code == 204


async def test_a_quiet_stream_is_kept_alive(make, key, monkeypatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_SECONDS", 0.05)
    clip = await sync_to_async(make)()
    response = await get(clip, key)
    parts = []
    async for part in response.streaming_content:
        parts.append(part)
        if part.startswith(b":"):
            break
    assert parts[0].startswith(b"retry:")
    assert parts[-1].startswith(b":")


async def test_one_query_serves_all_watchers_and_stops_with_the_last(make, key, monkeypatch) -> None:
    clip = await sync_to_async(make)()
    looks = []
    look = watching.Hub._look

    async def counted(self) -> None:
        looks.append(len(self._watchers))
        await look(self)

    monkeypatch.setattr(watching.Hub, "_look", counted)
    readers = [asyncio.create_task(read(await get(clip, key))) for _ in range(20)]
    await asyncio.sleep(0.2)
    hub = watching.hub()
    assert len(hub._watchers[clip.pk]) == 20
    assert set(looks) == {1}
    # Django cancels the task of a client that went away.
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    await asyncio.wait([hub._task], timeout=5)
    assert hub._task.done()
    assert hub._watchers == {}


async def test_strangers_and_the_nameless_get_nothing(make, mallory) -> None:
    clip = await sync_to_async(make)()
    _, text = await sync_to_async(keys.create)(mallory, name="Test", scopes=None)
    assert (await get(clip, {"Authorization": f"Bearer {text}"})).status_code == 404
    assert (await get(clip, {})).status_code == 401
    assert (await get(clip, {"Authorization": "Bearer nonsense"})).status_code == 401


async def test_a_deleted_clip_ends_its_streams(make, broker, key) -> None:
    clip = await sync_to_async(make)()
    reading = asyncio.create_task(read(await get(clip, key)))
    await asyncio.sleep(0.1)
    await sync_to_async(Clip.objects.filter(pk=clip.pk).delete)()
    async with asyncio.timeout(5):
        assert len(await reading) == 1
