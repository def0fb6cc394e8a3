"""What a turn leaves in the log and in its trace."""

import logging

import pytest
from django.test import override_settings

from project import tracing
from tests.sessions.pipeline.cast import in_virtual_time, room, tokens
from tests.support.otlp import traced
from workers.adapters.errors import AdapterError

ANSWER = "The zebrafinch is open from nine to five. Come and see us soon."


def over(caplog):
    return [one for one in caplog.records if one.name == "sessions.pipeline.over"]


async def asked(caplog, answer=None, cut=False):
    with caplog.at_level(logging.INFO):
        async with room(answers=[answer or tokens(ANSWER, first=0.2, each=0.05)]) as talk:
            turn = await talk.conversation.ask(text="Where is the zebrafinch?")
            if cut:
                await talk.until("reply.utterance")
                await talk.conversation.interrupt()
            await talk.until("metrics")
    return turn


@in_virtual_time
async def test_a_turn_has_one_trace_with_its_stages_where_they_were(caplog):
    with traced() as kept:
        turn = await asked(caplog)
    root = kept.one("turn")
    session = root.facts["session"]
    assert root.trace == f"{tracing.turn(session, turn).trace:032x}"
    assert root.facts["turn"] == turn
    assert root.facts["outcome"] == "done"
    below = [span for span in kept.spans if span is not root]
    assert {(span.trace, span.parent) for span in below} == {(root.trace, root.id)}
    assert {"llm", "tts", "playout"} <= {span.name for span in below}
    assert min(span.begun for span in below) == pytest.approx(root.begun, abs=0.002)
    first, second = sorted(kept.named("tts"), key=lambda span: span.facts["piece"])[:2]
    assert first.begun < second.begun < max(span.ended for span in kept.named("playout"))
    assert b"zebrafinch" not in kept.raw


@in_virtual_time
async def test_an_interrupted_turn_ends_its_trace(caplog):
    with traced() as kept:
        await asked(caplog, tokens(ANSWER * 9), cut=True)
    assert kept.one("turn").facts["outcome"] == "interrupted"
    assert kept.one("turn").code == ""


@in_virtual_time
async def test_a_failed_turn_is_told_with_its_code(caplog):
    with traced() as kept:
        await asked(
            caplog, [0.1, AdapterError("zebrafinch", provider="x", retryable=False, code="provider_quota")]
        )
    line = over(caplog)[-1]
    assert line.getMessage() == "A turn is over: language_model_quota"
    assert kept.one("turn").code == "language_model_quota"
    assert b"zebrafinch" not in kept.raw
    assert "zebrafinch" not in str([vars(record) for record in caplog.records])


@in_virtual_time
async def test_the_lines_of_a_turn_tell_figures_and_no_words(caplog):
    await asked(caplog)
    said, line = over(caplog)
    assert (said.getMessage(), said.facts) == (
        "The customer took a turn",
        {"source": "text", "characters": 24},
    )
    assert line.getMessage() == "A turn is over: done"
    assert line.facts["source"] == "text"
    assert line.facts["llm"] == "scripted"
    assert 0 < line.facts["audible_ms"] < line.facts["took_ms"]
    assert line.facts["characters"] == len(ANSWER)
    assert "zebrafinch" not in str([vars(record) for record in caplog.records])


@in_virtual_time
async def test_the_lines_of_a_turn_hold_what_was_said_where_that_is_wanted(caplog):
    with override_settings(LOG_SPOKEN_TEXT=True):
        await asked(caplog)
    told = [record.facts.get("text") for record in caplog.records if hasattr(record, "facts")]
    assert ANSWER in told
    assert "Where is the zebrafinch?" in told
