import pytest

from workers.speechd.frontend.japanese import Japanese, with_kanji_numbers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3月15日", "三月十五日"),
        ("1,200円", "千二百円"),
        ("2024年", "二千二十四年"),
        ("10000人と11111人", "一万人と一万千百十一人"),
        ("0.5と0", "零点五と零"),
        ("007", "〇〇七"),
        ("2000000000", "二十億"),
        ("数字なし", "数字なし"),
    ],
)
def test_numbers_are_written_as_they_are_read(text, expected):
    assert with_kanji_numbers(text) == expected


def test_sentences_are_read_with_the_right_readings():
    line = Japanese().read("こんにちは。3月5日です！")
    assert line.words == ("こんにちは。", "3月5日です!")
    first, second = line.pieces()
    assert first.phonemes == "koɲɲiʨiβa."
    assert second.phonemes.startswith("saŋɡaʦɨ iʦɨka")
