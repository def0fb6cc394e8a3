"""The idle loops of a process."""

import asyncio
import threading

import pytest

from project import context
from project.errors import Unavailable
from rtc.frames import IdleLoop
from sessions.runtime import idle
from sessions.runtime.idle import KEPT, IdleLoops
from storage.errors import ObjectMissing, StorageError
from tests.support.rtc import idle_units


class Shelf:
    """Where loops are read from; `error` is raised while it is set, `hang` keeps readers."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.error: Exception | None = None
        self.hang = threading.Event()
        self.hang.set()

    def __call__(self, key: str) -> IdleLoop:
        self.read.append(key)
        self.hang.wait(5)
        if self.error is not None:
            raise self.error
        return IdleLoop(idle_units())


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    made = Shelf()
    monkeypatch.setattr(idle, "_read", made)
    return made


async def test_sessions_that_begin_at_once_read_a_loop_once_and_share_it(shelf: Shelf) -> None:
    loops = IdleLoops()
    found = await asyncio.gather(*(loops.get("a/idle.mp4") for _ in range(5)))
    assert shelf.read == ["a/idle.mp4"]
    assert len({id(loop) for loop in found}) == 1


async def test_reading_for_all_sessions_is_told_of_none(monkeypatch: pytest.MonkeyPatch) -> None:
    known: list[object] = []

    def read(_: str) -> IdleLoop:
        known.append(context.ids())
        return IdleLoop(idle_units())

    monkeypatch.setattr(idle, "_read", read)
    with context.about(session="ses_1"):
        await IdleLoops().get("a/idle.mp4")
    assert known == [{}]


async def test_a_loop_that_could_not_be_read_is_tried_again(shelf: Shelf) -> None:
    loops = IdleLoops()
    shelf.error = StorageError("refused")
    with pytest.raises(StorageError):
        await loops.get("a/idle.mp4")
    shelf.error = None
    assert len(await loops.get("a/idle.mp4")) > 0


async def test_a_storage_that_hangs_is_not_waited_for(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "READ_SECONDS", 0.05)
    loops = IdleLoops()
    shelf.hang.clear()
    with pytest.raises(Unavailable) as refused:
        await loops.get("a/idle.mp4")
    assert refused.value.code == "storage_unavailable"
    shelf.hang.set()
    monkeypatch.setattr(idle, "READ_SECONDS", 5.0)
    await loops.get("a/idle.mp4")
    assert shelf.read == ["a/idle.mp4"]


async def test_only_the_loops_used_last_are_kept(shelf: Shelf) -> None:
    loops = IdleLoops()
    for number in range(KEPT + 1):
        await loops.get(f"{number}/idle.mp4")
    await loops.get("1/idle.mp4")
    assert len(shelf.read) == KEPT + 1
    await loops.get("0/idle.mp4")
    assert len(shelf.read) == KEPT + 2


async def test_avatars_without_a_lighter_loop_keep_the_one_they_have(shelf: Shelf) -> None:
    loops = IdleLoops()
    shelf.error = ObjectMissing("a/idle_low.mp4")
    with pytest.raises(ObjectMissing):
        await loops.rendition("a/idle.mp4", low=True)
    assert shelf.read == ["a/idle_low.mp4", "a/idle.mp4"]
    shelf.error = None
    await loops.rendition("a/idle.mp4", low=True)
    assert shelf.read[2] == "a/idle_low.mp4"
