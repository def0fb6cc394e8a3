"""What was heard of an utterance, at exact positions of playout."""

import pytest

from sessions.pipeline.heard import Playing
from sessions.pipeline.track import Spoken
from workers.adapters.tts.base import Word

TEXT = 'He said: "It costs $5, really."'
WORDS = (
    Word("He", 0, 100),
    Word("said:", 100, 300),
    Word('"It', 400, 500),
    Word("costs", 500, 800),
    Word("$5,", 800, 1200),
    Word('really."', 1300, 1700),
)


def _playing(**changes: object) -> Playing:
    spoken = Spoken(0, TEXT, 0, frames=50, complete=True, pause_ms=300, said=[*WORDS])
    for name, value in changes.items():
        setattr(spoken, name, value)
    return Playing(spoken, start=100, characters_per_second=20.0)


@pytest.mark.parametrize(
    ("ms", "heard"),
    [
        (0, ""),
        (49, ""),
        (50, "He"),
        (199, "He"),
        (200, "He said:"),
        (449, "He said:"),
        (450, 'He said: "It'),
        (999, 'He said: "It costs'),
        (1000, 'He said: "It costs $5,'),
        (1499, 'He said: "It costs $5,'),
        (1500, TEXT),
        (2000, TEXT),
    ],
)
def test_a_word_was_heard_when_half_of_it_was_played(ms, heard):
    assert _playing().heard_text(ms * 48) == heard


@pytest.mark.parametrize(("ms", "heard"), [(0, ""), (400, "He said:"), (1000, 'He said: "It costs')])
def test_a_voice_that_tells_no_times_is_judged_by_its_pace(ms, heard):
    assert _playing(said=[], complete=False, frames=0).heard_text(ms * 48) == heard


def test_a_text_without_spaces_is_cut_between_its_characters():
    playing = _playing(said=[], text="営業時間は九時から五時までです", pause_ms=0, frames=50)
    assert playing.heard_text(1000 * 48) == "営業時間は九時"


def test_sound_without_text_has_no_words():
    assert _playing(said=[], text="").heard_text(48_000) == ""


def test_its_row_lies_on_the_sessions_timeline():
    row = _playing().row(1000 * 48)
    assert row["text"] == 'He said: "It costs $5,'
    assert (row["start_ms"], row["end_ms"]) == (4000, 5000)
    assert row["words"][0] == ["He", 4000, 4100]
    assert row["words"][-1] == ["$5,", 4800, 5200]


def test_the_pause_behind_the_voice_is_not_part_of_it():
    assert _playing().row(2000 * 48)["end_ms"] == 4000 + 1700


def test_what_follows_a_standstill_lies_later():
    playing = _playing()
    playing.gaps.append((480, 25))
    assert [playing.at_ms(ms) for ms in (0, 479, 480, 1000)] == [4000, 4479, 5480, 6000]
    assert playing.row(2000 * 48)["end_ms"] == 4000 + 1700 + 1000


def test_the_length_of_speech_that_still_comes_is_guessed():
    assert _playing(complete=False, frames=10).length_ms == round(len(TEXT) * 50)
    assert _playing(complete=False, frames=100).length_ms == 4000
    assert _playing().length_ms == 1700
