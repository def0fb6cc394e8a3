"""Paraformer against a server that speaks its protocol."""

import asyncio
import io
import time
import wave
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest

from tests.support.dashscope import KEY, DashScope, dashscope
from workers.adapters import retry, sockets
from workers.adapters.endpoint import Endpoint
from workers.adapters.errors import AdapterError
from workers.adapters.registry import recognizer
from workers.adapters.stt import paraformer
from workers.adapters.stt.base import BYTES_PER_MS, RATE, Hypothesis, Recognizer, Segment

SENTENCES = ["Good morning.", "How are you today?", "I need new shoes."]
WHOLE = " ".join(SENTENCES)


@pytest.fixture(autouse=True)
async def no_waiting_between_tries(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setattr(retry, "BACKOFF_SECONDS", 0.0)
    yield
    await sockets.close_idle()


def ears(server: DashScope, **options: Any) -> Recognizer:
    return recognizer("paraformer", Endpoint(server.url, KEY), options)


def sound(ms: int) -> bytes:
    return bytes(ms * BYTES_PER_MS)


async def played(ms: int, piece: int = 100) -> AsyncIterator[bytes]:
    for _ in range(0, ms, piece):
        yield sound(piece)
        await asyncio.sleep(0)


def wav(pcm: bytes, rate: int = RATE) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm)
    return out.getvalue()


async def heard(made: Recognizer, given: AsyncIterator[bytes], language: str = "en-US") -> list[Hypothesis]:
    return [hypothesis async for hypothesis in made.hear(given, language=language)]


def finals(hypotheses: list[Hypothesis]) -> list[str]:
    return [each.text for each in hypotheses if each.final]


async def soon(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("settings", [{}, {"end_time": False}, {"repeat_finals": True}])
async def test_sentences_grow_and_end_while_the_sound_comes(settings: dict[str, bool]):
    with dashscope(**settings) as server:
        found = await heard(ears(server), played(3000))
    assert finals(found) == SENTENCES
    assert len([each for each in found if not each.final]) == 12
    by_start: dict[int, list[Hypothesis]] = {}
    for each in found:
        by_start.setdefault(each.start_ms, []).append(each)
    assert list(by_start) == [50, 1050, 2050]
    assert all(each[-1].final and not any(one.final for one in each[:-1]) for each in by_start.values())
    assert [each.end_ms for each in found if each.final] == [950, 1950, 2950]
    assert all(each.provider == "dashscope" for each in found)
    assert [word.text for word in found[-1].words] == ["I", "need", "new", "shoes."]


async def test_partial_results_come_before_the_sound_ends():
    given: asyncio.Queue[bytes] = asyncio.Queue()

    async def spoken() -> AsyncIterator[bytes]:
        while piece := await given.get():
            yield piece

    with dashscope() as server:
        async with aclosing(ears(server).hear(spoken(), language="en")) as told:
            given.put_nowait(sound(400))
            assert await anext(told) == Hypothesis(
                "Good", False, 50, 950, words=(Segment(50, 950, "Good"),), provider="dashscope"
            )
            given.put_nowait(sound(600))
            given.put_nowait(b"")
            assert finals([each async for each in told]) == SENTENCES[:1]


async def test_what_was_cut_short_by_the_end_is_final_then():
    with dashscope() as server:
        assert finals(await heard(ears(server), played(1300))) == SENTENCES[:2]


async def test_one_socket_serves_turn_after_turn():
    with dashscope() as server:
        for _ in range(3):
            await heard(ears(server), played(1000))
        assert server.opened == 1
        assert len({asked.task_id for asked in server.requests}) == 3


async def test_every_byte_arrives_and_pauses_are_not_sent():
    async def spoken() -> AsyncIterator[bytes]:
        for piece in (sound(7), b"", sound(993), b"", sound(2000)):
            yield piece

    with dashscope() as server:
        await heard(ears(server), spoken())
        assert server.requests[0].received == len(sound(3000))


async def test_leaving_early_closes_the_socket():
    with dashscope() as server:
        async with aclosing(ears(server).hear(played(100_000), language="en")) as told:
            await anext(told)
        await soon(lambda: server.open_now == 0)
        assert server.requests[0].left_early
    others = {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}
    assert not others


async def test_a_microphone_that_is_closed_for_long_does_not_end_the_task(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(paraformer, "SILENT_SECONDS", 0.05)

    async def spoken() -> AsyncIterator[bytes]:
        yield sound(1000)
        await asyncio.sleep(0.8)
        yield sound(2000)

    with dashscope(silence_seconds=0.5) as server:
        found = await heard(ears(server), spoken())
        more_ms = server.requests[0].received // BYTES_PER_MS - 3000
    assert more_ms >= 100
    assert finals(found) == SENTENCES
    # Our silence is no part of the sound that was given: what was heard behind it is moved back.
    first, second, _ = (each.start_ms for each in found if each.final)
    assert first == 50
    assert second <= 1050


async def test_the_sounds_own_failure_is_the_hearings():
    async def spoken() -> AsyncIterator[bytes]:
        yield sound(500)
        raise OSError("the microphone broke")

    with dashscope() as server:
        with pytest.raises(OSError, match="microphone"):
            await heard(ears(server), spoken())
        await soon(lambda: server.open_now == 0)


@pytest.mark.parametrize(
    ("way", "code"),
    [
        ("cut", "provider_truncated"),
        ("close", "provider_truncated"),
        ("error", "provider_error"),
        ("late Throttling", "provider_busy"),
        ("garbage", "provider_error"),
        ("drop", "provider_truncated"),
        ("failed InvalidApiKey", "provider_unauthorized"),
        ("401", "provider_unauthorized"),
        ("429", "provider_busy"),
    ],
)
async def test_faults_are_told_by_their_codes(way: str, code: str):
    with dashscope() as server:
        server.misbehave(way)
        with pytest.raises(AdapterError) as caught:
            await heard(ears(server), played(3000))
        assert (caught.value.code, caught.value.provider) == (code, "dashscope")
        await soon(lambda: server.open_now == 0)


@pytest.mark.parametrize("way", ["stall", "silent"])
async def test_a_service_that_falls_silent_is_late(way: str):
    with dashscope() as server:
        server.misbehave(way)
        with pytest.raises(AdapterError) as caught:
            await heard(ears(server, start_seconds=0.2, event_seconds=0.2), played(3000))
    assert (caught.value.code, caught.value.retryable) == ("provider_timeout", True)


@pytest.mark.parametrize(
    ("language", "hints"),
    [("en-US", ["en"]), ("zh-CN", ["zh"]), ("zh-HK", ["yue"]), ("de", ["de"]), ("", ["zh", "en"])],
)
async def test_the_service_is_told_the_language(language: str, hints: list[str]):
    with dashscope() as server:
        await heard(ears(server, language_hints=["zh", "en"]), played(1000), language)
        parameters = server.requests[0].body["parameters"]
    assert parameters["language_hints"] == hints
    assert (parameters["format"], parameters["sample_rate"], parameters["heartbeat"]) == ("pcm", RATE, True)


async def test_a_language_that_it_does_not_know_is_refused_before_anything_is_sent():
    with dashscope() as server:
        with pytest.raises(AdapterError) as caught:
            await heard(ears(server), played(1000), "sw-KE")
        assert server.opened == 0
    assert (caught.value.code, caught.value.retryable) == ("language_unsupported", False)


async def test_options_reach_the_service():
    with dashscope() as server:
        made = ears(server, vocabulary="vocab-1", sentence_silence_ms=500, without_fillers=True)
        await heard(made, played(1000))
        parameters = server.requests[0].body["parameters"]
    assert parameters["vocabulary_id"] == "vocab-1"
    assert parameters["max_sentence_silence"] == 500
    assert parameters["disfluency_removal_enabled"] is True


async def test_a_recording_is_understood_whole():
    with dashscope() as server:
        made = ears(server)
        transcript = await made.listen(wav(sound(3000)), language="en")
        assert await asyncio.to_thread(made.recognize, wav(sound(3000)), language="en") == transcript
    assert transcript.text == WHOLE
    assert [segment.text for segment in transcript.segments] == SENTENCES
    assert transcript.segments[1] == Segment(1050, 1950, SENTENCES[1])


async def test_a_recording_is_sent_again_after_a_fault_that_passes():
    with dashscope() as server:
        server.misbehave("late InternalError", "429")
        assert (await ears(server).listen(wav(sound(3000)), language="en")).text == WHOLE
