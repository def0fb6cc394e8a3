import pytest

from workers.adapters.text import Cleaner, clean


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
