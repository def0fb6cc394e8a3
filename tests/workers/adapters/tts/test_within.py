import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.adapters.tts.within import within


def test_a_text_that_fits_stays_whole():
    assert list(within("  Hello there. ", 100)) == ["Hello there."]
    assert list(within("Hello there." * 100, 0)) == ["Hello there." * 100]
    assert list(within("   ", 10)) == []


def test_it_is_cut_where_a_speaker_pauses():
    text = "One two three. Four five six! Seven eight nine? Ten."
    assert list(within(text, 32)) == ["One two three. Four five six!", "Seven eight nine? Ten."]


def test_lesser_pauses_serve_where_a_sentence_is_too_long():
    text = "One two three, four five six; seven eight nine ten eleven"
    assert list(within(text, 33)) == ["One two three, four five six;", "seven eight nine ten eleven"]
    assert list(within("one two three four", 11)) == ["one two", "three four"]


def test_chinese_is_cut_at_its_own_marks():
    parts = ["你好吗？我很好。", "今天天气不错，我们走吧。"]  # noqa: RUF001
    assert list(within("".join(parts), 12)) == parts


def test_a_word_is_cut_only_where_nothing_else_helps():
    assert list(within("a" * 25, 10)) == ["a" * 10, "a" * 10, "a" * 5]


def test_another_measure_counts_what_the_provider_counts():
    def in_utf8(text: str) -> int:
        return len(text.encode())

    parts = list(within("äöü äöü äöü", 8, in_utf8))
    assert parts == ["äöü", "äöü", "äöü"]


@given(st.text(alphabet="ab .,;\n。", max_size=200), st.integers(1, 40))
def test_nothing_is_lost_and_nothing_is_too_long(text: str, limit: int):
    parts = list(within(text, limit))
    assert all(0 < len(part) <= limit for part in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_tiny_limits_come_to_an_end(limit):
    assert "".join(within("abc def", limit)) == "abcdef"
