import json

import httpx
import numpy as np
import pytest

from tests.support.elevenlabs import KEY, VOICE, ElevenLabsService, elevenlabs, spoken
from workers.adapters import registry, retry, sockets
from workers.adapters.elevenlabs import named_in, names, refused
from workers.adapters.endpoint import Endpoint
from workers.adapters.errors import AdapterError
from workers.adapters.tts.base import PcmChunk, SpeechEvent, SpeechRequest, Timings
from workers.adapters.tts.elevenlabs import ElevenLabs, ElevenLabsOptions
from workers.adapters.tts.elevenlabs_take import Take, milliseconds, seconds

TEXT = "Marmalade umbrellas never whistle, so they say."
HELLO = SpeechRequest(TEXT, VOICE, "en-GB")
TRANSPORTS = ["http", "websocket"]


@pytest.fixture(autouse=True)
def no_waiting_between_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BACKOFF_SECONDS", 0.0)


def speaker(service: ElevenLabsService, key: str = KEY, **options: object) -> ElevenLabs:
    given = ElevenLabsOptions(**{"connect_seconds": 2.0, "read_seconds": 2.0, **options})
    return ElevenLabs(Endpoint(service.url, key), given)


async def said(speaking: ElevenLabs, request: SpeechRequest = HELLO) -> list[SpeechEvent]:
    return [event async for event in speaking.stream(request)]


async def failed(speaking: ElevenLabs, request: SpeechRequest = HELLO) -> AdapterError:
    with pytest.raises(AdapterError) as caught:
        await said(speaking, request)
    assert request.text not in str(caught.value)
    assert KEY not in str(caught.value)
    return caught.value


def words(events: list[SpeechEvent]) -> list[tuple[str, int, int]]:
    found = [word for event in events if isinstance(event, Timings) for word in event.words]
    return [(word.text, word.start_ms, word.end_ms) for word in found]


def expected_words(text: str) -> list[tuple[str, int, int]]:
    found: list[tuple[str, int, int]] = []
    fresh = True
    for character, start, end in spoken(text).marks:
        if character.isspace():
            fresh = True
        elif fresh:
            found.append((character, start, end))
            fresh = False
        else:
            found[-1] = (found[-1][0] + character, found[-1][1], end)
    return found


def _alignment(characters: str, starts: list[float], ends: list[float]) -> dict[str, object]:
    return {
        "characters": list(characters),
        "character_start_times_seconds": starts,
        "character_end_times_seconds": ends,
    }


@pytest.mark.parametrize("absolute", [True, False], ids=["from the first sample", "from each piece's own"])
async def test_words_over_http_stand_where_they_are_heard(absolute):
    """The service is documented neither way, and both are understood."""
    with elevenlabs(absolute=absolute) as service:
        heard = words(await said(speaker(service)))
    wanted = expected_words(TEXT)
    assert [text for text, _, _ in heard] == [text for text, _, _ in wanted]
    for (_, *one), (_, *other) in zip(heard, wanted, strict=True):
        assert np.abs(np.array(one) - other).max() <= 2


async def test_words_over_the_socket_count_from_the_sound_they_came_with():
    with elevenlabs() as service:
        heard = words(await said(speaker(service, transport="websocket")))
    wanted = expected_words(TEXT)
    assert [text for text, _, _ in heard] == [text for text, _, _ in wanted]
    for (_, *one), (_, *other) in zip(heard, wanted, strict=True):
        assert np.abs(np.array(one) - other).max() <= 2


def test_times_that_begin_again_count_from_their_own_sound():
    take = Take("pcm_8000", "test")
    take.feed(bytes(16_000))
    one = take.times(seconds(_alignment("ab ", [0.0, 0.5, 0.9], [0.5, 0.9, 1.0])))
    take.feed(bytes(16_000))
    other = take.times(seconds(_alignment("cd ", [0.0, 0.5, 0.9], [0.5, 0.9, 1.0])))
    take.feed(bytes(16_000))
    last = take.times(seconds(_alignment("ef ", [2.0, 2.5, 2.9], [2.5, 2.9, 3.0])))
    assert [(w.text, w.start_ms) for t in (one, other, last) if t for w in t.words] == [
        ("ab", 0),
        ("cd", 1000),
        ("ef", 2000),
    ]


async def test_over_http_only_what_is_set_is_asked_for():
    with elevenlabs() as service:
        await said(speaker(service))
        await said(
            speaker(service, voice_settings={"stability": 0.4, "speed": 1.1}, seed=7, enable_logging=False),
            SpeechRequest(TEXT, VOICE, "de-DE", speed=0.9),
        )
    first, second = service.requests
    assert first["output_format"] == "pcm_24000"
    assert first["language_code"] == "en"
    assert "voice_settings" not in first
    assert second["voice_settings"] == {"stability": 0.4, "speed": 0.99}
    assert (second["seed"], second["language_code"]) == (7, "de")


@pytest.mark.parametrize(("speed", "asked"), [(3.0, 1.2), (0.2, 0.7)])
async def test_a_speed_beyond_what_it_speaks_is_the_nearest(speed, asked):
    with elevenlabs() as service:
        await said(speaker(service), SpeechRequest(TEXT, VOICE, "en", speed=speed))
    assert service.requests[0]["voice_settings"] == {"speed": asked}


@pytest.mark.parametrize(
    ("model", "when", "sent"),
    [
        ("eleven_multilingual_v2", "auto", False),
        ("eleven_turbo_v2_5", "auto", True),
        ("eleven_v3", "auto", True),
        ("eleven_flash_v2_5", "never", False),
    ],
)
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_language_is_told_to_models_that_take_it(model, when, sent, transport):
    with elevenlabs() as service:
        await said(speaker(service, model=model, language_code=when, transport=transport))
    assert ("language_code" in service.requests[0]) is sent


async def test_the_socket_gets_its_settings_its_text_and_an_end():
    options = {"transport": "websocket", "voice_settings": {"stability": 0.5}}
    with elevenlabs() as service:
        await said(speaker(service, **options))
        await said(speaker(service, auto_mode=False, chunk_length_schedule=[50, 120], **options))
    one, other = service.requests
    assert one["first"] == {"text": " ", "voice_settings": {"stability": 0.5}}
    assert one["messages"] == [{"text": f"{TEXT} ", "flush": True}, {"text": ""}]
    assert (one["auto_mode"], one["sync_alignment"], one["inactivity_timeout"]) == ("true", "true", "20")
    assert "auto_mode" not in other
    assert other["first"]["generation_config"] == {"chunk_length_schedule": [50, 120]}


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_key_travels_in_its_own_header_and_nowhere_else(transport):
    with elevenlabs() as service:
        await said(speaker(service, transport=transport))
    asked = service.requests[0]
    headers = {name.lower(): value for name, value in asked.pop("headers").items()}
    assert headers["xi-api-key"] == KEY
    assert "authorization" not in headers
    assert KEY not in str(asked)
    assert KEY not in repr(speaker(service)._account)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_wrong_key_is_for_good(transport):
    with elevenlabs() as service:
        error = await failed(speaker(service, key="wrong", transport=transport))
    assert (error.code, error.retryable) == ("provider_unauthorized", False)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_voice_that_is_not_there_is_named_so(transport):
    with elevenlabs() as service:
        error = await failed(speaker(service, transport=transport), SpeechRequest(TEXT, "no/such?x", "en"))
    assert (error.code, error.retryable) == ("voice_not_found", False)


@pytest.mark.parametrize(
    ("way", "code", "retryable"),
    [
        ("401 quota_exceeded", "provider_quota", False),
        ("401 typed", "provider_unauthorized", False),
        ("429 system_busy", "provider_busy", True),
        ("429 text", "provider_busy", True),
        ("400 text", "provider_rejected", False),
        ("422 fields", "provider_rejected", False),
        ("400 voice_does_not_exist", "voice_not_found", False),
        ("400 max_character_limit_exceeded", "provider_too_large", False),
        ("403 content_against_policy", "provider_refused", False),
        ("500 text", "provider_error", True),
    ],
)
async def test_a_refusal_is_understood_in_every_shape(way, code, retryable):
    with elevenlabs() as service:
        service.misbehave(way, way, way)
        error = await failed(speaker(service))
    assert (error.code, error.retryable) == (code, retryable)


@pytest.mark.parametrize(
    ("way", "code", "retryable"),
    [
        ("upgrade 403", "provider_unauthorized", False),
        ("upgrade 429", "provider_busy", True),
        ("upgrade 503", "provider_error", True),
        ("401 reason", "provider_unauthorized", False),
        ("401 quota_exceeded", "provider_quota", False),
        ("429 system_busy", "provider_busy", True),
        ("408 input_timeout_exceeded", "provider_timeout", True),
    ],
)
async def test_a_refusal_over_the_socket_is_understood(way, code, retryable):
    with elevenlabs() as service:
        service.misbehave(way, way, way)
        error = await failed(speaker(service, transport="websocket"))
    assert (error.code, error.retryable) == (code, retryable)


def test_names_are_found_wherever_they_stand():
    assert names({"detail": "Invalid API key, invalid_api_key"}) == {"invalid_api_key"}
    assert "voice_id" in names({"detail": [{"loc": ["path", "voice_id"], "msg": "x"}]})
    assert names(["nothing"]) == names(None) == names({"detail": 7}) == set()
    assert named_in("1008 (quota exceeded)") == {"quota_exceeded"}


@pytest.mark.parametrize("body", [b"", b"no", b"[]", b'{"detail": [7, {"loc": null}]}', b'{"detail": null}'])
def test_a_refusal_that_says_nothing_is_told_by_its_status(body):
    assert refused("test", 401, body).code == "provider_unauthorized"
    assert refused("test", 503, body).retryable
    assert not refused("test", 418, body).retryable
    assert refused("test", 429, body, "3").retry_after == 3.0


@pytest.mark.parametrize(
    "line",
    [
        b"[1]",
        b'{"audio_base64": "%%%"}',
        b'{"audio_base64": 7}',
        b'{"audio_base64": "AAAA", "alignment": {"characters": ["a"]}}',
        b'{"audio_base64": "AAAA", "alignment": 7}',
        json.dumps({"audio_base64": "AAAA", "alignment": _alignment("a", [], [])}).encode(),
    ],
)
async def test_what_makes_no_sense_is_an_error_and_no_other_exception(line, monkeypatch):
    async def lines(*_: object):
        yield line

    monkeypatch.setattr("workers.adapters.tts.elevenlabs._lines", lines)
    with elevenlabs() as service:
        error = await failed(speaker(service))
    assert (error.code, error.retryable) == ("provider_error", False)


def test_lists_of_different_lengths_make_no_sense():
    with pytest.raises(ValueError, match="zip"):
        milliseconds({"chars": ["a"], "charStartTimesMs": [1], "charDurationsMs": []})


async def test_half_a_sample_at_the_end_is_a_broken_answer():
    take = Take("pcm_16000", "test")
    take.feed(b"abc")
    with pytest.raises(AdapterError) as caught:
        take.finish()
    assert caught.value.code == "provider_truncated"


async def test_a_whole_answer_over_mp3_keeps_its_level():
    with elevenlabs() as service:
        events = await said(speaker(service, output_format="mp3_44100_128"))
        sent = np.frombuffer(service.sound, "<i2").astype(float)
    heard = np.frombuffer(b"".join(e.pcm for e in events if isinstance(e, PcmChunk)), "<i2").astype(float)
    assert abs(10 * np.log10(np.mean(heard**2) / np.mean(sent**2))) < 0.7


@pytest.mark.parametrize(
    "options",
    [
        {"transport": "pigeon"},
        {"output_format": "ulaw_8000"},
        {"output_format": "pcm_x"},
        {"language_code": True},
        {"stability": 1},
    ],
)
def test_a_mistake_in_the_file_is_found_at_once(options):
    with pytest.raises(TypeError):
        registry.synthesizer("elevenlabs", Endpoint("http://127.0.0.1:1"), options)


# Voices


async def test_all_pages_of_voices_are_read():
    with elevenlabs() as service:
        voices = await registry.lister("elevenlabs", Endpoint(service.url, KEY), {}).voices()
    by_name = {voice.name: voice for voice in voices}
    assert len(voices) == 6
    rachel = by_name["Rachel"]
    assert (rachel.provider_voice, rachel.language, rachel.gender) == (VOICE, "en-US", "female")
    assert rachel.preview_url.startswith("https://")
    assert by_name["Daniel"].language == "en-GB"
    assert by_name["Grete"].language == "de"
    assert (by_name["plain"].gender, by_name["plain"].language, by_name["plain"].preview_url) == (
        "neutral",
        "",
        "",
    )


@pytest.mark.parametrize(
    ("way", "code"),
    [
        ("garbage", "provider_error"),
        ("429", "provider_busy"),
        ("401 missing_permissions", "provider_unauthorized"),
    ],
)
async def test_a_list_that_cannot_be_had_is_an_error(way, code):
    with elevenlabs(ways=[way]) as service, pytest.raises(AdapterError) as caught:
        await registry.lister("elevenlabs", Endpoint(service.url, KEY), {}).voices()
    assert caught.value.code == code


# The fake: what passes here is what the service is asked in truth


@pytest.mark.parametrize(
    "changed",
    [
        {"text": " "},
        {"model_id": "eleven_nothing"},
        {"language_code": "en-US"},
        {"voice_settings": {"stability": 2}},
        {"voice_settings": {"loudness": 1}},
        {"speed": 1},
    ],
)
async def test_the_fake_refuses_what_the_service_would(changed):
    asked = {"text": TEXT, "model_id": "eleven_flash_v2_5", **changed}
    with elevenlabs() as service:
        async with httpx.AsyncClient(base_url=service.url, headers={"xi-api-key": KEY}) as client:
            answer = await client.post(f"/v1/text-to-speech/{VOICE}/stream", json=asked)
            paid = await client.post(
                f"/v1/text-to-speech/{VOICE}/stream?output_format=pcm_44100",
                json={"text": TEXT, "model_id": "eleven_flash_v2_5"},
            )
    assert 400 <= answer.status_code < 500
    assert paid.status_code == 403
    assert not service.requests


@pytest.mark.parametrize(
    "messages",
    [
        [{"text": "Hello "}],
        [{"text": " "}, {"text": "no space behind"}],
        [{"text": " ", "xi_api_key": KEY}],
        [{"text": " "}, {"flush": True}],
    ],
)
async def test_the_fakes_socket_refuses_what_the_service_would(messages):
    with elevenlabs() as service:
        url = f"{service.url.replace('http', 'ws')}/v1/text-to-speech/{VOICE}/stream-input"
        async with sockets.lease(
            f"{url}?model_id=eleven_flash_v2_5", {"xi-api-key": KEY}, open_seconds=2.0
        ) as socket:
            for message in messages:
                await socket.send(json.dumps(message))
            assert json.loads(await socket.receive(2.0))["error"]
