import pytest

from workers.adapters.llm.openai_compatible.answers import AnswerReader
from workers.adapters.text import Cleaner, clean, clean_all, parsed


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("Schöne Grüße 👋", "Schöne Grüße 👋"),
        ("", ""),
        ("a\0b", "ab"),
        ("ä\0b", "äb"),
        ("half \ud83d of it", "half  of it"),
        ("\ude00x", "x"),
        ("\ud83d\ude00", "😀"),
        ("\ud83d\ud83d\ude00\ude00", "😀"),
    ],
)
def test_what_nobody_can_store_is_left_out(given: str, kept: str) -> None:
    assert clean(given) == kept


def test_a_character_that_is_cut_in_two_is_put_together() -> None:
    cleaner = Cleaner()
    pieces = ["Hi \ud83d", "\ude00", " and \ud83d", "\ud83d", "", "\0\ude00!", "\ud83d"]
    assert [cleaner.feed(piece) for piece in pieces] == ["Hi ", "😀", " and ", "", "", "😀!", ""]


def test_all_texts_of_what_json_gave_are_cleaned() -> None:
    told = {"a\0": ["\ud83d", {"b": "x\0y", "n": 1}], "c": None}
    assert clean_all(told) == {"a": ["", {"b": "xy", "n": 1}], "c": None}


def test_the_arguments_of_a_tool_can_be_sent_on_whatever_a_model_wrote() -> None:
    reader = AnswerReader("acme")
    call = {"index": 0, "id": "c", "function": {"name": "order", "arguments": '{"q": "a\\ud83d\\u0000b"}'}}
    reader.feed({"choices": [{"delta": {"tool_calls": [call]}}]})
    assert [one.arguments for one in reader.calls()] == [{"q": "ab"}]


@pytest.mark.parametrize("body", ["[" * 100_000, "{", b"\xff\xfe", ""])
def test_what_is_no_json_is_refused_in_one_way(body: str | bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of whatever kind
        parsed(body)


def test_numbers_that_are_none_become_nothing() -> None:
    assert parsed('{"start": Infinity, "end": NaN, "text": "x"}') == {"start": None, "end": None, "text": "x"}
