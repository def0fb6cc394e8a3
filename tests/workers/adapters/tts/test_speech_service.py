import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.http_service import served
from tests.support.speech_services import SpeechServiceFake
from workers.adapters import catalogue, registry, retry
from workers.adapters.endpoint import Deadlines, Endpoint
from workers.adapters.errors import AdapterError
from workers.adapters.tts import speech_service
from workers.adapters.tts.base import PcmChunk, SpeechRequest
from workers.adapters.tts.speech_service import ServiceDialect, SpeechService, shortest_seconds
from workers.adapters.tts.voice_assets import VoiceAssets

HELLO = SpeechRequest("Marmalade umbrellas never whistle.", "narrator", "en-US")
FILES = {
    "cosyvoice-local": "cosyvoice",
    "qwen3-tts-local": "qwen3-tts",
    "f5-tts-local": "f5-tts",
    "indextts-local": "indextts",
    "omnirt-indextts": "omnirt",
}


@pytest.fixture(autouse=True)
def no_waiting_between_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BACKOFF_SECONDS", 0.0)


@contextmanager
def service(kind: str = "cosyvoice", assets: Path | None = None) -> Iterator[SpeechServiceFake]:
    with served(SpeechServiceFake(kind, assets=assets)) as made:
        yield made


def voice_of(fake: SpeechServiceFake, **dialect: object) -> SpeechService:
    options = {"deadlines": Deadlines(connect=1.0, read=0.5), "queue_seconds": 5.0, **dialect}
    return SpeechService(Endpoint(fake.url), ServiceDialect(**options))


def sound(speaker: SpeechService, request: SpeechRequest = HELLO) -> bytes:
    return b"".join(event.pcm for event in speaker.synthesize(request) if isinstance(event, PcmChunk))


@pytest.mark.parametrize(("provider", "kind"), FILES.items())
def test_what_each_provider_s_file_asks_for_is_what_its_service_takes(provider, kind):
    """The fakes refuse fields that the real services do not know."""
    options = dict(catalogue.providers()[provider].synthesis)
    with service(kind) as fake:
        adapter = options.pop("adapter")
        speaker = registry.synthesizer(adapter, Endpoint(fake.url), {"provider": provider, **options})
        pcm = b"".join(e.pcm for e in speaker.synthesize(HELLO) if isinstance(e, PcmChunk))
        assert pcm == fake.sound
        asyncio.run(speaker.check())


def test_options_of_a_model_go_along():
    with service("indextts") as fake:
        emotion = (0.2, 0.0, 0.0, 0.0, 0.0, 0.0, 0.3, 0.4)
        sound(voice_of(fake, sample_rate=22_050, emotion=emotion, tuning={"top_p": 0.8}))
        (asked,) = fake.requests
    assert (asked["sample_rate"], asked["top_p"], asked["emo_alpha"]) == (22_050, 0.8, 0.6)
    assert asked["emo_vector"] == list(emotion)


@pytest.mark.parametrize("emotion", [(1.0,), (0.5,) * 8])
def test_an_emotion_beyond_the_model_s_limits_is_a_mistake_in_the_file(emotion):
    with pytest.raises(ValueError, match="emotion"):
        ServiceDialect(emotion=emotion)


def test_an_unknown_mode_is_a_mistake_in_the_file():
    with pytest.raises(ValueError, match="mode"):
        registry.synthesizer("speech_service", Endpoint("http://127.0.0.1:9"), {"mode": "sing"})


def test_a_model_may_have_a_service_of_its_own():
    with service() as first, service() as second:
        urls = {"large": second.url}
        sound(voice_of(first, model="large", urls=urls))
        sound(voice_of(first, model="small", urls=urls))
        assert [asked["model"] for asked in second.requests] == ["large"]
        assert [asked["model"] for asked in first.requests] == ["small"]


def test_the_default_voice_is_the_service_s_own():
    with service() as fake:
        sound(voice_of(fake, speaker_field="zero_shot_spk_id"), SpeechRequest("Hello.", "default", "en"))
        sound(voice_of(fake, speaker_field="zero_shot_spk_id"), SpeechRequest("Hello.", "guide", "en"))
    assert "voice" not in fake.requests[0]
    assert "zero_shot_spk_id" not in fake.requests[0]
    assert fake.requests[1]["zero_shot_spk_id"] == "guide"


def test_a_copied_voice_is_spoken_after_its_prompt(tmp_path):
    VoiceAssets(tmp_path).add("clone_1", audio=b"RIFF", text="", meta={})
    VoiceAssets(tmp_path).add("clone_2", audio=b"RIFF", text="What was said.", meta={})
    with service(assets=tmp_path) as fake:
        speaker = voice_of(fake, assets=str(tmp_path), mode="zero_shot")
        sound(speaker, SpeechRequest("Hello.", "clone_1", "en"))
        sound(speaker, SpeechRequest("Hello.", "clone_2", "en"))
        one, two = fake.requests
    assert one["prompt_audio"] == f"{tmp_path}/voices/clones/clone_1/prompt.wav"
    assert (one["mode"], "prompt_text" in one) == ("cross_lingual", False)
    assert (two["mode"], two["prompt_text"]) == ("zero_shot", "What was said.")


@pytest.mark.parametrize("voice", ["../../etc/passwd", "/etc/passwd", "a/b", "..", "clone_1\0"])
def test_a_path_is_no_voice(tmp_path, voice):
    (tmp_path / "voices" / "clones").mkdir(parents=True)
    with service(assets=tmp_path) as fake, pytest.raises(AdapterError) as caught:
        sound(voice_of(fake, assets=str(tmp_path)), SpeechRequest("Hello.", voice, "en"))
    assert caught.value.code == "voice_not_found"
    assert not fake.requests


async def test_a_service_without_a_model_is_busy_although_it_calls_itself_well():
    with service() as fake:
        fake.loaded = False
        with pytest.raises(AdapterError) as caught:
            await voice_of(fake).check()
        assert (caught.value.code, caught.value.retryable) == ("provider_busy", True)
        fake.loaded = True
        await voice_of(fake).check()


@pytest.mark.parametrize(
    ("told", "fine"),
    [
        ({"status": "ok"}, True),
        ({"status": "running", "models": ["indextts"]}, True),
        ({"status": "ok", "loaded": []}, False),
        ({"status": "ok", "loaded": ["base"]}, True),
        ({"status": "ok", "ready": False}, False),
        ({"status": "Disabled", "loaded": True}, False),
    ],
)
def test_what_services_say_of_themselves(told, fine):
    assert speech_service._loaded(told) == fine


async def test_who_waits_for_a_turn_is_given_more_time_than_a_silence_within():
    """Another client holds the model for longer than `deadlines.read`."""
    with service() as fake:
        fake.misbehave("stall")
        patient = voice_of(fake, deadlines=Deadlines(connect=1.0, read=0.2))
        first = voice_of(fake, deadlines=Deadlines(connect=1.0, read=0.6)).stream(HELLO)
        await anext(first)
        second = asyncio.create_task(anext(patient.stream(HELLO)))
        with pytest.raises(AdapterError) as caught:
            async for _ in first:
                pass
        assert caught.value.code == "provider_timeout"
        assert isinstance(await second, PcmChunk)


async def test_leaving_gives_the_model_to_the_next():
    with service() as fake:
        fake.misbehave("stall")
        first = voice_of(fake, deadlines=Deadlines(connect=1.0, read=30.0)).stream(HELLO)
        await anext(first)
        await first.aclose()
        pcm = b"".join([e.pcm async for e in voice_of(fake).stream(HELLO) if isinstance(e, PcmChunk)])
        assert pcm == fake.sound


async def test_a_queue_that_does_not_move_is_left():
    with service() as fake:
        fake.misbehave("stall")
        first = voice_of(fake, deadlines=Deadlines(connect=1.0, read=30.0)).stream(HELLO)
        await anext(first)
        waiting = voice_of(fake, deadlines=Deadlines(connect=1.0, read=0.1), queue_seconds=0.2)
        with pytest.raises(AdapterError) as caught:
            await anext(waiting.stream(HELLO))
        assert caught.value.code == "provider_timeout"
        await first.aclose()


def test_a_body_that_ends_too_early_without_a_sign_is_found_by_its_length():
    long = SpeechRequest(
        "These are so many words that nobody could say them so fast, however they try.", "guide", "en"
    )
    with service() as fake:
        fake.misbehave("quiet-cut")
        with pytest.raises(AdapterError) as caught:
            sound(voice_of(fake), long)
        assert caught.value.code == "provider_truncated"
        assert len(fake.requests) == 1


@pytest.mark.parametrize(
    ("text", "speed", "low", "high"),
    [
        ("Hi.", 1.0, 0.0, 0.0),
        ("你好", 1.0, 0.0, 0.0),
        ("The quick brown fox jumps over the lazy dog, and runs away.", 1.0, 0.6, 1.2),
        ("The quick brown fox jumps over the lazy dog, and runs away.", 2.0, 0.3, 0.6),
        ("今天天气很好我们一起去公园散步吧", 1.0, 0.6, 1.5),
        ("... --- ... !!! ???" * 20, 1.0, 0.0, 0.0),
    ],
)
def test_how_short_speech_may_be(text, speed, low, high):
    assert low <= shortest_seconds(text, speed) <= high


def test_no_audio_from_the_model_is_a_fault_that_may_pass():
    with service() as fake:
        fake.misbehave("empty")
        assert sound(voice_of(fake)) == fake.sound


def test_an_error_that_calls_itself_a_success_is_no_sound():
    with service() as fake:
        fake.misbehave("json")
        with pytest.raises(AdapterError) as caught:
            sound(voice_of(fake))
    assert not caught.value.retryable
