"""The smallest real voice, through the real front end."""

import numpy as np
import pytest

from workers.speech.voices import list_voices
from workers.speechd.catalogue import VOICES
from workers.speechd.engines.hibari import Hibari
from workers.speechd.frontend.english import English
from workers.speechd.mouth import Mouth


@pytest.fixture(scope="module")
def mouth() -> Mouth:
    return Mouth({"hibari": lambda: Hibari(threads=1)}, {"en": English})


def test_every_voice_of_the_catalogue_has_an_engine():
    assert {voice.provider_voice for voice in list_voices()} <= set(VOICES)


def test_words_keep_their_spelling_and_come_in_order(mouth):
    (line,) = mouth.read("Parley's state-of-the-art U.S. voice, isn't it?", "en-heart")
    piece = mouth.say(line, "en-heart", 1.0)
    assert [word.text for word in piece.words] == [
        "Parley's",
        "state-of-the-art",
        "U.S.",
        "voice,",
        "isn't",
        "it?",
    ]
    starts = [word.start for word in piece.words]
    assert starts == sorted(starts)
    assert piece.words[-1].end <= len(piece.pcm) / 2 / piece.sample_rate


def test_lips_close_where_the_sound_says_so(mouth):
    text = "Bob put a big pepper on top. Peter picked a paper cup. A happy baby grabbed the rubber pipe."
    closed, opened = [], []
    for line in mouth.read(text, "en-heart"):
        piece = mouth.say(line, "en-heart", 1.0)
        pcm = np.frombuffer(piece.pcm, "<i2").astype(float)
        for sound in piece.sounds:
            middle = int((sound.start + sound.end) / 2 * piece.sample_rate)
            level = np.sqrt(np.mean(pcm[max(middle - 120, 0) : middle + 120] ** 2))
            (closed if sound.symbol in "pb" else opened if sound.symbol in "æɑaɛ" else []).append(level)
    assert np.median(opened) > 8 * np.median(closed)


def test_a_given_pronunciation_is_what_is_said(mouth):
    (line,) = mouth.read("Say [Qxz](/ˈpɑːrli/) now", "en-heart")
    assert "pˈɑɹli" in line.phonemes
    assert "Qxz" in line.words


def test_a_faster_voice_is_shorter(mouth):
    (line,) = mouth.read("This sentence is said at two speeds.", "en-heart")
    slow, fast = (len(mouth.say(line, "en-heart", speed).pcm) for speed in (1.0, 1.5))
    assert fast < 0.8 * slow


def test_the_same_text_sounds_the_same(mouth):
    (line,) = mouth.read("Again and again.", "en-heart")
    assert mouth.say(line, "en-heart", 1.0).pcm == mouth.say(line, "en-heart", 1.0).pcm


@pytest.mark.parametrize("text", ["...", "日本語", "😀", " \n "])
def test_what_cannot_be_read_gives_no_line(mouth, text):
    assert mouth.read(text, "en-heart") == []
