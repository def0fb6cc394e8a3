import asyncio
from collections.abc import Iterable

import pytest

from tests.support.speech_server import RATE, SpeechServer, speech_server, tone
from workers.adapters import registry, retry
from workers.adapters.endpoint import Deadlines, Endpoint
from workers.adapters.errors import AdapterError
from workers.adapters.tts.base import PcmChunk, SpeechEvent, SpeechRequest, Timings
from workers.adapters.tts.openai_compatible import OpenAICompatible, SpeechDialect

HELLO = SpeechRequest("hello", "alloy", "en-US")


@pytest.fixture(autouse=True)
def no_waiting_between_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BACKOFF_SECONDS", 0.0)


def speaker(server: SpeechServer, key: str = "secret", **dialect: object) -> OpenAICompatible:
    options = {"deadlines": Deadlines(connect=1.0, read=0.3), **dialect}
    return OpenAICompatible(Endpoint(server.url, key), SpeechDialect(**options))


def sound(events: Iterable[SpeechEvent]) -> bytes:
    chunks = [event for event in events if isinstance(event, PcmChunk)]
    assert all(len(chunk.pcm) % 2 == 0 for chunk in chunks)
    return b"".join(chunk.pcm for chunk in chunks)


def test_raw_samples_arrive_as_they_were_sent():
    with speech_server() as server:
        events = list(speaker(server).synthesize(HELLO))
    assert sound(events) == tone()
    assert {event.sample_rate for event in events if isinstance(event, PcmChunk)} == {RATE}


def test_a_provider_without_a_key_is_asked_without_one():
    with speech_server() as server, pytest.raises(AdapterError) as refused:
        list(speaker(server, key="").synthesize(HELLO))
    assert refused.value.code == "provider_unauthorized", "an illegal header would not even have arrived"


def test_only_what_differs_from_the_default_is_asked_for():
    with speech_server() as server:
        list(speaker(server).synthesize(HELLO))
        list(
            speaker(server, events=True, priority=True).synthesize(SpeechRequest("a", "b", "en", 1.5, "live"))
        )
    assert "speed" not in server.requests[0]
    assert "priority" not in server.requests[0]
    assert server.requests[1]["speed"] == 1.5
    assert server.requests[1]["priority"] == "live"


@pytest.mark.parametrize(
    ("behaviour", "rate"),
    [
        ("plain audio/pcm", 24_000),
        ("plain audio/L16; rate=16000; channels=1", 16_000),
        ("plain audio/pcm;rate=x", 24_000),
    ],
)
def test_the_sample_rate_comes_from_the_content_type_or_the_provider(behaviour, rate):
    with speech_server(behaviour) as server:
        events = list(speaker(server).synthesize(HELLO))
    assert {event.sample_rate for event in events} == {rate}


def test_samples_cut_in_the_middle_on_the_wire_stay_whole():
    with speech_server("odd") as server:
        assert sound(speaker(server).synthesize(HELLO)) == tone()


@pytest.mark.parametrize(
    "behaviour", ["wav", "wav FFFFFFFF", "wav 0", "wav 7FFFFFFF", "wav FFFFFFDB", "stereo"]
)
def test_wav_is_read_whatever_length_it_claims(behaviour):
    with speech_server(behaviour) as server:
        events = list(speaker(server).synthesize(HELLO))
    assert sound(events) == tone()
    assert {event.sample_rate for event in events} == {RATE}


def test_events_bring_sound_and_timings():
    with speech_server() as server:
        events = list(speaker(server, events=True).synthesize(HELLO))
    assert sound(events) == tone()
    (timings,) = [event for event in events if isinstance(event, Timings)]
    assert (timings.phones[0].symbol, timings.phones[0].end_ms) == ("h", 60)
    assert timings.words[0].text == "hello"


@pytest.mark.parametrize("fault", ["429", "500", "503", "408", "dropped", "stall silent"])
def test_a_passing_fault_is_tried_again_while_nothing_was_delivered(fault):
    with speech_server(fault, fault) as server:
        assert sound(speaker(server).synthesize(HELLO)) == tone()
    assert len(server.requests) == 3


def test_it_gives_up_after_three_tries():
    with speech_server("500", "500", "500") as server, pytest.raises(AdapterError) as caught:
        list(speaker(server).synthesize(HELLO))
    assert caught.value.retryable
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        ("400", "provider_rejected"),
        ("403", "provider_unauthorized"),
        ("404", "provider_not_found"),
        ("404 voice_not_found", "voice_not_found"),
        ("400 invalid_voice", "voice_not_found"),
        ("429 insufficient_quota", "provider_quota"),
        ("302", "provider_error"),
        ("json", "provider_error"),
    ],
)
def test_a_lasting_fault_is_not_tried_again(behaviour, code):
    with speech_server(behaviour) as server, pytest.raises(AdapterError) as caught:
        list(speaker(server).synthesize(HELLO))
    assert (caught.value.code, caught.value.retryable) == (code, False)
    assert len(server.requests) == 1
    assert "hello" not in str(caught.value)


def test_a_wrong_key_is_not_tried_again():
    with speech_server() as server, pytest.raises(AdapterError) as caught:
        list(speaker(server, key="wrong").synthesize(HELLO))
    assert (caught.value.code, caught.value.retryable) == ("provider_unauthorized", False)


@pytest.mark.parametrize(
    ("behaviour", "options"),
    [
        ("truncated", {}),
        ("odd_end", {}),
        ("short_wav", {}),
        ("stall", {}),
        ("events unfinished", {"events": True}),
    ],
)
def test_an_answer_that_breaks_off_is_an_error_and_never_said_twice(behaviour, options):
    with speech_server(behaviour) as server:
        events: list[SpeechEvent] = []
        with pytest.raises(AdapterError) as caught:
            events.extend(speaker(server, **options).synthesize(HELLO))
    assert caught.value.retryable
    assert len(server.requests) == 1


def test_a_provider_that_gives_up_before_a_sound_was_passed_on_is_asked_again():
    with speech_server("events error") as server:
        assert sound(speaker(server, events=True).synthesize(HELLO)) == tone()
    assert len(server.requests) == 2


def test_garbled_events_are_an_error():
    with speech_server("events garbled") as server, pytest.raises(AdapterError) as caught:
        list(speaker(server, events=True).synthesize(HELLO))
    assert not caught.value.retryable


def test_closing_the_generator_hangs_up():
    with speech_server("stall") as server:
        events = speaker(server, deadlines=Deadlines(read=30.0)).synthesize(HELLO)
        next(events)
        events.close()
        assert server.gone.wait(5)


async def test_cancelling_the_stream_hangs_up():
    with speech_server("stall") as server:

        async def listen() -> None:
            async for _ in speaker(server, deadlines=Deadlines(read=30.0)).stream(HELLO):
                heard.set()

        heard = asyncio.Event()
        task = asyncio.create_task(listen())
        await heard.wait()
        task.cancel()
        await asyncio.wait([task])
        assert await asyncio.to_thread(server.gone.wait, 5)


async def test_the_stream_tries_again_as_well():
    with speech_server("503", "dropped") as server:
        assert sound([event async for event in speaker(server).stream(HELLO)]) == tone()


async def test_the_stream_reports_a_missing_voice():
    with speech_server("404 voice_not_found") as server, pytest.raises(AdapterError) as caught:
        _ = [event async for event in speaker(server).stream(HELLO)]
    assert caught.value.code == "voice_not_found"


def test_nobody_listening_is_a_retryable_error():
    with speech_server() as server:
        pass
    with pytest.raises(AdapterError) as caught:
        list(speaker(server).synthesize(HELLO))
    assert (caught.value.code, caught.value.retryable) == ("provider_unreachable", True)


def test_the_registry_makes_it_from_options_and_refuses_unknown_ones():
    made = registry.synthesizer("openai_compatible", Endpoint("http://127.0.0.1:9"), {"provider": "acme"})
    assert made.provider == "acme"
    with pytest.raises(TypeError):
        registry.synthesizer("openai_compatible", Endpoint("http://127.0.0.1:9"), {"colour": "red"})


def test_a_key_does_not_show_in_a_repr():
    assert "secret" not in repr(Endpoint("http://127.0.0.1:9", "secret"))
