import asyncio
import gc
import sys

import aiohttp
import numpy as np
import pytest

from tests.support.edge_service import LEAD_MS, TOKEN, EdgeService, edge_service, spoken
from workers.adapters import catalogue, registry, retry
from workers.adapters.endpoint import Endpoint
from workers.adapters.errors import AdapterError
from workers.adapters.tts import edge
from workers.adapters.tts.base import PcmChunk, SpeechEvent, SpeechRequest, Timings
from workers.adapters.tts.edge import SERVICE, Edge, EdgeOptions

VOICE = "en-US-AriaNeural"
TEXT = "Fish & chips <are> nice."
LONG = f"and {'&' * 40} so " * 25
"""More than a turn holds once it is escaped, and short to say."""


@pytest.fixture(autouse=True)
def no_waiting_and_a_right_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    drm = pytest.importorskip("edge_tts.drm")
    monkeypatch.setattr(drm.DRM, "clock_skew_seconds", 0.0)
    monkeypatch.setattr(retry, "BACKOFF_SECONDS", 0.0)


def speaker(service: EdgeService, **options: object) -> Edge:
    return Edge(
        Endpoint(service.url), EdgeOptions(**{"connect_seconds": 2.0, "read_seconds": 2.0, **options})
    )


async def said(speaking: Edge, request: SpeechRequest) -> list[SpeechEvent]:
    return [event async for event in speaking.stream(request)]


def words(events: list[SpeechEvent]) -> list[tuple[str, int, int]]:
    found = [word for event in events if isinstance(event, Timings) for word in event.words]
    return [(word.text, word.start_ms, word.end_ms) for word in found]


async def failed(service: EdgeService, request: SpeechRequest, **options: object) -> AdapterError:
    with pytest.raises(AdapterError) as caught:
        await said(speaker(service, **options), request)
    assert request.text not in str(caught.value)
    return caught.value


async def test_a_text_is_said_as_it_stands_whatever_is_in_it():
    with edge_service() as service:
        events = await said(speaker(service), SpeechRequest(TEXT, VOICE, "en-US"))
        await said(speaker(service), SpeechRequest("a\0b\x0bc \ud800 \U0001f600 ]]>", VOICE, "en-US"))
    assert service.requests[0]["text"] == TEXT
    assert "<are>" in [text for text, _, _ in words(events)]
    assert service.requests[1]["text"] == "ab c  \U0001f600 ]]>"


async def test_words_stand_where_they_are_heard():
    with edge_service() as service:
        events = await said(speaker(service), SpeechRequest("One two three.", VOICE, "en-US"))
    assert words(events) == list(spoken("One two three.").words)
    assert words(events)[0][1] == LEAD_MS


async def test_sound_begins_where_the_first_word_does():
    with edge_service() as service:
        events = await said(speaker(service), SpeechRequest("Mama.", VOICE, "en-US"))
    pcm = b"".join(event.pcm for event in events if isinstance(event, PcmChunk))
    loud = np.flatnonzero(np.abs(np.frombuffer(pcm, "<i2").astype(float)) > 300)
    assert loud[0] / 24 == pytest.approx(words(events)[0][1], abs=15)
    assert loud[-1] / 24 == pytest.approx(words(events)[0][2], abs=15)


@pytest.mark.parametrize(
    ("speed", "rate"), [(1.0, "+0%"), (1.25, "+25%"), (0.9, "-10%"), (9.0, "+100%"), (0.1, "-50%")]
)
async def test_the_speed_is_asked_for_in_percent(speed, rate):
    with edge_service() as service:
        await said(
            speaker(service, volume="-10%", pitch="+5Hz"), SpeechRequest("Yes.", VOICE, "en-US", speed)
        )
    asked = service.requests[0]
    assert (asked["rate"], asked["volume"], asked["pitch"]) == (rate, "-10%", "+5Hz")
    assert asked["words"] is True


async def test_a_text_too_long_for_one_turn_is_said_in_several():
    with edge_service() as service:
        events = await said(speaker(service, read_seconds=10.0), SpeechRequest(LONG, VOICE, "en-US"))
    assert len(service.requests) == 2
    assert " ".join(asked["text"] for asked in service.requests).split() == LONG.split()
    starts = [start for _, start, _ in words(events)]
    assert starts == sorted(starts)
    pcm = sum(len(event.pcm) for event in events if isinstance(event, PcmChunk))
    assert 0 < pcm / 48 - starts[-1] < 1500, "the last word is said at the end"


async def test_a_part_that_breaks_off_is_noticed_though_the_next_is_said():
    with edge_service() as service:
        service.misbehave("cut")
        error = await failed(service, SpeechRequest(LONG, VOICE, "en-US"), read_seconds=10.0)
        assert len(service.requests) == 1
    assert error.code == "provider_truncated"


async def test_a_clock_that_is_wrong_is_set_right():
    with edge_service(skew_seconds=7200) as service:
        events = await said(speaker(service), SpeechRequest("Yes.", VOICE, "en-US"))
        await said(speaker(service), SpeechRequest("No.", VOICE, "en-US"))
    assert events
    assert service.refused == ["rolling token"], "only the first time"


async def test_a_service_that_hides_its_clock_does_not_let_us_in():
    with edge_service(skew_seconds=7200, dated=False) as service:
        error = await failed(service, SpeechRequest("Yes.", VOICE, "en-US"))
    assert (error.code, error.retryable) == ("provider_unauthorized", False)


async def test_being_refused_twice_is_for_good():
    with edge_service() as service:
        service.misbehave("403", "403", "403", "403")
        error = await failed(service, SpeechRequest("Yes.", VOICE, "en-US"))
    assert (error.code, error.retryable) == ("provider_unauthorized", False)
    assert len(service.refused) == 2


@pytest.mark.parametrize("voice", ["xx", "en-US-Aria", "<en-US-AriaNeural>", "en-US-A'/>Neural", ""])
async def test_what_is_no_voice_is_not_asked_for(voice):
    with edge_service() as service:
        error = await failed(service, SpeechRequest("Yes.", voice, "en-US"))
    assert (error.code, error.retryable) == ("voice_not_found", False)
    assert service.opened == 0


@pytest.mark.parametrize("voice", ["iu-Latn-CA-SiqiniqNeural", "zh-CN-liaoning-XiaobeiNeural"])
async def test_voices_of_scripts_and_dialects_speak(voice):
    with edge_service() as service:
        assert await said(speaker(service), SpeechRequest("Yes.", voice, ""))
    assert service.requests[0]["voice"] == voice


async def test_a_voice_that_the_service_does_not_have_says_nothing():
    with edge_service() as service:
        error = await failed(service, SpeechRequest("Yes.", "en-US-NobodyNeural", "en-US"))
    assert error.code == "no_audio"


async def test_nothing_is_not_asked_for():
    with edge_service() as service:
        error = await failed(service, SpeechRequest(" \0 ", VOICE, "en-US"))
    assert (error.code, error.retryable, service.opened) == ("no_audio", False, 0)


async def test_nobody_there_is_unreachable():
    with edge_service() as service:
        pass
    error = await failed(service, SpeechRequest("Yes.", VOICE, "en-US"))
    assert (error.code, error.retryable) == ("provider_unreachable", True)


@pytest.mark.parametrize("when", ["first", "middle"])
async def test_leaving_clears_up_at_once_and_not_when_it_is_collected(when):
    """The library's inner generator would hold its session until the garbage collector comes."""
    gc.disable()
    before = asyncio.all_tasks()
    try:
        with edge_service() as service:
            service.misbehave("stall")
            events = speaker(service, read_seconds=30.0).stream(
                SpeechRequest("Yes, and no, and maybe.", VOICE, "en-US")
            )
            for _ in range(1 if when == "first" else 4):
                await anext(events)
            await events.aclose()
            assert asyncio.all_tasks() == before
            for _ in range(200):
                if not service.open_now:
                    break
                await asyncio.sleep(0.01)
            assert service.open_now == 0
    finally:
        gc.enable()


async def test_without_the_library_it_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "edge_tts", None)
    monkeypatch.setattr(edge, "installed", lambda: False)
    with edge_service() as service:
        error = await failed(service, SpeechRequest("Yes.", VOICE, "en-US"))
        with pytest.raises(AdapterError) as listing:
            await registry.lister("edge", Endpoint(service.url), {}).voices()
    assert (error.code, error.retryable) == ("provider_not_configured", False)
    assert "edge-tts" in str(error)
    assert listing.value.code == "provider_not_configured"


def test_the_library_is_asked_for_the_real_service_as_it_is():
    library = edge.module("edge_tts.communicate", SERVICE, "edge")
    assert library is sys.modules["edge_tts.communicate"]
    other = edge.module("edge_tts.communicate", "https://example.com/x/", "edge")
    assert other.WSS_URL.startswith("wss://example.com/x/edge/v1?TrustedClientToken=")
    assert library.WSS_URL.startswith("wss://speech.platform.bing.com/consumer/speech/synthesize/readaloud/")


async def test_the_service_lists_its_voices():
    with edge_service() as service:
        voices = await registry.lister("edge", Endpoint(service.url), {}).voices()
    by_id = {voice.provider_voice: voice for voice in voices}
    assert by_id["en-US-EmmaMultilingualNeural"].name == "Emma"
    dialect = by_id["zh-CN-liaoning-XiaobeiNeural"]
    assert (dialect.name, dialect.language, dialect.gender) == ("Xiaobei", "zh-CN-liaoning", "female")
    assert by_id["en-US-GuyNeural"].gender == "male"


@pytest.mark.parametrize(
    ("way", "code"), [("garbage", "provider_error"), ("500", "provider_error"), ("429", "provider_busy")]
)
async def test_a_list_that_cannot_be_had_is_an_error(way, code):
    with edge_service(ways=[way]) as service, pytest.raises(AdapterError) as caught:
        await registry.lister("edge", Endpoint(service.url), {}).voices()
    assert caught.value.code == code


async def test_a_list_behind_a_wrong_clock_is_read_too():
    with edge_service(skew_seconds=-7200) as service:
        assert await registry.lister("edge", Endpoint(service.url), {}).voices()


def test_nobody_speaks_through_it_unasked():
    """No key is needed, so a default address would send text to a stranger on every installation."""
    assert catalogue.providers()["edge"].base_url == ""


@pytest.mark.parametrize("options", [{"rate": "+5%"}, {"volume": "loud"}, {"pitch": "5"}])
def test_a_mistake_in_the_file_is_found_at_once(options):
    with pytest.raises(TypeError):
        registry.synthesizer("edge", Endpoint(""), options)


async def test_the_fake_lets_nobody_in_without_token_and_headers():
    """So that what passes here is what the service is asked in truth."""
    with edge_service() as service:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await session.ws_connect(f"{service.url}/edge/v1?TrustedClientToken=x")
    assert (caught.value.status, service.refused) == (403, ["client token"])


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        ("good morning", "no headers"),
        ("X-Timestamp:now\r\nPath:ssml\r\n\r\n<speak/>", "speech.config comes first"),
    ],
)
async def test_the_fake_wants_things_in_their_order(first, reason):
    library = edge.module("edge_tts.communicate", "http://127.0.0.1:1", "edge")
    with edge_service() as service:
        url = f"{service.url}/edge/v1?TrustedClientToken={TOKEN}&ConnectionId={'0' * 32}"
        url += f"&Sec-MS-GEC={library.DRM.generate_sec_ms_gec()}&Sec-MS-GEC-Version=1-143.0.3650.75"
        headers = library.DRM.headers_with_muid(library.WSS_HEADERS)
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(url, headers=headers) as socket,
        ):
            await socket.send_str(first)
            assert (await socket.receive()).data == 1007
    assert service.refused == [reason]
