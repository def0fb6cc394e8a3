"""Against OpenAI's own rules for transcriptions."""

from collections.abc import Iterator

import pytest

from tests.support.http_service import KEY, served
from tests.support.openai_speech import OpenAISpeech
from tests.workers.adapters.stt.test_whole import recording
from workers.adapters import catalogue, registry, retry
from workers.adapters.endpoint import Deadlines, Endpoint
from workers.adapters.errors import AdapterError
from workers.adapters.stt import answer
from workers.adapters.stt.openai_compatible import HearingDialect, OpenAICompatible

SOUND = recording(3)


@pytest.fixture(autouse=True)
def no_waiting_between_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BACKOFF_SECONDS", 0.0)


@pytest.fixture
def openai() -> Iterator[OpenAISpeech]:
    with served(OpenAISpeech()) as service:
        yield service


def ears(service: OpenAISpeech, **dialect: object) -> OpenAICompatible:
    options = {"deadlines": Deadlines(connect=1.0, read=0.5), **dialect}
    return OpenAICompatible(Endpoint(service.url, KEY), HearingDialect(**options))


@pytest.mark.parametrize("form", ["json", "text", "srt", "verbose_json", "vtt"])
def test_every_format_becomes_the_same_text(openai, form):
    heard = ears(openai, response_format=form).recognize(SOUND)
    assert heard.text == "When are you open?"
    if form in ("srt", "vtt", "verbose_json"):
        assert [(s.start_ms, s.end_ms, s.text) for s in heard.segments] == [(0, 3000, heard.text)]


def test_words_are_asked_for_only_where_the_file_says_so(openai):
    ears(openai).recognize(SOUND)
    ears(openai, words=True, prompt="Parley").recognize(SOUND, language="en-US")
    plain, with_words = openai.requests
    assert "timestamp_granularities[]" not in plain
    assert with_words["timestamp_granularities[]"] == ["segment", "word"]
    assert (with_words["prompt"], with_words["language"]) == ("Parley", "en")


def test_a_file_that_openai_finds_too_large_is_heard_in_parts(openai):
    openai.misbehave("too-large 500000")
    heard = ears(openai).recognize(recording(40, quiet_at=19))
    assert heard.text == " ".join(["When are you open?"] * 4)
    assert len(openai.requests) == 4
    assert heard.segments[-1].end_ms == pytest.approx(40_000, abs=5)


@pytest.mark.parametrize("way", ["429", "500", "drop", "cut", "silent", "stall"])
def test_a_passing_fault_is_tried_again(openai, way):
    openai.misbehave(way)
    assert ears(openai).recognize(SOUND).text == "When are you open?"


@pytest.mark.parametrize("way", ["json", "garbage"])
def test_what_is_no_transcript_is_an_error_without_the_text(openai, way):
    openai.misbehave(way)
    with pytest.raises(AdapterError) as caught:
        ears(openai).recognize(SOUND)
    assert not caught.value.retryable
    assert "open" not in str(caught.value)


def test_a_wrong_key_is_told(openai):
    openai.misbehave("401")
    with pytest.raises(AdapterError) as caught:
        ears(openai).recognize(SOUND)
    assert caught.value.code == "provider_unauthorized"


def test_the_provider_s_file_asks_for_what_openai_takes(openai):
    options = dict(catalogue.providers()["openai"].recognition)
    made = registry.recognizer(options.pop("adapter"), Endpoint(openai.url, KEY), options)
    assert made.recognize(SOUND, language="en-GB").text == "When are you open?"


def test_words_alone_make_segments_at_pauses():
    words = [("one", 0.0, 0.3), ("two", 0.4, 0.7), ("three", 2.0, 2.4)]
    heard = answer.from_json(
        {"text": "one two three", "words": [{"word": w, "start": s, "end": e} for w, s, e in words]}
    )
    assert [(s.text, s.start_ms, s.end_ms) for s in heard.segments] == [
        ("one two", 0, 700),
        ("three", 2000, 2400),
    ]


SUBTITLES = (
    "1\r\n00:00:01,500 --> 00:00:02,250\r\n<i>Hello</i>\r\nthere.\r\n\r\n"
    "2\r\n01:00:03,000 --> 01:00:04,000\r\nBye."
)


def test_subtitles_are_read_with_their_times():
    heard = answer.transcript(SUBTITLES.encode(), "text/plain", "srt")
    assert heard.text == "Hello there. Bye."
    assert [(s.start_ms, s.end_ms) for s in heard.segments] == [(1500, 2250), (3_603_000, 3_604_000)]
    vtt = "WEBVTT\n\n00:01.500 --> 00:02.250 align:start\nHello\n"
    assert [s.start_ms for s in answer.transcript(vtt.encode(), "text/vtt", "vtt").segments] == [1500]
    assert answer.transcript(b"WEBVTT\n\n", "text/vtt", "vtt").text == ""


def test_json_is_read_as_json_whatever_was_asked_for():
    assert answer.transcript(b'{"text": "Hello."}', "application/json", "text").text == "Hello."


def test_a_content_in_parts_is_one_text():
    message = {"content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo."}]}
    assert answer.from_json({"choices": [{"message": message}]}).text == "Hello."
