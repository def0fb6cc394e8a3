"""Every recogniser against the fake of its provider."""

import asyncio
import logging
import pkgutil
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from importlib import import_module

import numpy as np
import pytest

from tests.conformance.stt import cases
from tests.conformance.stt.suite import KEY, SENTENCES, SttCase
from workers.adapters import bridge, retry, sockets
from workers.adapters.errors import AdapterError
from workers.adapters.stt.base import Hypothesis, Recognizer, joined
from workers.adapters.stt.growing import wav

CASES: list[SttCase] = [
    case
    for module in pkgutil.iter_modules(cases.__path__)
    for case in import_module(f"{cases.__name__}.{module.name}").CASES
]
SECOND = (np.sin(np.arange(16_000) / 9) * 7_000).astype("<i2").tobytes()
SOUND = SECOND * len(SENTENCES)
SOUND_MS = 1_000 * len(SENTENCES)
TEXT = joined(SENTENCES)
CODES = {
    "stall": {"provider_timeout"},
    "silent": {"provider_timeout"},
    "drop": {"provider_truncated", "provider_unreachable"},
    "cut": {"provider_truncated", "provider_unreachable"},
    "401": {"provider_unauthorized"},
    "429": {"provider_busy"},
}
RETRYABLE = {"stall", "silent", "drop", "cut", "429", "500"}


def _with(*ways: str) -> list[object]:
    """Cases that know all of these ways."""
    return [pytest.param(case, id=case.name) for case in CASES if case.ways.issuperset(ways)]


def _each(*ways: str) -> list[object]:
    """Each case with each of these ways that it knows."""
    return [
        pytest.param(case, way, id=f"{case.name}-{way}") for case in CASES for way in ways if way in case.ways
    ]


def _those(which: Callable[[SttCase], object]) -> list[object]:
    return [pytest.param(case, id=case.name) for case in CASES if which(case)]


@pytest.fixture(autouse=True)
def no_waiting_between_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BACKOFF_SECONDS", 0.0)


@pytest.fixture(autouse=True)
def nothing_told(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Neither the key nor what was said stands in any log, even at the finest level."""
    caplog.set_level(logging.DEBUG)
    yield
    ours = [
        record.getMessage()
        for record in caplog.records
        if not record.name.startswith(("tests.", "aiohttp.", "websockets.server"))
    ]
    assert not [line for line in ours if _tells(line)]


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    _give_back_bridged()
    soon(lambda: not [one for one in set(threading.enumerate()) - before if not _lasting(one)], "a thread")


def _lasting(thread: threading.Thread) -> bool:
    return thread.name == "adapters" or thread.name.startswith("asyncio_")


def _give_back_bridged() -> None:
    """Close the sockets that the bridge keeps for another request."""

    async def close():
        await sockets.close_idle()
        return
        yield

    list(bridge.iterate(close))


def _tells(text: str) -> bool:
    return KEY in text or any(sentence in text for sentence in SENTENCES)


def soon(true: Callable[[], bool], what: str) -> None:
    """Wait until something that happens in another thread has happened."""
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


async def soon_async(true: Callable[[], bool], what: str) -> None:
    await asyncio.to_thread(soon, true, what)


async def spoken(pcm: bytes = SOUND, size: int = 3_200, wait: Callable[[], object] | None = None):
    """Sound in pieces; after the first second it may wait for something."""
    for at in range(0, len(pcm), size):
        if wait is not None and at <= len(SECOND) < at + size:
            await wait()
        yield pcm[at : at + size]
        await asyncio.sleep(0)


async def heard(ears: Recognizer, sound: AsyncIterator[bytes], language: str = "en-US") -> list[Hypothesis]:
    return [hypothesis async for hypothesis in ears.hear(sound, language=language)]


def text_of(told: list[Hypothesis]) -> str:
    return joined(each.text for each in told if each.final)


async def failing(ears: Recognizer, sound: AsyncIterator[bytes]) -> AdapterError:
    with pytest.raises(AdapterError) as caught:
        await heard(ears, sound)
    return caught.value


# What is understood


@pytest.mark.parametrize("case", _with())
async def test_all_that_is_said_is_heard_once_and_in_its_order(case: SttCase):
    with case.server() as service:
        told = await heard(case.make(service), spoken())
    assert text_of(told) == TEXT
    assert told[-1].final
    times = [(each.start_ms, each.end_ms) for each in told if each.final]
    assert times == sorted(times)
    assert all(0 <= start <= end <= SOUND_MS for start, end in times)


@pytest.mark.parametrize("case", _those(lambda case: case.streaming))
async def test_each_sentence_grows_until_it_is_final(case: SttCase):
    with case.server() as service:
        told = await heard(case.make(service), spoken())
    assert [each.text for each in told if each.final] == list(SENTENCES)
    starts = [each.start_ms for each in told]
    assert starts == sorted(starts)
    for sentence in (each for each in told if each.final):
        growing = [each for each in told if each.start_ms == sentence.start_ms]
        assert growing[-1] is sentence, "nothing follows what is final"
        assert len(growing) > 1
        assert all(sentence.text.startswith(each.text.rstrip(".")) for each in growing)


@pytest.mark.parametrize("case", _with())
async def test_words_come_before_the_sound_is_over(case: SttCase):
    came = asyncio.Event()
    with case.server() as service:
        told = []
        async for each in case.make(service).hear(spoken(wait=came.wait), language="en"):
            told.append(each)
            came.set()
    assert not told[0].final
    assert text_of(told) == TEXT


@pytest.mark.parametrize("size", [333, 64_000])
@pytest.mark.parametrize("case", _with())
async def test_sound_may_come_in_any_pieces(case: SttCase, size: int):
    with case.server() as service:
        assert text_of(await heard(case.make(service), spoken(size=size))) == TEXT
        if case.received:
            assert case.received(service) == len(SOUND)


@pytest.mark.parametrize("case", _with())
async def test_pauses_are_not_sent(case: SttCase):
    async def pausing() -> AsyncIterator[bytes]:
        yield b""
        async for piece in spoken():
            yield piece
            yield b""

    with case.server() as service:
        assert text_of(await heard(case.make(service), pausing())) == TEXT
        if case.received:
            assert case.received(service) == len(SOUND)


@pytest.mark.parametrize("case", _with())
async def test_recordings_are_understood_on_a_loop_and_without(case: SttCase):
    with case.server() as service:
        ears = case.make(service)
        here = await ears.listen(wav(SOUND), language="en-US")
        there = await asyncio.to_thread(ears.recognize, wav(SOUND), language="en-US")
        await sockets.close_idle()
    assert here.text == there.text == TEXT
    assert here.segments == there.segments
    times = [(each.start_ms, each.end_ms) for each in here.segments]
    assert bool(times) == case.timed
    assert times == sorted(times)
    assert all(0 <= start <= end <= SOUND_MS for start, end in times)


@pytest.mark.parametrize("case", _with())
async def test_what_is_not_understood_is_no_words(case: SttCase):
    with case.server() as service:
        case.deafen(service)
        ears = case.make(service)
        assert await heard(ears, spoken(bytes(len(SOUND)))) == []
        assert (await ears.listen(wav(bytes(len(SOUND))))).text == ""


@pytest.mark.parametrize("case", _with())
async def test_no_sound_is_no_words(case: SttCase):
    with case.server() as service:
        assert text_of(await heard(case.make(service), spoken(b""))) == ""


@pytest.mark.parametrize("case", _those(lambda case: case.language))
async def test_the_language_is_told(case: SttCase):
    with case.server() as service:
        ears = case.make(service)
        await heard(ears, spoken())
        assert case.language(service) == case.told_language
        await ears.listen(wav(SOUND), language="en-US")
        assert case.language(service) == case.told_language


@pytest.mark.parametrize("case", _those(lambda case: case.reuses))
async def test_a_connection_serves_one_turn_after_the_other(case: SttCase):
    with case.server() as service:
        ears = case.make(service)
        for _ in range(3):  # whoever is asked again and again leaves questions that are out of date
            if case.streaming:
                assert text_of(await heard(ears, spoken())) == TEXT
            else:
                assert (await ears.listen(wav(SOUND))).text == TEXT
        assert service.opened == 1
        await sockets.close_idle()


# Leaving


@pytest.mark.parametrize("case", _with())
async def test_who_stops_listening_hangs_up(case: SttCase):
    for_ever = asyncio.Event()
    with case.server() as service:
        hearing = case.make(service).hear(spoken(wait=for_ever.wait))
        await anext(hearing)
        await hearing.aclose()
        await sockets.close_idle()
        await soon_async(lambda: service.open_now == 0, "the provider still listens")


@pytest.mark.parametrize(("case", "way"), _each("stall", "silent"))
@pytest.mark.parametrize("how", ["hear", "listen"])
async def test_cancelling_hangs_up(case: SttCase, way: str, how: str):
    with case.server() as service:
        service.misbehave(way)
        ears = case.make(service)
        endless = spoken(wait=asyncio.Event().wait)
        work = heard(ears, endless) if how == "hear" else ears.listen(wav(SOUND))
        task = asyncio.create_task(work)
        await soon_async(lambda: service.open_now > 0, "nobody asked")
        await asyncio.sleep(0.1)  # the server has the whole request, and does nothing with it
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() or isinstance(task.exception(), AdapterError)
        await soon_async(lambda: service.open_now == 0, "the provider still listens")


@pytest.mark.parametrize("case", _with())
async def test_nothing_runs_on_when_it_is_done(case: SttCase):
    before = asyncio.all_tasks()
    with case.server() as service:
        await heard(case.make(service), spoken())
        await sockets.close_idle()
        await asyncio.sleep(0)
        left = [task for task in asyncio.all_tasks() - before if not task.done()]
        await asyncio.wait(left, timeout=2) if left else None
        assert not [task for task in left if not task.done()]
        await soon_async(lambda: service.open_now == 0, "the provider still listens")


# Faults


@pytest.mark.parametrize(
    ("case", "way"), _each("stall", "silent", "drop", "cut", "error", "garbage", "401", "429", "500")
)
async def test_a_fault_is_told_by_its_code(case: SttCase, way: str):
    with case.server() as service:
        service.misbehave(*[way] * 12)
        ears = case.make(service)
        for error in (await failing(ears, spoken()), await _failing_recording(ears)):
            assert not _tells(str(error))
            assert error.provider == ears.provider
            assert error.code in CODES.get(way, {error.code})
            if way in RETRYABLE | {"401"}:
                assert error.retryable == (way in RETRYABLE)


async def _failing_recording(ears: Recognizer) -> AdapterError:
    with pytest.raises(AdapterError) as caught:
        await ears.listen(wav(SOUND))
    return caught.value


@pytest.mark.parametrize("case", _with("401"))
async def test_a_refused_key_is_not_tried_again(case: SttCase):
    with case.server() as service:
        service.misbehave("401")
        error = await _failing_recording(case.make(service))
        assert (error.code, error.retryable) == ("provider_unauthorized", False)


@pytest.mark.parametrize(("case", "way"), _each("429", "500", "drop", "silent", "cut"))
async def test_a_passing_fault_costs_a_recording_nothing(case: SttCase, way: str):
    with case.server() as service:
        service.misbehave(way)
        ears = case.make(service)
        assert (await ears.listen(wav(SOUND))).text == TEXT
        await sockets.close_idle()


@pytest.mark.parametrize("case", _with("429"))
async def test_recordings_are_tried_so_many_times(case: SttCase):
    with case.server() as service:
        service.misbehave(*["429"] * retry.ATTEMPTS)
        ears = case.make(service)
        assert (await _failing_recording(ears)).code == "provider_busy"
        assert (await ears.listen(wav(SOUND))).text == TEXT
        await sockets.close_idle()


@pytest.mark.parametrize("case", _with())
async def test_nobody_there_is_told(case: SttCase):
    with case.server() as service:
        ears = case.make(service)
    error = await failing(ears, spoken())
    assert (error.code, error.retryable) == ("provider_unreachable", True)
