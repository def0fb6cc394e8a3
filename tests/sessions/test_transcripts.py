import pytest

from sessions import services, transcripts
from tests.support.sessions import started

pytestmark = pytest.mark.postgres


@pytest.fixture
def session(alice, avatar):
    return started(alice, avatar)[0]


def say(session, number, who, text, *times, **more):
    told = dict(zip(("start_ms", "end_ms"), times, strict=False)) | more
    services.turn_save(session.pk, number, who=who, text=text, status="done", **told)


def spoken(text, start_ms, each_ms=400):
    """An utterance whose words take 400 ms each."""
    words = [
        [word, start_ms + n * each_ms, start_ms + (n + 1) * each_ms] for n, word in enumerate(text.split())
    ]
    return {"text": text, "start_ms": start_ms, "end_ms": words[-1][2], "words": words}


def test_turns_come_in_order_with_who_said_what_and_when(session) -> None:
    say(session, 2, "avatar", "It is on its way.", 3000, 4600, heard_text="It is on its way.")
    say(session, 1, "user", "Where is my parcel?", 800, 2200)
    told = transcripts.transcript(session)
    assert [(turn["turn"], turn["who"], turn["start_ms"]) for turn in told] == [
        (1, "user", 800),
        (2, "avatar", 3000),
    ]
    assert told[0]["heard_text"] is None
    assert told[1]["heard_text"] == "It is on its way."


def test_a_file_names_speakers_and_times(session) -> None:
    say(session, 1, "user", "Where is my parcel?", 800, 2200)
    say(session, 2, "avatar", "It left. It comes today.", 3000, 5000,
        utterances=[spoken("It left.", 3000), spoken("It comes today.", 3800)])  # fmt: skip
    assert transcripts.to_vtt(session) == (
        "WEBVTT\n\n"
        "1\n00:00:00.800 --> 00:00:02.200\n<v Customer>Where is my parcel?</v>\n\n"
        "2\n00:00:03.000 --> 00:00:03.800\n<v Card>It left.</v>\n\n"
        "3\n00:00:03.800 --> 00:00:05.000\n<v Card>It comes today.</v>\n\n"
    )


def test_what_was_cut_off_ends_where_it_was_heard_and_says_so(session) -> None:
    first, second = spoken("One two three.", 1000), spoken("Four five six seven.", 2200)
    third = spoken("Nobody heard this.", 3800)
    text = "One two three. Four five six seven. Nobody heard this."
    say(session, 1, "avatar", text, 1000, 3000,
        heard_text="One two three. Four five", interrupted=True,
        utterances=[first, second, third])  # fmt: skip
    say(session, 2, "user", "Stop!", 2900, 3300)
    vtt = transcripts.to_vtt(session)
    assert "<v Card>Four five (interrupted)</v>" in vtt
    assert "six" not in vtt
    assert "Nobody" not in vtt
    assert "00:00:02.200 --> 00:00:03.000" in vtt
    assert vtt.index("Four five") < vtt.index("Stop!")


def test_one_that_was_interrupted_before_anything_was_heard_is_not_shown(session) -> None:
    say(session, 1, "avatar", "Never began.", 1000, 1000, interrupted=True)
    assert transcripts.to_vtt(session) == "WEBVTT\n\n"


def test_a_typed_turn_is_shown_for_a_moment(session) -> None:
    say(session, 1, "user", "Hello", 5000)
    assert "00:00:05.000 --> 00:00:07.000" in transcripts.to_vtt(session)


def test_one_that_has_no_time_yet_is_left_out(session) -> None:
    say(session, 1, "avatar", "Being thought of")
    assert transcripts.to_vtt(session) == "WEBVTT\n\n"


def test_nothing_that_is_said_becomes_markup(session, avatar) -> None:
    type(avatar).objects.update(name="Eve</v><script>\n\nX")
    session.avatar.refresh_from_db()
    say(session, 1, "user", "</v><c.big>a --> b & c\n\nWEBVTT", 0, 900)
    say(session, 2, "avatar", "Hm.", 1000, 1500, heard_text="Hm.")
    vtt = transcripts.to_vtt(session)
    assert "&lt;/v&gt;&lt;c.big&gt;a --&gt; b &amp; c WEBVTT" in vtt
    assert "<v Eve&lt;/v&gt;&lt;script&gt; X>Hm.</v>" in vtt
    assert vtt.count("-->") == 2
    assert vtt.count("\n\n") == 3


def test_long_speech_is_cut_into_readable_pieces(session) -> None:
    text = "This is quite a long answer that goes on and on, because there is much to tell about it. " * 3
    say(session, 1, "avatar", text, 0, 30_000, heard_text=text, utterances=[spoken(text.strip(), 0)])
    cues = transcripts.to_vtt(session).split("\n\n")[1:-1]
    assert len(cues) > 3
    assert all(len(line) <= 42 + len("<v Card></v>") for cue in cues for line in cue.split("\n")[2:])
