from collections.abc import Iterator

import pytest

from tests.support.http_service import KEY, served
from tests.support.mimo import Mimo
from tests.workers.adapters.stt.test_whole import recording
from workers.adapters import catalogue, registry, retry
from workers.adapters.endpoint import Deadlines, Endpoint
from workers.adapters.errors import AdapterError
from workers.adapters.stt.mimo import ChatHearing, ChatRecognizer

SOUND = recording(1)


@pytest.fixture(autouse=True)
def no_waiting_between_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BACKOFF_SECONDS", 0.0)


@pytest.fixture
def mimo() -> Iterator[Mimo]:
    with served(Mimo()) as service:
        yield service


def ears(service: Mimo, **dialect: object) -> ChatRecognizer:
    options = {"deadlines": Deadlines(connect=1.0, read=0.5), **dialect}
    return ChatRecognizer(Endpoint(service.url, KEY), ChatHearing(**options))


@pytest.mark.parametrize("parts", [False, True])
def test_it_hears_within_a_chat(mimo, parts):
    mimo.parts = parts
    heard = ears(mimo).recognize(SOUND, language="zh-CN")
    assert (heard.text, heard.provider) == ("When are you open?", "mimo")
    (asked,) = mimo.requests
    assert asked["asr_options"] == {"language": "zh"}
    (content,) = asked["messages"][0]["content"]
    assert content["input_audio"]["data"].startswith("data:audio/wav;base64,")


def test_bare_base64_is_a_switch(mimo):
    mimo.bare = True
    assert ears(mimo, data_uri=False).recognize(SOUND).text == "When are you open?"
    with pytest.raises(AdapterError) as caught:
        ears(mimo).recognize(SOUND)
    assert caught.value.code == "provider_rejected"


def test_a_model_that_chats_is_told_to_transcribe(mimo):
    ears(mimo, instruction="Write down what is said.", language_options=False).recognize(SOUND, language="en")
    (asked,) = mimo.requests
    assert asked["messages"][0]["content"][0] == {"type": "text", "text": "Write down what is said."}
    assert "asr_options" not in asked


def test_silence_is_an_empty_text(mimo):
    mimo.misbehave("empty")
    assert ears(mimo).recognize(SOUND).text == ""


@pytest.mark.parametrize("way", ["429", "drop", "cut", "silent"])
async def test_a_passing_fault_is_tried_again(mimo, way):
    mimo.misbehave(way)
    assert (await ears(mimo).listen(SOUND)).text == "When are you open?"


@pytest.mark.parametrize("way", ["json", "garbage"])
def test_what_is_no_transcript_is_an_error(mimo, way):
    mimo.misbehave(way)
    with pytest.raises(AdapterError) as caught:
        ears(mimo).recognize(SOUND)
    assert not caught.value.retryable


def test_long_recordings_are_heard_in_parts(mimo):
    heard = ears(mimo, most_bytes=25 * 32_000).recognize(recording(40, quiet_at=19))
    assert len(mimo.requests) == 2
    assert heard.text == "When are you open? When are you open?"


def test_the_provider_s_file_asks_for_what_mimo_takes(mimo):
    options = dict(catalogue.providers()["mimo"].recognition)
    made = registry.recognizer(options.pop("adapter"), Endpoint(mimo.url, KEY), options)
    assert made.recognize(SOUND, language="en-GB").text == "When are you open?"
