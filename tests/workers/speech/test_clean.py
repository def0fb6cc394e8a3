import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.adapters.tts.base import Word
from workers.speech import spans
from workers.speech.clean import clean, speakable, spoken


def said(text: str, language: str = "en-US") -> str:
    return spoken(clean(text, language))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It costs $5.99.", "It costs five dollars and ninety-nine cents."),
        ("€3.2 million", "three point two million euros"),
        ("$0.50 or £1", "fifty cents or one pound"),
        ("20 USD", "twenty US dollars"),
        ("On 2024-03-05", "On March fifth, twenty twenty-four"),
        ("3/4/2025", "March fourth, twenty twenty-five"),
        ("the 5th of May", "the fifth of May"),
        ("March 3rd, 2024", "March third, twenty twenty-four"),
        ("at 7:30 pm or 9am or 14:05", "at seven thirty P M or nine A M or fourteen oh five"),
        ("5.5% in 2024", "five point five percent in twenty twenty-four"),
        ("-7°C to 30 km/h", "minus seven degrees Celsius to thirty kilometers per hour"),
        ("1,250 people in the 1990s", "one thousand two hundred fifty people in the nineteen nineties"),
        ("10-20 kg", "ten to twenty kilograms"),
        ("the 22nd of 1/2", "the twenty-second of one half"),
        ("Dr. No lives at 1 St. John St.", "Doctor No lives at one Saint John Street"),
        ("e.g. No. 5 & v2.0.1", "for example number five and version two point zero point one"),
        ("MP4 at 512x640", "MP four at five hundred twelve by six hundred forty"),
        ("Chapter IV of Henry VIII", "Chapter four of Henry the eighth"),
        ("agent 007", "agent zero zero seven"),
        ("see https://www.example.com/docs?x=1.", "see example dot com slash docs."),
        ("mail info@parley.io", "mail info at parley dot io"),
        ("call 555-123-4567", "call five five five, one two three, four five six seven"),
        ("**Bold** and _soft_, `code` and [a link](https://x.com/a_(b)).", "Bold and soft, code and a link."),
        ("# Title", "Title"),
        ("What?!!", "What?"),
        ("snake_case stays", "snake_case stays"),
        ("2 * 3 = 6", "two * three equals six"),
        ("A 😀 smile", "A smile"),
        ("<b>Hi</b> there", "Hi there"),
        ("[Parley](/ˈpɑːrli/) is 1", "[Parley](/ˈpɑːrli/) is one"),
    ],
)
def test_english_is_written_as_it_is_said(text, expected):
    assert said(text) == expected


@pytest.mark.parametrize("text", ["😀😀", "...", "---", "", "  \n ", "!?", "\u200b"])
def test_what_has_no_sound_is_empty(text):
    assert said(text) == ""
    assert not speakable(text, "en-US")


def test_other_languages_keep_their_numbers():
    assert said("Das kostet 5 €, **ja**.", "de-DE") == "Das kostet 5 €, ja."


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("Hello", "en-US", True),
        ("日本語です", "en-US", False),
        ("日本語です", "ja-JP", True),
        ("42", "ja-JP", True),
    ]
    + [("مرحبا بكم", "en-GB", False), ("Say 日本", "en-US", True), ("שלום", "he-IL", True)],
)
def test_a_voice_says_only_scripts_it_can_read(text, language, expected):
    assert speakable(text, language) is expected


def test_captions_show_what_was_written_with_the_times_of_what_was_said():
    parts = clean("Pay $5.99 to **Dr. Who** 😀 now", "en-US")
    heard = [Word(text, i * 100, i * 100 + 90) for i, text in enumerate(spoken(parts).split())]
    assert spans.shown(parts) == "Pay $5.99 to Dr. Who 😀 now"
    words = spans.shown_words(parts, heard)
    assert [word.text for word in words] == ["Pay", "$5.99", "to", "Dr.", "Who", "now"]
    assert (words[1].start_ms, words[1].end_ms) == (100, 590)
    assert words[-1].end_ms == heard[-1].end_ms


def test_words_are_aligned_when_a_voice_splits_them_otherwise():
    parts = clean("one well-known thing here", "en-US")
    heard = [Word(t, i * 100, i * 100 + 90) for i, t in enumerate(["one", "well", "known", "thing", "here"])]
    words = spans.shown_words(parts, heard)
    assert [word.text for word in words] == ["one", "well-known", "thing", "here"]
    assert (words[1].start_ms, words[2].start_ms) == (100, 300)


@given(st.text(max_size=200), st.sampled_from(["en-US", "ja-JP", "ar"]))
def test_any_text_can_be_cleaned(text, language):
    parts = clean(text, language)
    out = spoken(parts)
    assert out == out.strip()
    assert "  " not in out
    assert all(character.isprintable() for character in out)
    spans.shown_words(parts, [Word(word, 0, 1) for word in out.split()])


@given(st.text(alphabet="$€0123456789.,:/-%stndAPMamp @kKx°C #", max_size=60))
def test_any_heap_of_digits_and_signs_can_be_cleaned(text):
    assert not any(character.isdigit() for character in said(text))
