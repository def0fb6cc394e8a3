"""What a client may say, and how it hears that it said something else."""

import json

import pytest

from project.errors import InvalidInput
from sessions.runtime.messages import MAX_AUDIO_BYTES, MAX_TEXT_BYTES, Allowance, check_audio, parse


def code_of(text: str) -> str:
    with pytest.raises(InvalidInput) as refused:
        parse(text)
    return refused.value.code


def test_a_message_is_taken_with_its_fields_and_no_others() -> None:
    said = json.dumps({"type": "user.text", "text": "Hello?", "extra": {"from": "a newer client"}})
    assert parse(said) == ("user.text", {"text": "Hello?"})
    assert parse('{"type": "mic.start"}') == ("mic.start", {})
    candidate = {"candidate": None, "id": 3}
    assert parse(json.dumps({"type": "rtc.candidate", **candidate})) == ("rtc.candidate", candidate)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "message_malformed"),
        ("hello", "message_malformed"),
        ("[1, 2]", "message_malformed"),
        ("null", "message_malformed"),
        ('{"text": "no type"}', "message_malformed"),
        ('{"type": 7}', "message_malformed"),
        ("[" * 50_000, "message_malformed"),
        ('{"type": "user.shout", "text": "x"}', "unknown_message"),
        ('{"type": "__init__"}', "unknown_message"),
        ('{"type": "user.text"}', "invalid_field"),
        ('{"type": "user.text", "text": 5}', "invalid_field"),
        ('{"type": "user.text", "text": "   "}', "invalid_field"),
        ('{"type": "user.text", "text": "a\\u0000b"}', "invalid_field"),
        ('{"type": "user.text", "text": "a\\ud83d"}', "invalid_field"),
        ('{"type": "rtc.offer", "sdp": "v=0", "id": "\\udc00"}', "invalid_field"),
        ('{"type": "rtc.offer", "sdp": ["v=0"]}', "invalid_field"),
        ('{"type": "rtc.candidate", "candidate": "candidate:1"}', "invalid_field"),
        ('{"type": "rtc.candidate", "candidate": {"candidate": 1}}', "invalid_field"),
    ],
)
def test_what_is_wrong_is_named(text: str, code: str) -> None:
    assert code_of(text) == code


def test_a_message_that_is_too_large_is_not_even_read() -> None:
    assert code_of('{"type": "user.text", "text": "' + "x" * MAX_TEXT_BYTES + '"}') == "message_too_large"
    assert code_of("é" * (MAX_TEXT_BYTES // 2 + 1)) == "message_too_large"
    assert code_of(json.dumps({"type": "user.text", "text": "x" * 5_001})) == "invalid_field"


def test_sound_has_whole_samples_and_a_bounded_size() -> None:
    assert check_audio(bytes(640)) == bytes(640)
    for data, code in ((bytes(641), "audio_malformed"), (bytes(MAX_AUDIO_BYTES + 2), "audio_too_large")):
        with pytest.raises(InvalidInput) as refused:
            check_audio(data)
        assert refused.value.code == code


def test_whole_characters_of_any_plane_are_taken() -> None:
    assert parse(json.dumps({"type": "user.text", "text": "👋 héllo 日本"}))[1]["text"] == "👋 héllo 日本"


def test_an_allowance_fills_up_again_but_never_over_its_rim() -> None:
    bucket = Allowance(rate=10, burst=20, now=0.0)
    assert all(bucket.take(1, 0.0) for _ in range(20))
    assert bucket.take(1, 0.0) is False
    assert bucket.take(5, 0.5) is True
    assert bucket.take(1, 0.5) is False
    assert bucket.take(21, 1000.0) is False
    assert bucket.take(20, 1000.0) is True
