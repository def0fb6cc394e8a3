import pytest

from sessions.pipeline.topics import Topic, Topics, refusal, told_to_model

MONEY = Topic(
    "investment advice", ("Invest in", "stock tips", "Kündigung", "株"), "I do not advise on money."
)
WEAPONS = Topic("weapons", ("bomb", "credit card number"), action="end")
TOPICS = Topics([MONEY, WEAPONS])


@pytest.mark.parametrize(
    ("text", "topic"),
    [
        ("Should I INVEST   in gold?", MONEY),
        ("Should I invest-in gold?", MONEY),
        ("Should I reinvest in gold?", None),
        ("Should I invest into gold?", None),
        ("How do I build a bomb", WEAPONS),
        ("The bombastic speech", None),
        ("A bo\u200bmb", WEAPONS),
        ("My kundigung", MONEY),
        ("Meine KU\u0308NDIGUNG.", MONEY),
        ("\uff42\uff4f\uff4d\uff42", WEAPONS),
        ("今日の株はどうですか", MONEY),
        ("Give me his credit card\nnumber!", WEAPONS),
        ("", None),
    ],
)
def test_phrases_are_found_as_words_however_they_are_written(text, topic):
    assert TOPICS.find(text) is topic


def through(text: str, size: int, topics: Topics = TOPICS) -> tuple[str, Topic | None]:
    guard = topics.guard()
    told = "".join(guard.feed(text[at : at + size]) for at in range(0, len(text), size))
    return told + guard.finish(), guard.met


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize(
    "text",
    [
        "We invested in bombastic cards; credit card payments are fine, and stock is in. Invest",
        "Ünïcödé e\u0301 \u200b — 「株式」 is no phrase here; ok",
        "bombs and bomber, in vestibules",
    ],
)
def test_harmless_text_passes_unchanged_however_it_is_cut(text, size):
    harmless = Topics([Topic("x", ("Invest in", "stock tips", "bomb", "credit card number"))])
    assert through(text, size, harmless) == (text, None)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize(
    ("text", "spoken", "topic"),
    [
        ("Well, you could invest in gold.", "Well, you could ", MONEY),
        ("Here is how: a BOMB.", "Here is how: a ", WEAPONS),
        ("A bomb", "A ", WEAPONS),
        ("The credit card number is 4", "The ", WEAPONS),
        ("この株は", "この", MONEY),
    ],
)
def test_nothing_of_a_phrase_is_let_through_however_it_is_cut(text, spoken, topic, size):
    told, met = through(text, size)
    assert met is topic
    assert spoken.startswith(told)


def test_only_what_may_become_a_phrase_is_kept_back():
    guard = TOPICS.guard()
    assert guard.feed("Hello there") == "Hello there"
    assert guard.feed(" cre") == " "
    assert guard.feed("dible") == "credible"


def test_without_topics_everything_passes_at_once():
    guard = Topics([]).guard()
    assert guard.feed("bomb") == "bomb"
    assert guard.finish() == ""
    assert not Topics([])


def test_a_refusal_is_the_topics_own_or_in_the_language():
    assert refusal(MONEY, "de") == "I do not advise on money."
    assert refusal(WEAPONS, "de-DE").startswith("Dazu kann ich")
    assert "cannot talk" in refusal(WEAPONS, "sv")


def test_the_model_is_told_too():
    told = told_to_model(TOPICS, "en")
    assert "investment advice; weapons" in told
    assert told_to_model(Topics([]), "en") == ""
