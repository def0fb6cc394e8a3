import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.speech.split import MAX_SENTENCE, SentenceSplitter, split

PIECES = st.lists(
    st.sampled_from(
        [
            "Hello",
            "Dr",
            ".",
            ". ",
            "... ",
            "…",
            "?",
            "! ",
            "3",
            ".14 ",
            "e.g. ",
            "U.S. ",
            "The ",
            "the ",
            "\n",
            "\n\n",
        ]
        + [
            " ",
            '"',
            "”",
            ")",
            "。",
            "！",
            "」",
            "؟ ",
            "نعم",
            "日本",
            "- ",
            "1. ",
            "a" * 50,
            ", ",
            "J. ",
            "😀",
            "Inc. ",
        ]
    ),
    max_size=80,
).map("".join)


def bare(text: str) -> list[str]:
    return [sentence.strip() for sentence in split(text)]


def streamed(text: str, cuts: list[int]) -> list[str]:
    splitter, found, start = SentenceSplitter(), [], 0
    for cut in sorted({min(cut, len(text)) for cut in cuts}):
        found += splitter.feed(text[start:cut])
        start = cut
    return [*found, *splitter.feed(text[start:]), *splitter.flush()]


@given(PIECES | st.text(max_size=500))
def test_the_pieces_joined_are_the_text(text):
    assert "".join(split(text)) == text


@settings(max_examples=300)
@given(PIECES | st.text(max_size=200), st.lists(st.integers(0, 600), max_size=40))
def test_any_cut_of_the_stream_gives_the_same_sentences(text, cuts):
    assert streamed(text, cuts) == split(text)


@given(PIECES | st.text(max_size=2000))
def test_no_piece_is_endless(text):
    assert all(len(piece) <= MAX_SENTENCE + 100 for piece in split(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Pi is 3.14. It goes on.", ["Pi is 3.14.", "It goes on."]),
        ("Dr. Smith met Mrs. Jones. They spoke.", ["Dr. Smith met Mrs. Jones.", "They spoke."]),
        ("Use a tool, e.g. a hammer. Hit it.", ["Use a tool, e.g. a hammer.", "Hit it."]),
        ("He left the U.S. The end.", ["He left the U.S.", "The end."]),
        ("The U.S. Senate met.", ["The U.S. Senate met."]),
        ("Wait... what? Yes!", ["Wait... what?", "Yes!"]),
        ("Wait... What?", ["Wait...", "What?"]),
        ('"Really?" she asked. "Yes." He left.', ['"Really?" she asked.', '"Yes."', "He left."]),
        ("J. K. Rowling wrote No. 5. No. Stop.", ["J. K. Rowling wrote No. 5.", "No.", "Stop."]),
        ("See example.com today. Or v2.0.1 now.", ["See example.com today.", "Or v2.0.1 now."]),
        ("これは文です。次の文！「はい。」終わり", ["これは文です。", "次の文！", "「はい。」", "終わり"]),
        ("هل أنت بخير؟ نعم.", ["هل أنت بخير؟", "نعم."]),
        ("- one\n- two\n\nThree", ["- one", "- two", "Three"]),
        ("Title\nText of it", ["Title", "Text of it"]),
        ("We met at 5 p.m. Then we left.", ["We met at 5 p.m.", "Then we left."]),
    ],
)
def test_sentences_end_where_a_reader_would_stop(text, expected):
    assert bare(text) == expected


def test_a_wrapped_line_goes_on():
    text = "This line is long enough to have been wrapped by an editor at\nKing's Cross station. Next."
    assert bare(text) == [text.split(" Next")[0], "Next."]


def test_a_sentence_without_end_is_cut_between_words():
    pieces = split("word " * 400)
    assert len(pieces) > 5
    assert all(piece.endswith(" ") for piece in pieces)


def test_a_sentence_is_given_as_soon_as_the_next_word_is_known():
    splitter = SentenceSplitter()
    assert splitter.feed("It works. ") == []
    assert splitter.feed("Now ") == ["It works. "]


def test_time_grows_with_the_length_alone(monkeypatch):
    """The same characters are not judged again for every token that arrives."""
    judged = 0
    original = SentenceSplitter._judge

    def counting(self, *args, **kwargs):
        nonlocal judged
        judged += 1
        return original(self, *args, **kwargs)

    monkeypatch.setattr(SentenceSplitter, "_judge", counting)
    splitter = SentenceSplitter()
    for _ in range(2000):
        splitter.feed("tok ")
    assert judged < 3 * 8000
