import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.speech import markup
from workers.speech.estimate import estimated_ms
from workers.speech.script import (
    CLAUSE_PAUSE_MS,
    PARAGRAPH_PAUSE_MS,
    SENTENCE_PAUSE_MS,
    StreamingScript,
    sentences,
)
from workers.speech.voices import list_voices, synthesizer_for, voice


@pytest.mark.parametrize(
    ("written", "ms"),
    [("[pause]", 500), ("[pause 800ms]", 800), ("[PAUSE 1.5s]", 1500), ('<break time="0.8s"/>', 800)]
    + [
        ("<break time='300ms' />", 300),
        ("<break/>", 500),
        ("[pause 99999s]", 10_000),
        ("[pause: 2 seconds]", 2000),
    ],
)
def test_pauses_can_be_written(written, ms):
    assert markup.parse(f"One. {written} Two.") == [
        markup.Text("One. "),
        markup.Pause(ms),
        markup.Text(" Two."),
    ]


@pytest.mark.parametrize("text", ["[pause for thought]", "a [note] b", "break time", "[pause", "<breakfast>"])
def test_ordinary_text_in_brackets_stays_text(text):
    assert markup.parse(text) == [markup.Text(text)]


def test_a_link_to_a_path_is_no_pronunciation():
    (made,) = sentences("Read [docs](/docs/) now.", "en-US")
    assert made.said == "Read docs now."


@given(st.text(max_size=100))
def test_text_without_markup_is_never_swallowed(text):
    parts = markup.parse(text)
    if not any(isinstance(part, markup.Pause) for part in parts):
        assert "".join(part.text for part in parts).strip() == text.strip()


def test_a_pronunciation_is_said_and_the_word_is_shown():
    (made,) = sentences("Try [Parley](/ˈpɑːrli/) now.", "en-US")
    assert made.text == "Try Parley now."
    assert made.said == "Try [Parley](/ˈpɑːrli/) now."
    assert markup.plain(made.said) == made.text


def test_a_lexicon_gives_pronunciations_to_whole_words_alone():
    lexicon = {"Parley": "ˈpɑːrli", "San José": "/sæn hoʊˈzeɪ/"}
    made = markup.pronounced("Parley, Parleys, [Parley](/pɑːˈleɪ/) in San José", lexicon)
    assert made == "[Parley](/ˈpɑːrli/), Parleys, [Parley](/pɑːˈleɪ/) in [San José](/sæn hoʊˈzeɪ/)"


def test_silence_between_sentences_depends_on_how_they_end():
    tails = [made.tail_ms for made in sentences("One. Two?\n\nThree. " + "word " * 70 + "Four.", "en-US")]
    assert tails[:2] == [SENTENCE_PAUSE_MS, PARAGRAPH_PAUSE_MS]
    assert CLAUSE_PAUSE_MS in tails
    assert tails[-1] == 0


def test_a_written_pause_takes_the_place_of_the_natural_one():
    made = sentences("[pause 2s] One. [pause 1s] [pause 1s] Two. [pause 700ms]", "en-US")
    assert [(one.lead_ms, one.tail_ms) for one in made] == [(2000, 2000), (0, 700)]


@pytest.mark.parametrize("script", ["", "😀 😀", "[pause 3s]", "\n\n---\n", "```\n```"])
def test_a_script_without_sound_has_no_sentences(script):
    assert sentences(script, "en-US") == []


def test_a_long_script_loses_no_word():
    script = "The quick brown fox jumps over the lazy dog. " * 2000
    assert sum(len(made.text.split()) for made in sentences(script, "en-US")) == 2000 * 9


def test_an_answer_that_still_arrives_is_cut_as_it_comes():
    stream = StreamingScript("en-US")
    found = [
        made.said for token in "Hello the|re. It cos|ts $5. Ok|ay".split("|") for made in stream.feed(token)
    ]
    assert found == ["Hello there.", "It costs five dollars."]
    assert [made.said for made in stream.flush()] == ["Okay."]


def test_an_estimate_counts_pauses_and_speed():
    heart = voice("en-heart")
    base = estimated_ms("Hello there, this is a test.", heart)
    assert estimated_ms("Hello there, this is a test. [pause 3s]", heart) == base + 3000
    assert estimated_ms("Hello there, this is a test.", heart, 2.0) == pytest.approx(base / 2, abs=1)


def test_the_catalogue_is_complete_and_has_women_and_men():
    found = list_voices()
    assert len({one.id for one in found}) == len(found)
    assert {one.gender for one in found} == {"female", "male"}
    assert all(one.sample_text and one.name and -12 < one.gain_db < 12 for one in found)
    assert list_voices(providers=()) == []
    with pytest.raises(KeyError):
        voice("nobody")
    with pytest.raises(KeyError):
        synthesizer_for(found[0], {})
