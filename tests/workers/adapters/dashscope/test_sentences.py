from typing import Any

from workers.adapters.dashscope.sentences import Sentences


def result(
    text: str, begin: int | None, *, end: int | None = None, final: bool = False, **more: Any
) -> dict[str, Any]:
    sentence = {
        "begin_time": begin,
        "end_time": end,
        "text": text,
        "sentence_end": final,
        "words": [],
        **more,
    }
    return {"output": {"sentence": sentence}}


def told(*results: dict[str, Any]) -> list[tuple[str, bool, int, int]]:
    sentences = Sentences("dashscope", round)
    found = [each for one in results for each in sentences.take(one)]
    found += sentences.rest()
    return [(each.text, each.final, each.start_ms, each.end_ms) for each in found]


def test_every_sentence_of_several_is_kept():
    assert told(
        result("Good", 100),
        result("Good morning.", 100, end=900, final=True),
        result("How are you?", 1200, end=2000, final=True),
        result("Fine.", 2300, end=2700, final=True),
    ) == [
        ("Good", False, 100, 100),
        ("Good morning.", True, 100, 900),
        ("How are you?", True, 1200, 2000),
        ("Fine.", True, 2300, 2700),
    ]


def test_a_final_sentence_needs_no_end_time():
    words = [{"text": "Okay", "punctuation": ",", "begin_time": 170, "end_time": 295}]
    assert told(result("Okay,", 170, final=True, words=words)) == [("Okay,", True, 170, 295)]


def test_an_end_time_makes_no_sentence_final():
    assert told(result("Go", 0, end=500), result("Go on.", 0, end=800, final=True)) == [
        ("Go", False, 0, 500),
        ("Go on.", True, 0, 800),
    ]


def test_a_sentence_that_is_told_twice_is_one():
    twice = result("Once.", 40, end=500, final=True)
    assert told(twice, twice, result("On", 40)) == [("Once.", True, 40, 500)]


def test_heartbeats_and_nonsense_say_nothing():
    assert told(result("", 0, heartbeat=True), {}, {"output": {"sentence": [1]}}, result("x", None)) == []
    assert told(result("", 0, end=100, final=True)) == []


def test_partial_results_share_a_beginning_even_where_the_service_moves_it():
    assert told(result("One", 100), result("One two", 130), result("One two.", 130, end=900, final=True)) == [
        ("One", False, 100, 100),
        ("One two", False, 100, 100),
        ("One two.", True, 100, 900),
    ]


def test_a_sentence_that_nobody_ended_ends_with_the_sound():
    assert told(result("And then", 100)) == [("And then", False, 100, 100), ("And then", True, 100, 100)]
