"""What is peculiar to CosyVoice, Sambert and Qwen; what all adapters do is in `tests/conformance`."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import Any

import pytest
from websockets.asyncio.client import connect

from tests.support.dashscope import KEY, DashScope, dashscope
from tests.support.dashscope.state import Clone
from workers.adapters import retry, sockets
from workers.adapters.endpoint import Endpoint
from workers.adapters.errors import AdapterError
from workers.adapters.registry import synthesizer
from workers.adapters.tts.base import PcmChunk, SpeechEvent, SpeechRequest, Synthesizer, Timings, Word
from workers.speech.voices import list_voices, synthesizer_for

TEXT = "Good morning. Shall we begin with the shoes?"
VOICES = {"cosyvoice": "longanyang", "sambert": "sambert-cindy-v1", "qwen": "Cherry"}
ADAPTERS = sorted(VOICES)


@pytest.fixture(autouse=True)
async def no_waiting_between_tries(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setattr(retry, "BACKOFF_SECONDS", 0.0)
    yield
    await sockets.close_idle()


def speaker(
    adapter: str, server: DashScope, *, key: str = KEY, path: str = "", **options: Any
) -> Synthesizer:
    return synthesizer(adapter, Endpoint(server.url + path, key), options)


def request(adapter: str, text: str = TEXT, **more: Any) -> SpeechRequest:
    return SpeechRequest(text, **({"voice": VOICES[adapter], "language": "en-US"} | more))


async def said(made: Synthesizer, wanted: SpeechRequest) -> list[SpeechEvent]:
    return [event async for event in made.stream(wanted)]


def pcm(events: list[SpeechEvent]) -> bytes:
    return b"".join(event.pcm for event in events if isinstance(event, PcmChunk))


def words(events: list[SpeechEvent]) -> list[Word]:
    return [word for event in events if isinstance(event, Timings) for word in event.words]


async def soon(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def refused(made: Synthesizer, wanted: SpeechRequest) -> AdapterError:
    with pytest.raises(AdapterError) as caught:
        await said(made, wanted)
    return caught.value


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_one_socket_serves_sentence_after_sentence(adapter: str):
    with dashscope() as server:
        for text in ("One.", "Two is longer.", "Three."):
            # Made anew each time, as clips and sessions make theirs.
            assert pcm(await said(speaker(adapter, server), request(adapter, text))) == server.sound
        assert server.opened == 1
        assert [asked.text for asked in server.requests] == ["One.", "Two is longer.", "Three."]
        assert len({asked.task_id for asked in server.requests}) == (1 if adapter == "qwen" else 3)


async def test_the_services_of_one_protocol_share_their_sockets():
    with dashscope() as server:
        await said(speaker("cosyvoice", server), request("cosyvoice"))
        await said(speaker("sambert", server), request("sambert"))
        assert server.opened == 1


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_a_socket_that_the_service_closed_meanwhile_is_replaced_without_a_failed_try(adapter: str):
    with dashscope(idle_seconds=0.05) as server:
        made = speaker(adapter, server)
        await said(made, request(adapter))
        await soon(lambda: server.open_now == 0)
        assert pcm(await said(made, request(adapter))) == server.sound
        assert server.opened == 2
        assert len(server.requests) == 2


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_a_kept_socket_that_breaks_at_the_first_word_is_replaced_at_once(
    adapter: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(retry, "ATTEMPTS", 1)
    with dashscope() as server:
        made = speaker(adapter, server)
        await said(made, request(adapter))
        server.misbehave("drop")
        assert pcm(await said(made, request(adapter))) == server.sound
        assert server.opened == 2


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_leaving_in_the_middle_closes_the_socket_and_the_next_sentence_gets_a_new_one(adapter: str):
    with dashscope(pause_ms=5) as server:
        made = speaker(adapter, server)
        events = made.stream(request(adapter))
        await anext(events)
        await events.aclose()
        await soon(lambda: server.open_now == 0)
        assert server.requests[0].left_early
        assert not server.requests[0].done
        assert pcm(await said(made, request(adapter))) == server.sound
        assert server.opened == 2


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_hundreds_of_frames_arrive_though_the_listener_is_slow(adapter: str):
    with dashscope(frame_ms=4) as server:
        heard = b""
        async for event in speaker(adapter, server).stream(request(adapter)):
            heard += event.pcm if isinstance(event, PcmChunk) else b""
            await asyncio.sleep(0)
        assert server.requests[0].frames > 256
        assert heard == server.sound


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_a_socket_that_closes_in_order_but_too_early_is_an_error_at_once(adapter: str):
    with dashscope() as server:
        server.misbehave("close")
        # The time for one event is 15 s: waiting for it would run into the limit of tests.
        async with asyncio.timeout(5):
            error = await refused(speaker(adapter, server), request(adapter))
    assert (error.code, error.retryable) == ("provider_truncated", True)


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_a_key_that_is_not_known_is_refused_at_the_door(adapter: str):
    with dashscope() as server:
        error = await refused(speaker(adapter, server, key="sk-another"), request(adapter))
        assert server.opened == 0
    assert (error.code, error.retryable) == ("provider_unauthorized", False)
    assert "sk-another" not in str(error)


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize(
    ("code", "ours"),
    [
        ("InvalidApiKey", "provider_unauthorized"),
        ("DataInspectionFailed", "provider_refused"),
        ("InvalidParameter", "provider_rejected"),
        ("Arrearage", "provider_quota"),
    ],
)
async def test_a_failure_for_good_is_not_tried_again(adapter: str, code: str, ours: str):
    with dashscope() as server:
        server.misbehave(f"failed {code}")
        error = await refused(speaker(adapter, server), request(adapter))
        assert len(server.requests) == 1
        await soon(lambda: server.open_now == 0)
    assert (error.code, error.retryable) == (ours, False)


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("code", ["Throttling.RateQuota", "InternalError", "ResponseTimeout"])
async def test_a_failure_that_passes_is_tried_again_on_a_new_socket(adapter: str, code: str):
    with dashscope() as server:
        server.misbehave(f"failed {code}")
        assert pcm(await said(speaker(adapter, server), request(adapter))) == server.sound
        assert (len(server.requests), server.opened) == (2, 2)


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_nothing_is_tried_again_after_the_first_sound(adapter: str):
    with dashscope() as server:
        server.misbehave("late Throttling")
        error = await refused(speaker(adapter, server), request(adapter))
        assert len(server.requests) == 1
    assert error.code == "provider_busy"


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_messages_that_nobody_knows_are_passed_over(adapter: str):
    with dashscope() as server:
        server.misbehave("unknown")
        assert pcm(await said(speaker(adapter, server), request(adapter))) == server.sound


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_an_end_that_never_comes_is_a_timeout(adapter: str):
    with dashscope() as server:
        server.misbehave("endless")
        error = await refused(speaker(adapter, server, event_seconds=0.2), request(adapter))
    assert error.code == "provider_timeout"


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_a_voice_that_is_not_there_is_told_so(adapter: str):
    with dashscope() as server:
        error = await refused(speaker(adapter, server), request(adapter, voice="nobody"))
    assert error.code == ("provider_not_found" if adapter == "sambert" else "voice_not_found")
    assert not error.retryable


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_the_workspace_is_named_and_another_services_address_will_do(adapter: str):
    with dashscope() as server:
        made = speaker(adapter, server, path="/compatible-mode/v1", workspace="ws-1")
        await said(made, request(adapter))
        assert server.requests[0].headers["X-DashScope-WorkSpace"] == "ws-1"


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_speed_is_passed_on_within_what_the_service_takes(adapter: str):
    told = []
    with dashscope() as server:
        for speed in (1.25, 9.0, 0.1):
            await said(speaker(adapter, server), request(adapter, speed=speed))
            body = server.requests[-1].body
            told.append(body["speech_rate"] if adapter == "qwen" else body["parameters"]["rate"])
    assert told == [1.25, 2.0, 0.5]


@pytest.mark.parametrize("adapter", ["cosyvoice", "sambert"])
async def test_what_looks_like_markup_is_spoken_as_text(adapter: str):
    text = "Is a < b & c? <speak>No.</speak>"
    with dashscope() as server:
        await said(speaker(adapter, server), request(adapter, text))
        (asked,) = server.requests
    assert asked.text == text
    assert "enable_ssml" not in asked.body["parameters"]
    assert asked.body["parameters"]["text_type"] == "PlainText"


async def test_a_text_beyond_one_message_is_sent_in_several():
    text = "字" * 10_001
    with dashscope(frame_ms=60_000) as server:
        assert pcm(await said(speaker("cosyvoice", server), request("cosyvoice", text)))
        assert server.requests[0].text == text


async def test_a_text_beyond_all_limits_is_rejected():
    with dashscope() as server:
        error = await refused(speaker("sambert", server), request("sambert", "x" * 20_001))
    assert (error.code, error.retryable) == ("provider_rejected", False)


@pytest.mark.parametrize(
    ("adapter", "counted"), [("cosyvoice", "task"), ("cosyvoice", "sentence"), ("sambert", "task")]
)
async def test_words_of_all_sentences_are_timed_from_the_first_sample(adapter: str, counted: str):
    with dashscope(word_times=counted) as server:
        events = await said(speaker(adapter, server), request(adapter))
        length_ms = len(server.sound) * 500 / server.sample_rate
    told = words(events)
    assert [word.text for word in told] == TEXT.split()
    assert all(one.end_ms <= other.start_ms for one, other in pairwise(told))
    assert told[1].end_ms < told[2].start_ms  # the pause between the sentences
    assert told[-1].end_ms <= length_ms


@pytest.mark.parametrize("adapter", ["cosyvoice", "sambert"])
async def test_word_times_can_be_switched_off(adapter: str):
    with dashscope() as server:
        events = await said(speaker(adapter, server, words=False), request(adapter))
        assert "word_timestamp_enabled" not in server.requests[0].body["parameters"]
    assert words(events) == []


async def test_cosyvoice_is_told_the_language_and_how_to_speak_where_that_is_configured():
    with dashscope() as server:
        made = speaker("cosyvoice", server, language_hints=True, instruction="Gently.")
        await said(made, request("cosyvoice"))
        parameters = server.requests[0].body["parameters"]
    assert (parameters["language_hints"], parameters["instruction"]) == (["en"], "Gently.")


async def test_a_copied_voice_speaks_with_its_own_model_alone():
    with dashscope() as server:
        server.state.clones["mine"] = Clone("mine", "cosyvoice-v3-plus", "cosyvoice")
        server.state.clones["other"] = Clone("other", "qwen3-tts-vc-realtime-2025-11-27", "qwen")
        assert (await refused(speaker("cosyvoice", server), request("cosyvoice", voice="mine"))).code == (
            "voice_not_found"
        )
        assert (await refused(speaker("qwen", server), request("qwen", voice="other"))).code == (
            "voice_not_found"
        )
        right = speaker("cosyvoice", server, model="cosyvoice-v3-plus")
        assert pcm(await said(right, request("cosyvoice", voice="mine")))
        right = speaker("qwen", server, model="qwen3-tts-vc-realtime-2025-11-27")
        assert pcm(await said(right, request("qwen", voice="other")))


async def test_qwen_has_a_session_for_each_way_of_speaking():
    with dashscope() as server:
        made = speaker("qwen", server)
        for more in ({}, {"voice": "Ethan"}, {"language": "de-DE"}, {}, {"voice": "Ethan"}):
            await said(made, request("qwen", **more))
        told = [(asked.body["voice"], asked.body["language_type"]) for asked in server.requests]
        assert server.opened == 3
    assert told == [
        ("Cherry", "English"),
        ("Ethan", "English"),
        ("Cherry", "German"),
        ("Cherry", "English"),
        ("Ethan", "English"),
    ]


async def test_qwen_guesses_languages_that_it_has_no_name_for():
    with dashscope() as server:
        await said(speaker("qwen", server), request("qwen", language="nl-NL"))
        assert server.requests[0].body["language_type"] == "Auto"


async def test_the_older_qwen_is_not_told_what_it_does_not_take():
    with dashscope() as server:
        made = speaker("qwen", server, model="qwen-tts-realtime")
        assert pcm(await said(made, request("qwen")))
        assert "speech_rate" not in server.requests[0].body


@pytest.mark.parametrize("provider", ADAPTERS)
async def test_every_voice_of_the_file_speaks(provider: str):
    with dashscope(frame_ms=1000) as server:
        for voice in list_voices([provider]):
            made = synthesizer_for(voice, {provider: Endpoint(server.url, KEY)})
            assert made.provider == provider
            assert pcm(await said(made, SpeechRequest("Yes.", voice.provider_voice, voice.language)))


# The server itself: a fake that takes anything would prove nothing.


def message(action: str, task_id: str, payload: dict[str, Any], streaming: str = "duplex") -> str:
    return json.dumps(
        {"header": {"action": action, "task_id": task_id, "streaming": streaming}, "payload": payload}
    )


def job(**parameters: Any) -> dict[str, Any]:
    given = {"voice": "longanyang", "format": "pcm", "sample_rate": 24_000} | parameters
    return {
        "task_group": "audio",
        "task": "tts",
        "function": "SpeechSynthesizer",
        "model": "cosyvoice-v3-flash",
        "parameters": given,
        "input": {},
    }


@pytest.mark.parametrize(
    "first",
    [
        message("continue-task", uuid.uuid4().hex, {"input": {"text": "Hi."}}),
        message("run-task", "short", job()),
        message("run-task", uuid.uuid4().hex, job(sample_rate=12_345)),
        message("run-task", uuid.uuid4().hex, job(loudness=3)),
        message("run-task", uuid.uuid4().hex, job(rate=3.0)),
        message("run-task", uuid.uuid4().hex, job(instruction="x" * 129)),
        message("run-task", uuid.uuid4().hex, job() | {"input": {"text": "Hi."}}),
        message("run-task", uuid.uuid4().hex, job() | {"model": "cosyvoice-v9"}),
        message(
            "run-task",
            uuid.uuid4().hex,
            job(voice="longcheng_v2", enable_ssml=True) | {"model": "cosyvoice-v2"},
        ),
        message("run-task", uuid.uuid4().hex, {"task": "tts"}),
        "no json",
        b"sound before a task",
    ],
)
async def test_the_server_refuses_what_the_service_would(first: str | bytes):
    with dashscope() as server:
        url = server.url.replace("http", "ws") + "/api-ws/v1/inference"
        async with connect(url, additional_headers={"Authorization": f"Bearer {KEY}"}, proxy=None) as socket:
            await socket.send(first)
            answer = json.loads(await socket.recv())
            assert answer["header"]["event"] == "task-failed"
            await socket.wait_closed()


async def test_the_server_refuses_to_change_a_session_that_has_begun():
    with dashscope() as server:
        url = server.url.replace("http", "ws") + "/api-ws/v1/realtime?model=qwen3-tts-flash-realtime"
        async with connect(url, additional_headers={"Authorization": f"Bearer {KEY}"}, proxy=None) as socket:
            assert json.loads(await socket.recv())["type"] == "session.created"
            await socket.send(
                json.dumps({"type": "input_text_buffer.append", "event_id": "1", "text": "Hi."})
            )
            update = {"type": "session.update", "event_id": "2", "session": {"voice": "Ethan"}}
            await socket.send(json.dumps(update))
            answer = json.loads(await socket.recv())
            assert (answer["type"], answer["error"]["code"]) == ("error", "invalid_value")
            await socket.wait_closed()


async def test_a_session_is_cancelled_and_finished_as_documented():
    async def told(kind: str) -> dict[str, Any]:
        while (event := json.loads(await socket.recv()))["type"] != kind:
            assert event["type"] != "error"
        return dict(event)

    async def send(kind: str, **content: Any) -> None:
        await socket.send(json.dumps({"type": kind, "event_id": uuid.uuid4().hex, **content}))

    with dashscope(pause_ms=20) as server:
        url = server.url.replace("http", "ws") + "/api-ws/v1/realtime?model=qwen3-tts-flash-realtime"
        async with connect(url, additional_headers={"Authorization": f"Bearer {KEY}"}, proxy=None) as socket:
            await told("session.created")
            await send("session.update", session={"voice": "Ethan", "mode": "commit"})
            await told("session.updated")
            await send("input_text_buffer.append", text=TEXT)
            await send("input_text_buffer.commit")
            await told("response.audio.delta")
            await send("response.cancel")
            assert (await told("response.done"))["response"]["status"] == "cancelled"
            await send("session.finish")
            await told("session.finished")
            await socket.wait_closed()


async def test_a_task_is_cancelled_as_documented():
    task_id, events = uuid.uuid4().hex, []
    with dashscope() as server:
        url = server.url.replace("http", "ws") + "/api-ws/v1/inference"
        async with connect(url, additional_headers={"Authorization": f"Bearer {KEY}"}, proxy=None) as socket:
            for action, payload in (
                ("run-task", job()),
                ("finish-task", {"input": {"directive": "cancel"}}),
                ("run-task", job()),
            ):
                await socket.send(message(action, task_id, payload))
                answer = json.loads(await socket.recv())["header"]
                assert answer["task_id"] == task_id
                events.append(answer["event"])
    assert events == ["task-started", "task-finished", "task-failed"]
    assert answer["error_message"] == "task_id has been used"
