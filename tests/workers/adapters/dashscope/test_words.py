from typing import Any

from workers.adapters.dashscope.words import GrowingWords, SentenceWords
from workers.adapters.tts.base import Word


def spoken(kind: str, *words: tuple[Any, Any, Any]) -> dict[str, Any]:
    told = [{"text": text, "begin_time": start, "end_time": end} for text, start, end in words]
    return {"output": {"type": kind, "sentence": {"index": 0, "words": told}}}


def grown(*words: tuple[str, int, int]) -> dict[str, Any]:
    return {"output": {"sentence": spoken("", *words)["output"]["sentence"] | {"begin_time": 0}}}


def test_words_that_count_from_the_start_of_the_task_are_taken_as_they_are():
    words = SentenceWords(24_000)
    words.take(spoken("sentence-begin"))
    assert words.take(spoken("sentence-end", ("One", 80, 300))) == (Word("One", 80, 300),)
    words.played(bytes(2 * 24_000))
    words.take(spoken("sentence-begin"))
    assert words.take(spoken("sentence-end", ("two", 1080, 1300))) == (Word("two", 1080, 1300),)


def test_words_that_count_from_their_sentence_are_moved_to_it():
    words = SentenceWords(24_000)
    words.take(spoken("sentence-begin"))
    words.take(spoken("sentence-end", ("One", 80, 300)))
    words.played(bytes(2 * 24_000))
    words.take(spoken("sentence-begin"))
    assert words.take(spoken("sentence-end", ("two", 80, 300))) == (Word("two", 1080, 1300),)


def test_words_without_a_text_or_a_time_are_left_out():
    words = SentenceWords(24_000)
    told = words.take(spoken("sentence-end", ("a", 0, 5), ("", 5, 9), ("b", None, 9), (7, 9, 10)))
    assert told == (Word("a", 0, 5),)


def test_what_is_no_answer_at_all_tells_no_words():
    words, growing = SentenceWords(24_000), GrowingWords()
    for odd in ({}, {"output": None}, {"output": {"type": "sentence-end", "sentence": []}}, {"output": [1]}):
        assert words.take(odd) == ()
        assert growing.take(odd) == ()
    assert growing.rest() == ()


def test_of_a_sentence_that_grows_each_word_is_told_once_and_in_its_last_shape():
    words = GrowingWords()
    assert words.take(grown(("Hel", 0, 100))) == ()
    assert words.take(grown(("Hello", 0, 200), ("wor", 210, 300))) == (Word("Hello", 0, 200),)
    assert words.take(grown(("Hello", 0, 200), ("world", 210, 400))) == ()
    assert words.take(grown(("Bye", 500, 600))) == (Word("world", 210, 400),)
    assert words.rest() == (Word("Bye", 500, 600),)
    assert words.rest() == ()
