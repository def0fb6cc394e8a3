from collections.abc import Iterator

import pytest

from tests.support.http_service import KEY, served
from tests.support.mimo import Mimo
from workers.adapters import registry, retry
from workers.adapters.endpoint import Deadlines, Endpoint
from workers.adapters.errors import AdapterError
from workers.adapters.tts.base import PcmChunk, SpeechRequest
from workers.adapters.tts.mimo import ChatSpeech, ChatSynthesizer

HELLO = SpeechRequest("Hello there.", "Mia", "en-US")


@pytest.fixture(autouse=True)
def no_waiting_between_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BACKOFF_SECONDS", 0.0)


@pytest.fixture
def mimo() -> Iterator[Mimo]:
    with served(Mimo()) as service:
        yield service


def voice_of(service: Mimo, **dialect: object) -> ChatSynthesizer:
    options = {"deadlines": Deadlines(connect=1.0, read=0.5), **dialect}
    return ChatSynthesizer(Endpoint(service.url, KEY), ChatSpeech(**options))


def sound(speaker: ChatSynthesizer, request: SpeechRequest = HELLO) -> bytes:
    return b"".join(event.pcm for event in speaker.synthesize(request) if isinstance(event, PcmChunk))


def test_what_is_said_is_the_assistant_s_and_how_is_the_user_s(mimo):
    assert sound(voice_of(mimo, style="Calm and friendly.")) == mimo.sound
    (asked,) = mimo.requests
    assert asked["messages"] == [
        {"role": "user", "content": "Calm and friendly."},
        {"role": "assistant", "content": "Hello there."},
    ]
    assert asked["audio"] == {"format": "wav", "voice": "Mia"}


def test_without_a_style_only_the_text_is_sent(mimo):
    sound(voice_of(mimo))
    assert [message["role"] for message in mimo.requests[0]["messages"]] == ["assistant"]


@pytest.mark.parametrize(
    ("speed", "said"), [(1.0, None), (1.2, "a little faster"), (0.6, "slower"), (2.5, "much faster")]
)
def test_the_pace_is_asked_for_in_words(mimo, speed, said):
    sound(voice_of(mimo), SpeechRequest("Hello.", "Mia", "en-US", speed))
    before = mimo.requests[0]["messages"][:-1]
    assert (said in before[0]["content"]) if said else not before


@pytest.mark.parametrize("way", ["cut", "drop", "silent", "500"])
def test_an_answer_that_breaks_off_was_not_heard_and_is_asked_for_again(mimo, way):
    mimo.misbehave(way)
    assert sound(voice_of(mimo)) == mimo.sound


def test_an_error_that_calls_itself_a_success_holds_no_text(mimo):
    mimo.misbehave("json")
    with pytest.raises(AdapterError) as caught:
        sound(voice_of(mimo))
    assert "Hello" not in str(caught.value)


def test_a_missing_voice_is_told(mimo):
    with pytest.raises(AdapterError) as caught:
        sound(voice_of(mimo), SpeechRequest("Hello.", "nobody", "en"))
    assert caught.value.code == "voice_not_found"


def test_a_long_text_is_asked_for_in_parts(mimo):
    pcm = sound(
        voice_of(mimo, most_characters=20), SpeechRequest("One two three. Four five six.", "Mia", "en")
    )
    assert len(mimo.requests) == 2
    assert pcm == mimo.sound * 2


def test_the_registry_makes_it_and_refuses_what_it_does_not_know():
    endpoint = Endpoint("http://127.0.0.1:9")
    assert registry.synthesizer("mimo", endpoint, {"style": "calm"}).provider == "mimo"
    with pytest.raises(TypeError):
        registry.synthesizer("mimo", endpoint, {"colour": "red"})
    with pytest.raises(ValueError, match="audio_format"):
        registry.synthesizer("mimo", endpoint, {"audio_format": "flac"})
