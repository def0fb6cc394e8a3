"""The stub that latencies are measured against keeps to its own delays."""

import time

import httpx
import numpy as np
import pytest

from project.bench import provider_stub as provider
from project.bench.babble import babble
from project.bench.provider_stub import REPLY, VOICE_IDS, Settings, Stub, provider_stub
from sessions.pipeline.vad import CHUNK_SAMPLES, VoiceDetector
from workers.adapters.endpoint import Deadlines, Endpoint
from workers.adapters.errors import AdapterError
from workers.adapters.stt.openai_compatible import HearingDialect
from workers.adapters.stt.openai_compatible import OpenAICompatible as Recognizer
from workers.adapters.tts.base import PcmChunk, SpeechRequest, Timings
from workers.adapters.tts.openai_compatible import OpenAICompatible as Synthesizer
from workers.adapters.tts.openai_compatible import SpeechDialect
from workers.speech.resample import resampled
from workers.speech.voices import list_voices


@pytest.fixture
def stub():
    with provider_stub() as running:
        yield running


def voice(stub: Stub) -> Synthesizer:
    return Synthesizer(
        Endpoint(stub.url + "/v1", "any"),
        SpeechDialect(events=True, deadlines=Deadlines(connect=1, read=0.5)),
    )


SENTENCE = SpeechRequest("Certainly, I can help you with that.", "en-heart", "en-US")


def test_the_delays_of_the_benchmarks_are_the_defaults():
    settings = Settings()
    assert (settings.first_token_ms, settings.token_ms, settings.first_byte_ms) == (150.0, 20.0, 100.0)
    assert REPLY.split(" ")[0] == "Certainly,"


def test_tokens_come_when_they_should_and_never_sooner(stub):
    begun, times = time.monotonic(), []
    body = {"model": "m", "stream": True, "messages": []}
    with httpx.stream("POST", stub.url + "/v1/chat/completions", json=body) as response:
        for line in response.iter_lines():
            times += [(time.monotonic() - begun) * 1000] if '"content": "' in line else []
    times = times[1:]  # the first one names the role
    assert len(times) == len(REPLY.split(" "))
    assert all(at >= 150 + 20 * number for number, at in enumerate(times))


def test_speech_comes_with_its_times(stub):
    events = list(voice(stub).synthesize(SENTENCE))
    pcm = b"".join(event.pcm for event in events if isinstance(event, PcmChunk))
    timings = [event for event in events if isinstance(event, Timings)]
    words = [word for timing in timings for word in timing.words]
    assert " ".join(word.text for word in words) == SENTENCE.text
    assert len(pcm) / 48 >= words[-1].end_ms
    assert all(phone.end_ms > phone.start_ms for timing in timings for phone in timing.phones)
    (asked,) = stub.state.of("speech")
    assert asked.first_at is not None
    assert asked.first_at - asked.at >= 0.1


def test_what_it_says_sounds_like_a_voice():
    sound = np.frombuffer(babble(REPLY).pcm, np.int16)
    loud = sound[np.abs(sound) > 200].astype(float)
    assert -24 < 20 * np.log10(np.sqrt(np.mean(loud**2)) / 32768) < -14
    heard = np.frombuffer(resampled(babble(REPLY).pcm, 24_000, 16_000), np.int16)
    odds = VoiceDetector().hear(heard[: heard.size // CHUNK_SAMPLES * CHUNK_SAMPLES])
    assert np.mean(np.array(odds) > 0.5) > 0.5


def test_every_voice_of_this_machine_is_there(stub):
    assert {voice.provider_voice for voice in list_voices()} <= set(VOICE_IDS)
    assert httpx.get(stub.url + "/health").json()["status"] == "ok"
    listed = httpx.get(stub.url + "/v1/audio/voices").json()["data"]
    assert {voice["id"] for voice in listed} == set(VOICE_IDS)


def test_transcripts_come_in_their_order(stub):
    stub.settings.transcripts = ["first", "second"]
    ears = Recognizer(Endpoint(stub.url + "/v1", "any"), HearingDialect())
    told = [ears.recognize(b"RIFF" + bytes(32_040)).text for _ in range(3)]
    assert told == ["first", "second", stub.settings.transcript]


def test_it_is_told_while_it_runs(stub):
    control = stub.url + "/control"
    assert httpx.post(control, json={"reply": "No.", "first_token_ms": 0}).status_code == 200
    assert httpx.post(control, json={"reply_text": "No."}).status_code == 400
    body = {"stream": False, "messages": []}
    answer = httpx.post(stub.url + "/v1/chat/completions", json=body).json()
    assert answer["choices"][0]["message"]["content"] == "No."
    assert [asked["kind"] for asked in httpx.get(control).json()["asked"]] == ["chat"]
    assert httpx.post(control, json={"reset": True}).json()["reply"] == REPLY


def models_asked(stub: Stub, times: int) -> None:
    with httpx.Client(base_url=stub.url) as http:
        for _ in range(times):
            http.get("/v1/models").raise_for_status()


def test_what_was_asked_is_forgotten_when_told_and_the_settings_stay(stub):
    httpx.post(stub.url + "/control", json={"reply": "No."})
    models_asked(stub, 3)
    assert httpx.post(stub.url + "/control", json={"forget": True}).json()["reply"] == "No."
    assert stub.state.asked == []
    models_asked(stub, 1)
    assert len(stub.state.asked) == 1


def test_of_very_much_the_newest_is_kept(stub, monkeypatch):
    monkeypatch.setattr(provider, "MOST_KEPT", 5)
    models_asked(stub, 17)
    times = [asked.at for asked in stub.state.asked]
    assert len(times) == 7
    assert times == sorted(times)


@pytest.mark.parametrize("behaviour", ["stall", "cut", "error", "garbage", "silent"])
def test_a_voice_that_fails_is_noticed(stub, behaviour):
    stub.settings.misbehave["speech"] = [behaviour, "always"]
    with pytest.raises(AdapterError):
        list(voice(stub).synthesize(SENTENCE))


def test_misbehaviour_ends_with_its_list(stub):
    stub.settings.misbehave["transcriptions"] = ["503", "drop"]
    ears = Recognizer(Endpoint(stub.url + "/v1", "any"), HearingDialect())
    assert ears.recognize(b"RIFF" + bytes(320)).text == stub.settings.transcript
    assert [asked.behaviour for asked in stub.state.of("transcriptions")] == ["503", "drop", ""]
