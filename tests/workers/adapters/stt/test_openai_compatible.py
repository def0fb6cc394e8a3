import pytest

from tests.support.speech_server import SpeechServer, speech_server
from workers.adapters import retry
from workers.adapters.endpoint import Deadlines, Endpoint
from workers.adapters.errors import AdapterError
from workers.adapters.stt import answer
from workers.adapters.stt.base import Segment
from workers.adapters.stt.openai_compatible import HearingDialect, OpenAICompatible


@pytest.fixture(autouse=True)
def no_waiting_between_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BACKOFF_SECONDS", 0.0)


def ears(server: SpeechServer) -> OpenAICompatible:
    return OpenAICompatible(
        Endpoint(server.url, "secret"), HearingDialect(deadlines=Deadlines(connect=1.0, read=0.5))
    )


def test_text_and_segments_are_read():
    with speech_server() as server:
        heard = ears(server).recognize(b"RIFF", language="en-US")
    assert heard.text == "Hello."
    assert heard.segments == (Segment(500, 1250, "Hello."),)
    assert b'name="language"\r\n\r\nen\r\n' in server.requests[0]["raw"]


@pytest.mark.parametrize("answer", ["sentence", "choices", "segments", "text"])
def test_text_is_found_wherever_a_provider_puts_it(answer):
    with speech_server(answer) as server:
        assert ears(server).recognize(b"RIFF").text == "Hello."


def test_silence_is_an_empty_text():
    with speech_server("empty") as server:
        assert ears(server).recognize(b"RIFF").text == ""


async def test_the_loop_is_served_as_well():
    with speech_server("429", "500") as server:
        assert (await ears(server).listen(b"RIFF")).text == "Hello."
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("behaviours", "code", "retryable"),
    [
        (["400 language_unsupported"], "language_unsupported", False),
        (["400 audio_unreadable"], "audio_unreadable", False),
        (["413"], "provider_too_large", False),
        (["strange"], "provider_error", False),
        (["503", "503", "503"], "provider_error", True),
    ],
)
def test_faults_are_judged(behaviours, code, retryable):
    with speech_server(*behaviours) as server, pytest.raises(AdapterError) as caught:
        ears(server).recognize(b"RIFF")
    assert (caught.value.code, caught.value.retryable) == (code, retryable)


def test_what_nobody_can_store_is_left_out():
    segment = {"start": 0, "end": 1, "text": "He\0llo\ud83d."}
    heard = answer.from_json({"text": "He\0llo\ud83d.", "segments": [segment]})
    assert (heard.text, heard.segments[0].text) == ("Hello.", "Hello.")
