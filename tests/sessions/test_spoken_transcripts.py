"""Transcripts of what customers said, with the sentences that a recogniser timed."""

import pytest

from generation.avatars.models import Avatar
from project.accounts.models import User
from sessions import transcripts
from sessions.models import Turn
from tests.support.sessions import create

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("sentences", "shown"),
    [
        (
            [("Hello there.", ["Hello", "there."]), ("Are you open?", ["Are", "you", "open?"])],
            ["Hello there.", "Are you open?"],
        ),
        ([("你好，我想退货。", ["你好，", "我想", "退货。"])], ["你好，我想退货。"]),  # noqa: RUF001
        ([("When do you open?", [])], ["When do you open?"]),
    ],
)
def test_each_sentence_is_shown_when_it_was_said(
    alice: User, avatar: Avatar, sentences: list[tuple[str, list[str]]], shown: list[str]
) -> None:
    session = create(alice, avatar).session
    told = []
    for number, (text, words) in enumerate(sentences):
        begin = 1_000 + 2_000 * number
        timed = [[word, begin + 300 * n, begin + 300 * (n + 1)] for n, word in enumerate(words)]
        told.append({"text": text, "start_ms": begin, "end_ms": begin + 1_500, "words": timed})
    text = " ".join(text for text, _ in sentences)
    Turn.objects.create(
        session=session,
        number=1,
        who="user",
        source="voice",
        status="done",
        text=text,
        heard_text=text,
        start_ms=1_000,
        end_ms=told[-1]["end_ms"],
        utterances=told,
    )
    vtt = transcripts.to_vtt(session)
    assert [line.partition(">")[2].removesuffix("</v>") for line in vtt.splitlines() if "<v" in line] == shown
    assert "00:00:01.000 --> " in vtt
