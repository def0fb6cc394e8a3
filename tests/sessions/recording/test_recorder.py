"""Writing down: what is stored while a session goes on, whatever becomes of storage and of the process."""

import asyncio
from pathlib import Path

import pytest

from rtc.frames import PlayedRun
from sessions.recording.parts import Header, Part, Run, open_part
from sessions.recording.recorder import FRAME_BYTES, Budget, Recorder
from storage import recordings
from storage.errors import StorageError
from tests.support.objects import MemoryStore

SESSION = "ses_1"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def recorder(store) -> Recorder:
    return make(store)


def make(store: MemoryStore, fence: int = 1, **options) -> Recorder:
    options = {"part_seconds": 0.01, "retry_seconds": 0.005} | options

    def put(session_id: str, fence: int, number: int, data: bytes) -> None:
        recordings.put_part(session_id, fence, number, data, objects=store)

    return Recorder(SESSION, fence, put=put, **options)


def parts(store: MemoryStore, folder: Path) -> list[Part]:
    found = []
    for number, key in enumerate(recordings.part_keys(SESSION, objects=store)):
        recordings.read_part(key, folder / str(number), objects=store)
        found.append(open_part(folder / str(number)))
    return found


def idle(frame: int, frames: int = 5) -> PlayedRun:
    return PlayedRun(frame, frames, "idle", frame % 250, None, 0)


def sound(frames: int) -> bytes:
    return b"".join(bytes([number + 1]) * FRAME_BYTES for number in range(frames))


async def until(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


async def test_what_was_played_is_stored_with_what_it_came_from(recorder, store, tmp_path):
    take = recorder.fragment(b"pictures", sound(10), 0)
    recorder.fragment(b"never played", sound(10), 0)
    recorder.played(idle(0))
    recorder.played(PlayedRun(5, 4, "speech", 0, take, 0))
    recorder.played(PlayedRun(12, 2, "speech", 4, take, 0))
    await recorder.close()

    (part,) = parts(store, tmp_path)
    assert part.header.closed
    assert part.header.runs == [Run(0, 5, -1, 0), Run(5, 4, 0, 0), Run(12, 2, 0, 4)]
    assert [part.read(blob) for blob in part.header.takes] == [b"pictures"]
    heard = {blob.at: part.read(blob) for blob in part.header.speech}
    assert heard == {5: sound(10)[: 4 * FRAME_BYTES], 12: sound(10)[4 * FRAME_BYTES : 6 * FRAME_BYTES]}


async def test_parts_are_numbered_and_a_fragment_is_stored_once(recorder, store, tmp_path):
    take = recorder.fragment(b"pictures", sound(10), 0)
    recorder.played(PlayedRun(0, 5, "speech", 0, take, 0))
    await until(lambda: len(store.objects) == 1)
    recorder.played(PlayedRun(5, 5, "speech", 5, take, 0))
    await recorder.close()

    first, second = parts(store, tmp_path)
    assert list(store.objects) == [f"sessions/{SESSION}/parts/000001-00000{n}.part" for n in (0, 1)]
    assert len(first.header.takes) == 1
    assert not second.header.takes
    assert second.header.runs == [Run(5, 5, 0, 5)]


async def test_nothing_is_lost_but_the_last_seconds_when_the_process_dies(recorder, store, tmp_path):
    recorder.played(idle(0))
    await until(lambda: store.objects)

    (part,) = parts(store, tmp_path)
    assert part.header.runs == [Run(0, 5, -1, 0)]
    assert not part.header.closed
    await recorder.close()


async def test_another_host_writes_beside_the_first(recorder, store, tmp_path):
    recorder.played(idle(0))
    await recorder.close()
    newer = make(store, fence=2)
    newer.played(idle(100))
    await newer.close()

    assert [part.header.runs[0].frame for part in parts(store, tmp_path)] == [0, 100]


async def test_a_host_that_takes_over_says_when_it_is_done_even_if_nothing_was_played(store, tmp_path):
    await make(store, fence=2).close()

    (part,) = parts(store, tmp_path)
    assert part.header == Header(closed=True)


async def test_a_session_without_media_leaves_nothing(recorder, store):
    recorder.microphone(b"\1\1" * 320, 0)
    await recorder.close()

    assert not store.objects


async def test_the_customer_is_heard_before_playout_tells_of_its_first_run(recorder, store, tmp_path):
    recorder.microphone(b"\1\1" * 320, 40)
    await until(lambda: store.objects)

    (part,) = parts(store, tmp_path)
    assert [(blob.at, blob.size) for blob in part.header.microphone] == [(320, 640)]
    await recorder.close()


async def test_playout_is_asked_for_what_it_has_not_told(store, tmp_path):
    untold = [idle(5, 3)]
    recorder = make(store, part_seconds=60, flush=lambda: [recorder.played(untold.pop()) for _ in untold[:]])
    await recorder.close()

    (part,) = parts(store, tmp_path)
    assert [run.frame for run in part.header.runs] == [5]


async def test_storage_may_be_away_and_everything_is_caught_up(store, tmp_path, caplog):
    recorder = make(store)
    store.failure = StorageError("away")
    for frame in range(0, 40, 5):
        recorder.played(idle(frame))
        await asyncio.sleep(0.012)
    assert not store.objects
    assert caplog.text.count("waits for storage") == 1
    store.failure = None
    recorder.played(idle(40))
    await recorder.close()

    runs = [run.frame for part in parts(store, tmp_path) for run in part.header.runs]
    assert runs == list(range(0, 45, 5))


async def test_a_store_that_hangs_does_not_hold_up_the_pages(store):
    hanging = asyncio.Event()
    loop = asyncio.get_running_loop()

    def put(*args) -> None:
        asyncio.run_coroutine_threadsafe(hanging.wait(), loop).result(5)

    budget = Budget(10_000)
    recorder = Recorder(SESSION, 1, put=put, budget=budget, part_seconds=0.01)
    recorder.played(idle(0))
    for number in range(1, 6):
        recorder.microphone(b"\1\1" * 320, 100 * number)
        await asyncio.sleep(0.02)
    assert budget.used > 0, "what waits is counted while the first part hangs"
    hanging.set()
    await recorder.close()
    assert budget.used == 0


async def test_without_room_the_log_is_kept_and_the_media_is_dropped(store, tmp_path):
    recorder = make(store, budget=Budget(1000))
    take = recorder.fragment(b"pictures" * 200, sound(10), 0)
    recorder.played(PlayedRun(0, 10, "speech", 0, take, 0))
    await recorder.close()

    (part,) = parts(store, tmp_path)
    assert part.header.runs == [Run(0, 10, 0, 0)]
    assert not part.header.takes
    assert part.header.lost == 1600 + 10 * FRAME_BYTES


async def test_closing_gives_up_when_storage_stays_away(store):
    budget = Budget(1_000_000)
    recorder = make(store, give_up_seconds=0.05, budget=budget)
    store.failure = StorageError("away")
    recorder.played(idle(0))
    await recorder.close()

    assert not store.objects
    assert budget.used == 0


async def test_a_host_that_cannot_wait_leaves_the_rest_to_the_background(store):
    recorder = make(store)
    store.failure = StorageError("away")
    recorder.played(idle(0))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.03):
            await recorder.close()
    store.failure = None

    await until(lambda: store.objects)
