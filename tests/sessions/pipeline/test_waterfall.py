"""The stages of a turn: when each began, gave its first result and was over, on the clock of the turn."""

import pytest

from sessions.pipeline.waterfall import MOST_PIECES, MOST_TOOLS, Waterfall
from tests.sessions.pipeline.cast import ScriptedVoice, in_virtual_time, room, tokens

ANSWER = "Sure, I can help you with that. We are open from nine to five. Come and see us soon."
LONG = " ".join(f"This is sentence number {number} of a long answer." for number in range(24))
EACH = ("llm", "tts", "render", "playout")


def stages(metrics, name, piece=None):
    return [one for one in metrics["stages"] if one["name"] == name and one.get("piece") == piece]


@in_virtual_time
async def test_each_sentence_goes_through_its_stages_while_others_are_in_theirs():
    async with room(answers=[tokens(ANSWER, first=0.2, each=0.05)]) as talk:
        await talk.conversation.ask(text="When are you open?")
        metrics = await talk.until("metrics")
    (model,) = stages(metrics, "llm")
    assert (model["from_ms"], model["first_ms"], model["provider"]) == (0, 200, "scripted")
    pieces = sorted({one["piece"] for one in metrics["stages"] if "piece" in one})
    assert pieces == list(range(1, len(talk.of("reply.utterance")) + 1))
    for piece in pieces:
        written, spoken, drawn, heard = (stages(metrics, name, piece)[0] for name in EACH)
        assert written["to_ms"] <= spoken["from_ms"] <= spoken["first_ms"] <= spoken["to_ms"]
        assert spoken["first_ms"] <= drawn["from_ms"] <= drawn["first_ms"] <= heard["from_ms"]
        assert drawn["to_ms"] < heard["to_ms"]
        assert spoken["provider"] == "scripted"
    second = stages(metrics, "tts", 2)[0]
    assert second["from_ms"] < model["to_ms"], "the second sentence is spoken while the rest is written"
    assert stages(metrics, "playout", 1)[0]["from_ms"] == pytest.approx(metrics["first_audible_ms"], abs=1)
    assert stages(metrics, "playout", 2)[0]["from_ms"] >= stages(metrics, "playout", 1)[0]["to_ms"]


@in_virtual_time
async def test_the_stages_are_written_down_with_the_turn_and_in_the_order_they_began():
    async with room(answers=[tokens(ANSWER)]) as talk:
        turn = await talk.conversation.ask(text="When are you open?")
        metrics = await talk.until("metrics")
        assert talk.stage.turns[turn].metrics["stages"] == metrics["stages"]
    begun = [one["from_ms"] for one in metrics["stages"]]
    assert begun == sorted(begun)
    assert all(one["from_ms"] <= one["to_ms"] for one in metrics["stages"])


@in_virtual_time
async def test_what_an_interruption_cuts_ends_with_it():
    async with room(answers=[tokens(LONG, each=0.3)]) as talk:
        await talk.conversation.ask(text="Tell me everything.")
        await talk.until("reply.utterance", 2)
        await talk.conversation.interrupt()
        metrics = await talk.until("metrics")
    assert max(one["to_ms"] for one in metrics["stages"]) == stages(metrics, "llm")[0]["to_ms"]
    assert "interrupt_ms" not in metrics  # nobody's voice did it


@in_virtual_time
async def test_a_long_answer_keeps_no_more_than_a_bounded_number_of_stages():
    async with room(answers=[tokens(LONG)]) as talk:
        await talk.conversation.ask(text="Tell me everything.")
        metrics = await talk.until("metrics", seconds=600)
    spoken = len(talk.of("reply.utterance"))
    assert spoken > MOST_PIECES + 1
    for name in EACH:
        told = [one for one in metrics["stages"] if one["name"] == name and "piece" in one]
        assert len(told) == MOST_PIECES + 1
        assert [one.get("pieces", 1) for one in told] == [1] * MOST_PIECES + [spoken - MOST_PIECES]
        assert told[-1]["to_ms"] >= told[-2]["to_ms"]


@in_virtual_time
async def test_words_that_are_given_need_no_model():
    async with room() as talk:
        await talk.conversation.say(text=ANSWER)
        metrics = await talk.until("metrics")
    assert {one["name"] for one in metrics["stages"]} == {"tts", "render", "playout"}


@in_virtual_time
async def test_a_voice_that_fails_leaves_its_stage_behind():
    async with room(answers=[tokens(ANSWER)], voice=ScriptedVoice(faults={0: "stall", 1: "stall"})) as talk:
        await talk.conversation.ask(text="When are you open?")
        metrics = await talk.until("metrics")
    (spoken,) = stages(metrics, "tts", 1)
    assert "first_ms" not in spoken
    assert spoken["to_ms"] - spoken["from_ms"] == pytest.approx(20_000, abs=50)


@in_virtual_time
async def test_tools_are_told_by_their_name_up_to_a_number():
    made = Waterfall()
    for _ in range(MOST_TOOLS + 3):
        made.used("look_up", 1000.0)
    told = made.told(1000.0)
    assert told[0] == {"name": "tool", "from_ms": 0, "to_ms": 0, "label": "look_up"}
    assert len(told) == MOST_TOOLS
