"""An answer that is being written, cut so that speech can begin soon."""

import pytest

from workers.speech.opening import AnswerScript


def _pieces(text: str, language: str = "en", size: int = 1) -> list[str]:
    script = AnswerScript(language)
    found = []
    for at in range(0, len(text), size):
        found += script.feed(text[at : at + size])
    return [piece.text for piece in [*found, *script.flush()]]


def _known_after(text: str) -> int:
    """How many characters have to be there until the first piece is known."""
    script = AnswerScript("en")
    for at, character in enumerate(text, 1):
        if script.feed(character):
            return at
    return len(text)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Sure, I can help you with that.", ["Sure,", "I can help you with that."]),
        ("No, we are closed on Sundays, sadly.", ["No, we are closed on Sundays,", "sadly."]),
        ("Yes. It costs 1,000 dollars.", ["Yes.", "It costs 1,000 dollars."]),
        ("Dr. Smith is here, waiting for you.", ["Dr. Smith is here,", "waiting for you."]),
        ("Hello! How are you?", ["Hello!", "How are you?"]),
        ('The "Sea, Sun" hotel is nice.', ['The "Sea, Sun" hotel is nice.']),
        ("The house (old, but dry) is free, I think.", ["The house (old, but dry) is free,", "I think."]),
        ("At 10:30 we open.", ["At 10:30 we open."]),
        ("No", ["No"]),
        ("", []),
        ("...", []),
    ],
)
def test_the_first_clause_is_a_piece_of_its_own(text, pieces):
    assert _pieces(text) == pieces


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 1000])
def test_the_pieces_do_not_depend_on_how_the_text_arrived(size):
    text = (
        "Sure, I can help you with that. We have rooms for 90.5 dollars, e.g. with a view of the sea, and "
        "Mr. Miller will show you around. Would you like that?\n\nOtherwise we have others; tell me more!"
    )
    assert _pieces(text, size=size) == _pieces(text, size=1)


@pytest.mark.parametrize("text", ["Of course, I will. ", "Certainly! We do. ", "Right: this is it. "])
def test_a_clause_is_known_with_its_mark_and_not_only_with_what_follows(text):
    assert text[_known_after(text) - 1] in ",!:"


def test_a_full_stop_is_believed_behind_a_plain_word():
    assert _known_after("That works. And") == len("That works.")
    assert _known_after("Ask Dr. Smith, please") == len("Ask Dr. Smith,")


def test_a_number_is_waited_for():
    assert _pieces("We have 1,200 rooms, all free.") == ["We have 1,200 rooms,", "all free."]


def test_a_long_run_of_words_is_cut_where_words_join():
    pieces = _pieces(
        "We offer a number of different sunny rooms that you can book for every day of the year."
    )
    assert pieces[0] == "We offer a number of different sunny rooms"
    assert (
        " ".join(pieces).split()
        == "We offer a number of different sunny rooms that you can book for every day of the year.".split()
    )


def test_a_piece_that_was_cut_anywhere_goes_straight_on():
    script = AnswerScript("en")
    first = script.feed("We offer a number of different sunny rooms that you can book")[0]
    assert first.said.endswith("rooms,")
    assert first.text.endswith("rooms")
    assert first.tail_ms < 100


def test_from_the_third_piece_on_they_are_sentences():
    pieces = _pieces(
        "Sure, I can. We have many rooms, all of them sunny, all of them free, and none is dear. Yes, none."
    )
    assert pieces[-2:] == [
        "We have many rooms, all of them sunny, all of them free, and none is dear.",
        "Yes, none.",
    ]


def test_japanese_is_cut_at_its_own_marks():
    assert _pieces("もちろんです、喜んでお手伝いします。何時がよろしいですか？", "ja") == [
        "もちろんです、",
        "喜んでお手伝いします。",
        "何時がよろしいですか？",
    ]
