import asyncio
from collections.abc import Iterable, Iterator

import pytest

from tests.support.http_service import KEY, served
from tests.support.openai_speech import OpenAISpeech
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


# Against OpenAI's own rules


@pytest.fixture(scope="module")
def openai() -> Iterator[OpenAISpeech]:
    with served(OpenAISpeech()) as service:
        yield service


def voice_of(service: OpenAISpeech, **dialect: object) -> OpenAICompatible:
    service.requests.clear()
    options = {"model": "gpt-4o-mini-tts", "deadlines": Deadlines(connect=1.0, read=5.0), **dialect}
    return OpenAICompatible(Endpoint(service.url, KEY), SpeechDialect(**options))


def test_instructions_and_speed_are_taken(openai):
    request = SpeechRequest("hello", "alloy", "en-US", 1.2)
    list(voice_of(openai, instructions="Speak like a pirate.").synthesize(request))
    assert openai.requests[0]["instructions"] == "Speak like a pirate."
    assert openai.requests[0]["speed"] == 1.2


def test_a_long_text_is_asked_for_in_parts_that_end_with_sentences(openai):
    sentence = "This sentence is said again and again until nobody can listen any more. "
    request = SpeechRequest(sentence * 80, "alloy", "en-US")
    pcm = sound(voice_of(openai).synthesize(request))
    parts = [asked["input"] for asked in openai.requests]
    assert len(parts) == 2
    assert all(len(part) <= 4096 and part.endswith(".") for part in parts)
    assert " ".join(parts) == request.text.strip()
    assert pcm == openai.sound * 2


def test_times_of_a_second_part_go_on_from_the_first():
    with speech_server() as server:
        speech = speaker(server, events=True, most_characters=10)
        events = list(speech.synthesize(SpeechRequest("hello you. hello me.", "alloy", "en")))
    first, second = [event for event in events if isinstance(event, Timings)]
    assert second.words[0].start_ms == first.words[0].start_ms + 200


@pytest.mark.parametrize(
    ("form", "rate"), [("wav", 24_000), ("mp3", 24_000), ("opus", 48_000), ("aac", 24_000)]
)
def test_formats_of_all_kinds_are_decoded(openai, form, rate):
    events = list(voice_of(openai, response_format=form).synthesize(HELLO))
    assert {event.sample_rate for event in events if isinstance(event, PcmChunk)} == {rate}
    seconds = len(sound(events)) / 2 / rate
    assert seconds == pytest.approx(len(openai.sound) / 2 / openai.sample_rate, abs=0.06)


def test_an_answer_that_does_not_say_what_it_is_is_what_was_asked_for(openai):
    openai.misbehave("wrong-type")
    assert sound(voice_of(openai, response_format="wav").synthesize(HELLO)) == openai.sound


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (SpeechRequest("hello", "nobody", "en"), "voice_not_found"),
        (SpeechRequest("hello", "alloy", "en", 9.0), "provider_rejected"),
    ],
)
def test_what_openai_refuses_is_told_by_its_code(openai, request_, code):
    with pytest.raises(AdapterError) as caught:
        list(voice_of(openai).synthesize(request_))
    assert (caught.value.code, caught.value.retryable) == (code, False)


def test_an_error_that_calls_itself_a_success_is_no_sound(openai):
    openai.misbehave("json")
    with pytest.raises(AdapterError) as caught:
        list(voice_of(openai).synthesize(HELLO))
    assert not caught.value.retryable
    assert "hello" not in str(caught.value)


def test_fields_of_a_server_s_own_go_along():
    with speech_server() as server:
        list(speaker(server, extra={"lang_code": "a"}).synthesize(HELLO))
    assert server.requests[0]["lang_code"] == "a"


def test_an_unknown_format_is_a_mistake_in_the_file():
    with pytest.raises(ValueError, match="response_format"):
        SpeechDialect(response_format="flac")
    with pytest.raises(ValueError, match="pcm"):
        SpeechDialect(response_format="mp3", events=True)


def test_deadlines_stand_in_a_file_as_a_table():
    options = {"deadlines": {"read": 7.0}}
    made = registry.synthesizer("openai_compatible", Endpoint("http://127.0.0.1:9"), options)
    assert made._dialect.deadlines == Deadlines(read=7.0)
