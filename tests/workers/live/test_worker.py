"""What a live render worker makes of a request: one fragment, one error, or nothing at all."""

import asyncio
import contextlib
import hashlib
import io
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
import redis
from kombu import pools

from project.celery import app
from sessions import answers, rendering, warming
from storage.errors import StorageError
from tests.support.celery_worker import celery_worker
from tests.support.live_worker import QUEUE, wish
from tests.support.objects import MemoryStore
from workers.adapters.avatar.base import IDLE_FRAMES, Still
from workers.adapters.avatar.mock.card import read_card
from workers.adapters.avatar.mock.prepare import MockPreparer
from workers.adapters.avatar.mock.renderer import MockRenderer
from workers.live import wire
from workers.live.broker import broker as broker_of_workers
from workers.live.client import RenderClient, RenderFailed
from workers.live.wire import RenderReply, RenderRequest
from workers.rendering.demux import read_fragment
from workers.rendering.encode import LOW_CRF
from workers.rendering.live import encode_idle_loops

SIDE = 160
KEY = "avatars/avt_1/v0001/bundle.bin"
STREAM = "live:replies:process-9"


@pytest.fixture
def objects(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    memory = MemoryStore()
    monkeypatch.setattr("storage.s3._store", lambda endpoint, pid: memory)
    monkeypatch.setattr(warming, "_avatars", warming.Avatars())
    memory.put_bytes(KEY, json.dumps({"width": SIDE, "height": SIDE}).encode(), "application/octet-stream")
    return memory


def _request(number: int = 1, *, epoch: int = 0, frames: int = 5, **changes: Any) -> RenderRequest:
    fields = wish(number, epoch=epoch, frames=frames) | {"width": SIDE, "height": SIDE, "bundle_key": KEY}
    now = time.time()
    known: dict[str, Any] = {"incarnation": "one", "reply_to": STREAM, "phones": (), "crf": 23.0}
    return RenderRequest(**fields | known | {"published_at": now, "deadline_at": now + 0.8} | changes)


def _replies(broker: "redis.Redis") -> list[RenderReply]:
    return [wire.load_reply(entry) for _, entry in broker.xrange(STREAM)]


def decoded(data: bytes) -> list[Any]:
    """Decode a fragment's pictures, from its first one on."""
    with av.open(io.BytesIO(data)) as film:
        return [picture.to_ndarray() for picture in film.decode(video=0)]


def _ask(request: RenderRequest, worker: str = "live1@x") -> None:
    with contextlib.suppress(redis.RedisError):
        broker_of_workers().set(request.sound_key, request.pcm16k, ex=60)
    rendering.render(wire.dump_request(request), worker)


def test_a_fragment_holds_the_frames_that_were_asked_for(broker: "redis.Redis", objects: MemoryStore) -> None:
    _ask(_request(7, frames=6, start_frame=245))
    (reply,) = _replies(broker)
    assert (reply.session, reply.incarnation, reply.epoch, reply.number) == ("ses_1", "one", 0, 7)
    assert (reply.worker, reply.error_code, reply.frames) == ("live1@x", "", 6)
    assert [read_card(picture)[0] for picture in decoded(reply.data)] == list(range(245, 251))
    assert 0 < broker.ttl(STREAM) <= answers.STREAM_SECONDS


def test_fragments_of_both_renditions_join_the_idle_loop(broker: "redis.Redis", objects: MemoryStore) -> None:
    prepared = MockPreparer().prepare(Still(np.zeros((SIDE, SIDE, 3), np.uint8)))
    idle, low = encode_idle_loops(prepared.idle, width=SIDE, height=SIDE)
    _ask(_request(1))
    _ask(_request(2, crf=LOW_CRF))
    fragments = [read_fragment(data) for data in (idle.data, low.data, *(r.data for r in _replies(broker)))]
    assert len({fragment.entry for fragment in fragments}) == 1
    assert all(fragment.samples[0].sync for fragment in fragments)


def test_a_request_that_came_twice_is_answered_once(broker: "redis.Redis", objects: MemoryStore) -> None:
    request = _request()
    _ask(request)
    _ask(replace(request, attempt=2), "live2@x")
    assert [reply.worker for reply in _replies(broker)] == ["live1@x"]


def test_what_a_dead_worker_began_is_made_by_another_soon(
    broker: "redis.Redis", objects: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = _request()
    with monkeypatch.context() as dying:
        dying.setattr(rendering, "_make", lambda *_: None)
        _ask(request)
    assert 0 < broker.pttl(request.taken_key) <= 400
    _ask(replace(request, attempt=2), "live2@x")
    assert _replies(broker) == []
    broker.delete(request.taken_key)  # it lapsed
    _ask(replace(request, attempt=2), "live2@x")
    assert [(reply.worker, reply.attempt) for reply in _replies(broker)] == [("live2@x", 2)]


def test_nothing_is_drawn_for_an_epoch_that_is_over(broker: "redis.Redis", objects: MemoryStore) -> None:
    request = _request(epoch=3)
    broker.set(request.epoch_key, 3)
    _ask(request)
    assert _replies(broker) == []
    _ask(_request(2, epoch=4))
    assert len(_replies(broker)) == 1


def test_an_interruption_stops_the_drawing_between_two_frames(
    broker: "redis.Redis", objects: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "LOOK_SECONDS", 0.0)
    request, drawn = _request(frames=25), []
    draw = MockRenderer.compose_frame

    def draw_until_interrupted(self: Any, stream: Any, pose: Any) -> Any:
        drawn.append(pose)
        if len(drawn) == 10:
            broker.set(request.epoch_key, request.epoch)
        return draw(self, stream, pose)

    monkeypatch.setattr(MockRenderer, "compose_frame", draw_until_interrupted)
    _ask(request)
    assert len(drawn) == 10
    assert _replies(broker) == []


def test_the_broker_is_asked_once_in_a_pictures_time_whether_somebody_interrupted(
    broker: "redis.Redis", objects: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    draw = MockRenderer.compose_frame

    def five_milliseconds(self: Any, stream: Any, pose: Any) -> Any:
        nonlocal now
        now += 0.005
        return draw(self, stream, pose)

    monkeypatch.setattr(MockRenderer, "compose_frame", five_milliseconds)
    clock = SimpleNamespace(monotonic=lambda: now, perf_counter=time.perf_counter)
    monkeypatch.setattr(answers, "time", clock)
    request = _request(frames=25)
    broker.config_resetstat()
    _ask(request)
    assert len(_replies(broker)) == 1
    calls: dict[str, Any] = broker.info("commandstats")
    assert calls["cmdstat_get"]["calls"] == 2 + 3, "the epoch and the sound before it, then 125 ms of drawing"


def test_another_hosts_interruption_is_not_ours(broker: "redis.Redis", objects: MemoryStore) -> None:
    broker.set(_request(incarnation="other").epoch_key, 100)
    _ask(_request())
    assert len(_replies(broker)) == 1


@pytest.mark.parametrize(
    ("spoil", "code", "retryable"),
    [
        (lambda store: store.objects.clear(), "object_missing", False),
        (lambda store: store.damage(KEY), "object_damaged", False),
        (lambda store: store.put_bytes(KEY, b"nonsense", "x/y"), "bundle_invalid", False),
        (
            lambda store: setattr(store, "failure", StorageError("away", code="storage_unavailable")),
            "storage_unavailable",
            True,
        ),
    ],
)
def test_what_is_wrong_is_answered_by_name(
    broker: "redis.Redis", objects: MemoryStore, spoil: Any, code: str, retryable: bool
) -> None:
    spoil(objects)
    request = _request()
    _ask(request)
    (reply,) = _replies(broker)
    assert (reply.error_code, reply.retryable, reply.data, reply.frames) == (code, retryable, b"", 0)
    assert not broker.exists(request.taken_key)


def test_a_bundle_other_than_the_one_meant_is_refused(broker: "redis.Redis", objects: MemoryStore) -> None:
    _ask(_request(bundle_sha256=hashlib.sha256(b"another").hexdigest()))
    assert [reply.error_code for reply in _replies(broker)] == ["object_damaged"]


def test_a_bug_is_answered_too(
    broker: "redis.Redis", objects: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MockRenderer, "infer", lambda *_: 1 // 0)
    _ask(_request())
    assert [(r.error_code, r.retryable) for r in _replies(broker)] == [("internal_error", False)]


def test_what_nobody_waits_for_any_more_is_left(broker: "redis.Redis", objects: MemoryStore) -> None:
    long_ago = time.time() - 60
    _ask(_request(published_at=long_ago, deadline_at=long_ago + 1))
    rendering.render("no request at all", "live1@x")
    assert _replies(broker) == []


def test_a_request_whose_sound_was_lost_or_spoiled_is_left(
    broker: "redis.Redis", objects: MemoryStore
) -> None:
    for sound in (None, b"", b"short"):
        request = _request(epoch=len(sound or b"x" * 9))
        if sound is not None:
            broker.set(request.sound_key, sound)
        rendering.render(wire.dump_request(request), "live1@x")
    assert _replies(broker) == []


def test_the_sound_is_not_kept_longer_than_it_is_needed(broker: "redis.Redis", objects: MemoryStore) -> None:
    request = _request()
    _ask(request)
    assert not broker.exists(request.sound_key)


def test_a_stream_that_nobody_reads_stays_bounded(
    broker: "redis.Redis", objects: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "STREAM_LENGTH", 3)
    for number in range(6):
        _ask(_request(number))
    assert [reply.number for reply in _replies(broker)] == [3, 4, 5]


def test_without_a_broker_the_worker_goes_on(objects: MemoryStore, settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    _ask(_request())


def test_an_avatar_is_loaded_once_and_the_oldest_forgotten(objects: MemoryStore) -> None:
    kept, loads = warming.Avatars(kept=2), []
    read = objects.get_bytes
    objects.get_bytes = lambda key, limit=0: (loads.append(key), read(key))[1]  # type: ignore[assignment]
    wanted = []
    for number in range(3):
        key = f"avatars/avt_{number}/v0001/bundle.bin"
        objects.put_bytes(key, objects.objects[KEY], "application/octet-stream")
        wanted.append(wire.Wanted("mock", key, ""))
    for one in (wanted[0], wanted[1], wanted[0], wanted[2], wanted[0], wanted[1]):
        kept.get(one)
    assert [key.split("/")[1] for key in loads] == ["avt_0", "avt_1", "avt_2", "avt_1"]


def test_an_avatar_that_could_not_be_drawn_is_tried_again(
    objects: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []
    text = wire.dump_wanted(wire.Wanted("mock", KEY, ""))
    data = objects.objects.pop(KEY)

    def draw(wanted: wire.Wanted, frames: int) -> None:
        warming.avatar(wanted)
        drawn.append(frames)

    monkeypatch.setattr(warming, "_draw", draw)
    warming._hear(text, frozenset({QUEUE}))
    assert drawn == []
    objects.objects[KEY] = data
    for _ in range(2):
        warming._hear(text, frozenset({QUEUE}))
    assert drawn == [IDLE_FRAMES]


def test_one_avatar_that_is_wrong_in_a_new_way_does_not_end_the_warming(
    objects: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(wanted: wire.Wanted, frames: int) -> None:
        raise IndexError("a bundle nobody thought of")

    monkeypatch.setattr(warming, "_draw", breaks)
    warming._hear(wire.dump_wanted(wire.Wanted("mock", KEY, "")), frozenset({QUEUE}))


@pytest.fixture
def celery(broker: "redis.Redis", objects: MemoryStore, valkey: str) -> Iterator[None]:
    """A real worker of the real application on the live queue, in a thread."""
    kept = app.conf.broker_url
    app.conf.update(broker_url=valkey, broker_read_url=valkey, broker_write_url=valkey)
    pools.reset()
    with celery_worker(app, pool="solo", queues=[QUEUE], shutdown_timeout=20):
        yield
    app.conf.update(broker_url=kept, broker_read_url=kept, broker_write_url=kept)
    pools.reset()


async def test_a_real_worker_takes_the_message_that_a_session_writes(
    celery: None, client: RenderClient, objects: MemoryStore
) -> None:
    fields = {"width": SIDE, "height": SIDE, "bundle_key": KEY}
    replies = await asyncio.gather(
        *(client.render(**wish(number) | fields | {"start_frame": number}) for number in range(6))
    )
    assert [read_card(next(iter(decoded(reply.data))))[0] for reply in replies] == list(range(6))
    objects.damage(KEY)
    warming._avatars._loaded.clear()
    with pytest.raises(RenderFailed) as failed:
        await client.render(**wish(6) | fields)
    assert failed.value.code == "object_damaged"
