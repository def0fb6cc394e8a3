"""Captions: nothing is lost, nothing overlaps, lines fit, whatever is said in whatever script."""

import itertools
import re
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.media import numbered_frame
from workers.rendering.captions import CaptionOverlay, Cue, Utterance, build_cues, to_srt, to_vtt
from workers.rendering.cues import width
from workers.rendering.typeset import typeset


@dataclass(frozen=True)
class Word:
    text: str
    start_ms: int
    end_ms: int


LETTERS = st.sampled_from(
    "abcdefgh ijkl,. mnop!? éü 東京日本の天気は、。「」 مرحبا שלום สวัสดี -->&<\n\u0301😀\u200d"
)
TEXTS = st.text(LETTERS, max_size=300)


@st.composite
def speeches(draw):
    utterances, at = [], 0
    for text in draw(st.lists(TEXTS, max_size=4)):
        start = at + draw(st.integers(0, 500))
        at = start + draw(st.integers(1, 20_000))
        utterances.append(Utterance(text, start, at))
    return utterances


def letters(text: str) -> str:
    return "".join(text.split())


@given(speeches())
def test_cues_keep_the_text_the_order_and_the_room(utterances):
    cues = build_cues(utterances)

    assert letters("".join(cue.text for cue in cues)) == letters("".join(each.text for each in utterances))
    assert all(cue.start_ms < cue.end_ms for cue in cues)
    assert all(before.end_ms <= after.start_ms for before, after in itertools.pairwise(cues))
    for cue in cues:
        assert 1 <= len(cue.lines) <= 2
        assert all(line.strip() == line and line for line in cue.lines)
        assert all(width(line) <= 42 + 2 for line in cue.lines)


@given(speeches(), st.integers(20, 60), st.integers(1, 3), st.integers(2000, 9000))
def test_limits_are_kept(utterances, max_chars, max_lines, max_ms):
    for cue in build_cues(utterances, max_chars, max_lines, max_ms):
        assert len(cue.lines) <= max_lines
        assert max(map(width, cue.lines)) <= max_chars + 2
        assert cue.end_ms - cue.start_ms <= max_ms


def test_captions_break_where_sentences_end():
    text = "This is the first sentence. And here comes another one that is quite a bit longer than the first."
    cues = build_cues([Utterance(text, 0, 6000)])

    assert cues[0].text == "This is the first sentence." or cues[0].lines[-1].endswith((".", ","))
    assert " ".join(line for cue in cues for line in cue.lines) == text


def test_words_tell_the_time():
    words = [Word("slow", 0, 3000), Word("then", 3000, 3200), Word("fast", 3200, 3400)]
    cues = build_cues([Utterance("slow then fast", 1000, 5000, words)], max_chars=4, max_lines=1)

    assert [(cue.start_ms, cue.text) for cue in cues] == [(1000, "slow"), (4000, "then"), (4200, "fast")]


def test_words_that_were_said_otherwise_still_tell_how_time_passes():
    words = [Word("twenty", 0, 500), Word("five", 500, 1000), Word("apples", 1000, 2000)]
    cues = build_cues([Utterance("25 apples", 0, 2000, words)])

    assert [cue.text for cue in cues] == ["25 apples"]
    assert cues[0].end_ms == 2000


def test_a_short_word_stays_long_enough_to_read_unless_the_next_one_comes():
    cues = build_cues([Utterance("Yes.", 0, 200), Utterance("No.", 600, 800)])

    assert [(cue.start_ms, cue.end_ms) for cue in cues] == [(0, 600), (600, 1600)]


def test_no_line_opens_with_a_closing_mark_or_ends_with_an_opening_one():
    text = "東京の天気は晴れです。明日は「雨」になるでしょう、傘を忘れないでください。" * 4
    lines = [line for cue in build_cues([Utterance(text, 0, 30_000)]) for line in cue.lines]

    assert len(lines) > 4
    assert not any(line[0] in "。、」" or line[-1] == "「" for line in lines)


def test_subrip_has_numbers_times_and_text():
    cues = [Cue(0, 1500, ("Hello", "there")), Cue(3_661_001, 3_662_000, ("a --> b",))]

    assert to_srt(cues) == (
        "1\n00:00:00,000 --> 00:00:01,500\nHello\nthere\n\n2\n01:01:01,001 --> 01:01:02,000\na → b\n\n"
    )


def test_webvtt_escapes_what_it_would_read_as_markup():
    text = to_vtt([Cue(40, 80, ("Tom & <b>Jerry</b> -->",))])

    assert text == "WEBVTT\n\n1\n00:00:00.040 --> 00:00:00.080\nTom &amp; &lt;b&gt;Jerry&lt;/b&gt; --&gt;\n\n"


@given(speeches())
def test_files_have_one_block_for_each_cue(utterances):
    cues = build_cues(utterances)
    timing = re.compile(r"^[\d:]+[.,]\d{3} --> [\d:]+[.,]\d{3}$", re.MULTILINE)

    assert len(timing.findall(to_srt(cues))) == len(timing.findall(to_vtt(cues))) == len(cues)
    assert to_srt(cues).count("\n\n") == len(cues)


@pytest.mark.parametrize(
    "text", ["Hello", "Привет", "東京", "你好", "안녕", "مرحبا", "שלום", "สวัสดี", "नमस्ते", "Grüße Ω"]
)
def test_every_script_is_drawn_with_its_own_letters(text):
    tofu = typeset("\uee00" * len(text), 32)
    ink = typeset(text, 32)

    assert (ink > 128).sum() > 50
    assert ink.shape != tofu.shape or not np.array_equal(ink, tofu)


def test_arabic_letters_are_joined():
    joined, apart = typeset("مرحبا", 40), typeset("\u200c".join("مرحبا"), 40)

    assert joined.shape[1] < apart.shape[1]


def test_a_line_to_the_left_begins_at_the_right():
    first = typeset("שלום", 32)
    line = typeset("שלום Parley", 32)

    right = line[:, -first.shape[1] :]

    assert np.corrcoef(right.reshape(-1), first.reshape(-1))[0, 1] > 0.8


def test_emoji_alone_draw_nothing():
    assert not typeset("😀👍🏽", 32).any()


@pytest.fixture
def grey():
    picture = numbered_frame(0, 320, 400)
    picture[:] = 128
    return picture


def test_a_caption_shows_in_its_frames_only(grey):
    overlay = CaptionOverlay([Cue(400, 800, ("Hello",))], 320, 400)

    assert [number for number in range(30) if overlay.active(number)] == list(range(10, 20))
    for number in (9, 20):
        overlay.draw(grey, number)
        assert (grey == 128).all()
    overlay.draw(grey, 10)
    assert (grey != 128).any()


def test_a_caption_is_white_on_dark_and_low_in_the_picture(grey):
    CaptionOverlay([Cue(0, 1000, ("Hello there",))], 320, 400).draw(grey, 3)
    luma = grey[:400]
    rows = np.flatnonzero((luma != 128).any(axis=1))

    assert rows.min() > 400 * 2 // 3
    assert rows.max() < 400 - 10
    assert luma.max() == 235
    assert luma.min() < 50


def test_a_coloured_picture_loses_its_colour_only_below_the_caption(grey):
    grey[400:] = 90
    CaptionOverlay([Cue(0, 1000, ("Hello there",))], 320, 400).draw(grey, 3)
    blue = grey.reshape(-1)[320 * 400 : 320 * 400 * 5 // 4].reshape(200, 160)

    assert (blue[:130] == 90).all()
    assert blue[150:].max() > 115


@pytest.mark.parametrize("size", [(128, 160), (360, 640), (1138, 640), (514, 642)])
def test_captions_fit_into_any_picture(size):
    text = tuple("WWWWWWWWWW WWWWWWWWWW WWWWWWWWWW WWWWWWWWW" for _ in range(2))
    picture = np.full((size[1] * 3 // 2, size[0]), 128, np.uint8)
    CaptionOverlay([Cue(0, 1000, text)], *size).draw(picture, 0)

    assert picture[: size[1]].max() > 150
