"""Several recognisers as one, in time that is not waited for."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from tests.sessions.pipeline.cast import in_virtual_time
from tests.support.hearing import Scribe
from tests.support.recognisers import Line, Streamed
from workers.adapters import breaker, health
from workers.adapters.errors import AdapterError
from workers.adapters.stt.base import Hypothesis
from workers.adapters.stt.chain import FallbackRecognizer
from workers.adapters.stt.growing import wav

LINES = [Line(300, 1_500, "When are you open?"), Line(2_200, 3_400, "I would like to come.")]
SOUND_MS = 4_500


@pytest.fixture(autouse=True)
def nobody_failed_before():
    breaker.reset()
    health.reset()


def fault(code: str = "provider_unreachable", *, retryable: bool = True) -> AdapterError:
    return AdapterError("no", provider="", retryable=retryable, code=code)


def stream(provider: str = "first", **options: int) -> Streamed:
    return Streamed(provider, LINES, **options)


async def spoken(ms: int = SOUND_MS, *, pause_at: int = 0) -> AsyncIterator[bytes]:
    for at in range(0, ms, 100):
        if pause_at and at == pause_at:
            yield b""
        await asyncio.sleep(0.1)
        yield b"\x00\x10" * 1_600


async def heard(chain: FallbackRecognizer, ms: int = SOUND_MS, **options: int) -> list[Hypothesis]:
    return [h async for h in chain.hear(spoken(ms, **options), language="en-GB")]


def finals(told: list[Hypothesis]) -> list[tuple[str, int, int, str]]:
    return [(h.text, h.start_ms, h.end_ms, h.provider) for h in told if h.final]


WHOLE = [("When are you open?", 300, 1_500), ("I would like to come.", 2_200, 3_400)]


@in_virtual_time
async def test_one_recogniser_is_heard_as_it_is():
    first = stream()
    told = await heard(FallbackRecognizer([first]), pause_at=1_800)
    assert finals(told) == [(*line, "first") for line in WHOLE]
    assert [h.text for h in told if not h.final][:2] == ["When", "When are"]
    assert (first.languages, first.pauses, first.running) == (["en-GB"], 1, 0)
    assert told[-1].words[0].text == "I"


@in_virtual_time
async def test_who_dies_before_its_final_is_followed_from_the_beginning():
    first, second = stream(), stream("second")
    first.breaks = [(1_000, fault())]
    told = await heard(FallbackRecognizer([first, second]))
    assert finals(told) == [(*line, "second") for line in WHOLE]
    assert (first.opened, second.opened) == ([1_000], [SOUND_MS])


@in_virtual_time
async def test_who_dies_after_its_final_is_followed_from_there():
    first, second = stream(), stream("second")
    first.breaks = [(2_600, fault("provider_truncated"))]
    second.skipped_ms = 1_500
    told = await heard(FallbackRecognizer([first, second]))
    assert finals(told) == [(*WHOLE[0], "first"), (*WHOLE[1], "second")]
    assert second.opened == [SOUND_MS - 1_500]
    assert (told[-1].words[0].start_ms, told[-1].words[-1].end_ms) == (2_200, 3_400)


@in_virtual_time
async def test_who_says_nothing_after_the_sound_is_followed():
    first, second = stream(), stream("second")
    first.breaks = [(3_500, None)]
    second.skipped_ms = 1_500
    told = await heard(FallbackRecognizer([first, second], final_seconds=2.0), 3_600)
    assert finals(told)[-1] == (*WHOLE[1], "second")
    assert first.running == 0
    assert health.snapshot()[0].last_error_code == "provider_timeout"


@in_virtual_time
async def test_a_recogniser_of_recordings_takes_over():
    first = stream()
    first.breaks = [(1_000, fault())]
    second = Scribe("When are you open?")
    told = await heard(FallbackRecognizer([first, second]))
    assert finals(told) == [("When are you open?", 0, SOUND_MS, "scribe")]
    assert second.asked[-1] == SOUND_MS


@in_virtual_time
async def test_the_only_stream_that_breaks_is_tried_once_more():
    first = stream()
    first.breaks = [(1_000, fault())]
    assert finals(await heard(FallbackRecognizer([first]))) == [(*line, "first") for line in WHOLE]
    first.breaks = [(1_000, fault()), (1_000, fault("provider_busy"))]
    with pytest.raises(AdapterError) as caught:
        await heard(FallbackRecognizer([first]))
    assert (caught.value.code, caught.value.provider) == ("provider_unreachable", "first")


@in_virtual_time
async def test_a_refusal_is_final_for_who_refused():
    first, second = stream(), stream("second")
    first.breaks = [(100, fault("provider_unauthorized", retryable=False))]
    second.breaks = [(100, fault("language_unsupported", retryable=False))]
    with pytest.raises(AdapterError) as caught:
        await heard(FallbackRecognizer([first, second]))
    assert caught.value.code == "provider_unauthorized"
    assert (len(first.opened), len(second.opened)) == (1, 1)


@in_virtual_time
async def test_what_is_kept_of_the_sound_is_bounded():
    first, second = stream(), stream("second")
    first.lines = []
    first.breaks = [(4_000, fault())]
    second.skipped_ms = 2_000
    told = await heard(FallbackRecognizer([first, second], keep_ms=2_000))
    assert finals(told) == [(*WHOLE[1], "second")]


@in_virtual_time
async def test_who_failed_lately_is_left_alone():
    first, second = stream(), stream("second")
    chain = FallbackRecognizer([first, second])
    first.breaks = [(100, fault())] * 3
    for _ in range(3):
        await heard(chain, 500)
    assert chain.streaming
    await heard(chain, 500)
    assert (len(first.opened), len(second.opened)) == (3, 4)


@in_virtual_time
async def test_whoever_is_asked_next_decides_how_turns_are_heard():
    chain = FallbackRecognizer([stream(), Scribe()])
    assert chain.streaming
    breaker.breaker("stt", "first").failed(fault("provider_unauthorized", retryable=False))
    assert not chain.streaming
    assert not FallbackRecognizer([Scribe()]).streaming


@in_virtual_time
async def test_the_last_one_is_asked_though_it_failed():
    breaker.breaker("stt", "first").failed(fault("provider_unauthorized", retryable=False))
    assert len(finals(await heard(FallbackRecognizer([stream()])))) == 2
    assert not breaker.breaker("stt", "first").open


@in_virtual_time
async def test_who_stops_listening_closes_everything():
    first = stream()
    hearing = FallbackRecognizer([first]).hear(spoken(60_000))
    assert not (await anext(hearing)).final
    await hearing.aclose()
    assert first.running == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


@in_virtual_time
async def test_a_cancelled_listener_closes_everything():
    first = stream()
    task = asyncio.create_task(heard(FallbackRecognizer([first]), 60_000))
    await asyncio.sleep(10)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (first.running, first.cancelled) == (0, 1)
    assert asyncio.all_tasks() == {asyncio.current_task()}


def recording(ms: int = SOUND_MS) -> bytes:
    return wav(bytes(32 * ms))


async def test_recordings_go_on_at_the_next_one():
    away = Scribe(fault=fault())
    chain = FallbackRecognizer([away, Scribe("Hello.")])
    assert chain.recognize(recording()).text == "Hello."
    found = await chain.listen(recording(), language="en")
    assert (found.text, found.provider) == ("Hello.", "scribe")


async def test_recordings_are_played_to_streams():
    chain = FallbackRecognizer([stream()])
    for found in (await chain.listen(recording()), await asyncio.to_thread(chain.recognize, recording())):
        assert found.text == "When are you open? I would like to come."
        assert [s.start_ms for s in found.segments] == [300, 2_200]
        assert found.provider == "first"


@in_virtual_time
async def test_who_waits_is_not_kept_waiting_by_a_slow_one():
    slow = stream()
    slow.final_seconds = 60.0
    chain = FallbackRecognizer([slow, Scribe("Hello.")], final_seconds=2.0)
    assert (await chain.listen(recording())).provider == "scribe"
    assert slow.running == 0


async def test_what_is_no_recording_is_refused():
    with pytest.raises(AdapterError) as caught:
        await FallbackRecognizer([stream()]).listen(b"RIFF")
    assert caught.value.code == "audio_unreadable"


@in_virtual_time
async def test_how_they_did_is_written_down(caplog):
    first, second = stream(), stream("second")
    first.breaks = [(1_000, fault())]
    second.final_seconds = 0.3
    with caplog.at_level(logging.WARNING):
        await heard(FallbackRecognizer([first, second]), 3_000)
    bad, good = health.snapshot()
    assert (bad.provider, bad.failed, bad.last_error_code) == ("first", 1, "provider_unreachable")
    assert (good.provider, good.served, good.failed) == ("second", 1, 0)
    assert "first" in caplog.text
    assert "open" not in caplog.text


def test_a_chain_of_nobody_is_a_mistake():
    with pytest.raises(ValueError, match="nobody"):
        FallbackRecognizer([])
