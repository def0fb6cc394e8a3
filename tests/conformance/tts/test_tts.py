"""Every synthesizer against the fake of its provider."""

import asyncio
import logging
import pkgutil
import threading
import time
from collections.abc import Callable, Iterator
from importlib import import_module

import numpy as np
import pytest

from tests.conformance.tts import cases
from tests.conformance.tts.suite import KEY, TtsCase
from workers.adapters import bridge, retry, sockets
from workers.adapters.errors import AdapterError
from workers.adapters.tts.base import PcmChunk, SpeechEvent, Synthesizer, Timings

CASES: list[TtsCase] = [
    case
    for module in pkgutil.iter_modules(cases.__path__)
    for case in import_module(f"{cases.__name__}.{module.name}").CASES
]
HALF_OF_THE_TRUTH = ("stall", "cut")
CODES = {
    "stall": {"provider_timeout"},
    "silent": {"provider_timeout"},
    "drop": {"provider_truncated", "provider_unreachable"},
    "cut": {"provider_truncated", "provider_unreachable"},
    "empty": {"no_audio", "provider_truncated"},
    "401": {"provider_unauthorized"},
    "429": {"provider_busy"},
}
RETRYABLE = {"stall", "silent", "drop", "cut", "empty", "429", "500"}


def _with(*ways: str) -> list[object]:
    """Cases that know all of these ways."""
    return [pytest.param(case, id=case.name) for case in CASES if case.ways.issuperset(ways)]


def _each(*ways: str) -> list[object]:
    """Each case with each of these ways that it knows."""
    return [
        pytest.param(case, way, id=f"{case.name}-{way}") for case in CASES for way in ways if way in case.ways
    ]


@pytest.fixture(autouse=True)
def no_waiting_between_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BACKOFF_SECONDS", 0.0)


@pytest.fixture(autouse=True)
def nothing_told(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Neither the key nor the text stands in any log, even at the finest level."""
    caplog.set_level(logging.DEBUG)
    yield
    ours = [
        record.getMessage()
        for record in caplog.records
        if not record.name.startswith(("tests.", "aiohttp.", "websockets.server"))
    ]
    assert not [line for line in ours if _tells(line)]


def _tells(text: str) -> bool:
    return KEY in text or any(case.request.text in text for case in CASES)


def taken(speaker: Synthesizer, case: TtsCase) -> list[SpeechEvent]:
    return list(speaker.synthesize(case.request))


async def streamed(speaker: Synthesizer, case: TtsCase) -> list[SpeechEvent]:
    return [event async for event in speaker.stream(case.request)]


def failing(speaker: Synthesizer, case: TtsCase) -> tuple[AdapterError, list[SpeechEvent]]:
    """How it fails, and what it gave before that."""
    events: list[SpeechEvent] = []
    with pytest.raises(AdapterError) as caught:
        events.extend(speaker.synthesize(case.request))  # what came before the error stays
    return caught.value, events


def sound(events: list[SpeechEvent]) -> bytes:
    return b"".join(event.pcm for event in events if isinstance(event, PcmChunk))


def agrees(case: TtsCase, events: list[SpeechEvent], expected: bytes, rate: int) -> None:
    """The right sound at the rate it says, in whole samples."""
    chunks = [event for event in events if isinstance(event, PcmChunk)]
    assert chunks, "no sound"
    assert all(chunk.pcm and len(chunk.pcm) % 2 == 0 for chunk in chunks)
    (told,) = {chunk.sample_rate for chunk in chunks}
    pcm = sound(events)
    if case.lossless:
        assert told == rate
        assert pcm == expected
        return
    assert abs(len(pcm) / told - len(expected) / rate) * 500 <= 60, "of another length"
    assert _likeness(pcm, told, expected, rate) > 0.7


def _likeness(pcm: bytes, rate: int, expected: bytes, expected_rate: int) -> float:
    """Correlation of the envelopes in steps of 10 ms, at the best shift within 60 ms. 1 is the same."""
    one, other = _envelope(pcm, rate), _envelope(expected, expected_rate)
    size = min(len(one), len(other)) - 6
    best = -1.0
    for shift in range(-6, 7):
        a, b = one[max(shift, 0) :][:size], other[max(-shift, 0) :][:size]
        common = min(len(a), len(b))
        if common > 3 and a[:common].std() and b[:common].std():
            best = max(best, float(np.corrcoef(a[:common], b[:common])[0, 1]))
    return best


def _envelope(pcm: bytes, rate: int) -> np.ndarray:
    samples = np.frombuffer(pcm, "<i2").astype(np.float64)
    step = rate // 100
    whole = len(samples) // step * step
    return np.sqrt(np.mean(samples[:whole].reshape(-1, step) ** 2, axis=1))


def soon(true: Callable[[], bool], what: str) -> None:
    """Wait until something that happens in another thread has happened."""
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


async def soon_async(true: Callable[[], bool], what: str) -> None:
    await asyncio.to_thread(soon, true, what)


def give_back_bridged() -> None:
    """Close the sockets that the bridge keeps for another request."""

    async def close():
        await sockets.close_idle()
        return
        yield

    list(bridge.iterate(close))


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    before = {thread for thread in threading.enumerate() if thread.name != "adapters"}
    yield
    give_back_bridged()
    waiting = {"adapters"}
    soon(
        lambda: (
            not [
                thread
                for thread in set(threading.enumerate()) - before
                if thread.name not in waiting and not thread.name.startswith("asyncio_")
            ]
        ),
        "a thread is left",
    )


# The sound


@pytest.mark.parametrize("case", _with())
async def test_the_sound_arrives_as_it_was_made(case: TtsCase):
    with case.server() as service:
        speaker = case.make(service)
        agrees(case, await streamed(speaker, case), service.sound, service.sample_rate)
        assert await asyncio.to_thread(lambda: len(service.requests)) == 1


@pytest.mark.parametrize("case", _with())
async def test_code_that_blocks_gets_what_an_event_loop_gets(case: TtsCase):
    with case.server() as service:
        speaker = case.make(service)
        blocking = await asyncio.to_thread(taken, speaker, case)
        agrees(case, blocking, service.sound, service.sample_rate)
        assert sound(blocking) == sound(await streamed(speaker, case))


@pytest.mark.parametrize(("case", "way"), _each("odd", "slow-chunks"))
async def test_however_it_is_cut_on_the_wire_it_stays_whole(case: TtsCase, way: str):
    with case.server() as service:
        service.misbehave(way)
        agrees(case, await streamed(case.make(service), case), service.sound, service.sample_rate)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES if case.other_rate])
async def test_the_rate_is_read_and_not_assumed(case: TtsCase):
    with case.server() as service:
        service.misbehave("other-rate")
        events = await streamed(case.make(service), case)
    assert {event.sample_rate for event in events if isinstance(event, PcmChunk)} == {case.other_rate}


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES if case.words])
async def test_words_are_told_in_order_and_within_the_sound(case: TtsCase):
    with case.server() as service:
        events = await streamed(case.make(service), case)
        length_ms = len(service.sound) * 500 / service.sample_rate
    words = [word for event in events if isinstance(event, Timings) for word in event.words]
    bare = "".join("".join(word.text for word in words).split()).strip(".,!?。")
    assert bare == "".join(case.request.text.split()).strip(".,!?。")
    times = [(word.start_ms, word.end_ms) for word in words]
    assert times == sorted(times)
    assert all(0 <= start <= end <= length_ms + 60 for start, end in times)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES if case.reuses])
async def test_a_connection_serves_one_request_after_the_other(case: TtsCase):
    with case.server() as service:
        speaker = case.make(service)
        for _ in range(3):
            agrees(case, await streamed(speaker, case), service.sound, service.sample_rate)
        assert service.opened == 1


@pytest.mark.parametrize("case", _with())
async def test_requests_at_the_same_time_do_not_mix(case: TtsCase):
    with case.server() as service:
        speaker = case.make(service)
        await streamed(speaker, case)
        expected, rate = service.sound, service.sample_rate
        for events in await asyncio.gather(*(streamed(speaker, case) for _ in range(3))):
            agrees(case, events, expected, rate)


# Leaving


@pytest.mark.parametrize("case", _with("stall"))
async def test_leaving_in_the_middle_hangs_up(case: TtsCase):
    with case.server() as service:
        service.misbehave("stall")
        events = case.make(service).stream(case.request)
        await anext(events)
        await events.aclose()
        await soon_async(lambda: service.open_now == 0, "the provider still speaks")


@pytest.mark.parametrize("case", _with("stall"))
async def test_who_comes_after_one_that_left_hears_nothing_of_it(case: TtsCase):
    with case.server() as service:
        speaker = case.make(service)
        agrees(case, await streamed(speaker, case), service.sound, service.sample_rate)
        service.misbehave("stall")
        events = speaker.stream(case.request)
        await anext(events)
        await events.aclose()
        agrees(case, await streamed(speaker, case), service.sound, service.sample_rate)


@pytest.mark.parametrize(("case", "way"), _each("stall", "silent"))
async def test_cancelling_hangs_up(case: TtsCase, way: str):
    with case.server() as service:
        service.misbehave(way)
        task = asyncio.create_task(streamed(case.make(service), case))
        await soon_async(lambda: service.open_now > 0, "nobody asked")
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() or isinstance(task.exception(), AdapterError)
        await soon_async(lambda: service.open_now == 0, "the provider still speaks")


@pytest.mark.parametrize("case", _with("stall"))
async def test_code_that_blocks_hangs_up_as_well(case: TtsCase):
    def leave() -> None:
        events = case.make(service).synthesize(case.request)
        next(events)
        events.close()

    with case.server() as service:
        service.misbehave("stall")
        await asyncio.to_thread(leave)
        await soon_async(lambda: service.open_now == 0, "the provider still speaks")


@pytest.mark.parametrize("case", _with())
async def test_nothing_runs_on_when_it_is_done(case: TtsCase):
    before = asyncio.all_tasks()
    with case.server() as service:
        await streamed(case.make(service), case)
        await sockets.close_idle()
        await asyncio.sleep(0)
        left = [task for task in asyncio.all_tasks() - before if not task.done()]
        await asyncio.wait(left, timeout=2) if left else None
        assert not [task for task in left if not task.done()]
        await soon_async(lambda: service.open_now == 0, "the provider still speaks")


# Faults


@pytest.mark.parametrize(("case", "way"), _each("silent", "drop", "error", "garbage", "empty", "401", "500"))
def test_a_fault_is_told_by_its_code(case: TtsCase, way: str):
    with case.server() as service:
        service.misbehave(*[way] * retry.ATTEMPTS)
        speaker = case.make(service)
        error, _ = failing(speaker, case)
    assert not _tells(str(error))
    assert error.provider == speaker.provider
    assert error.code in CODES.get(way, {error.code})
    if way in RETRYABLE | {"401"}:
        assert error.retryable == (way in RETRYABLE)


@pytest.mark.parametrize(("case", "way"), _each(*HALF_OF_THE_TRUTH))
def test_nothing_is_asked_again_once_a_sound_was_given(case: TtsCase, way: str):
    with case.server() as service:
        service.misbehave(way)
        error, events = failing(case.make(service), case)
        assert sound(events)
        assert len(service.requests) == 1
        assert len(sound(events)) < len(service.sound) * 3
    assert error.code in CODES[way]
    assert error.retryable
    assert not _tells(str(error))


@pytest.mark.parametrize("case", _with("401"))
def test_a_refused_key_is_not_tried_again(case: TtsCase):
    with case.server() as service:
        service.misbehave("401")
        error, events = failing(case.make(service), case)
        assert not events
    assert (error.code, error.retryable) == ("provider_unauthorized", False)


@pytest.mark.parametrize(("case", "way"), _each("429", "500", "drop", "silent"))
async def test_a_passing_fault_is_tried_again(case: TtsCase, way: str):
    with case.server() as service:
        service.misbehave(way)
        events = await streamed(case.make(service), case)
        agrees(case, events, service.sound, service.sample_rate)
        assert len(service.requests) in (1, 2), "asked once more, no oftener"


@pytest.mark.parametrize("case", _with("429"))
def test_it_gives_up_after_so_many_tries(case: TtsCase):
    with case.server() as service:
        service.misbehave(*["429"] * retry.ATTEMPTS)
        error, events = failing(case.make(service), case)
        assert not events
    assert error.code in CODES["429"]
    assert error.retryable


def test_there_are_cases():
    assert len({case.name for case in CASES}) == len(CASES) > 0
