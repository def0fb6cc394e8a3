"""Silencing the avatar, at every moment of a reply: at once, whole, and told truly."""

import asyncio

import pytest

from sessions.pipeline.conversation import Interrupted
from tests.sessions.pipeline.cast import (
    FRAME,
    Room,
    ScriptedVoice,
    ScriptedWorker,
    in_virtual_time,
    room,
    tokens,
)

ANSWER = "Sure, I can help you with that. We are open from nine to five."
AGAIN = "Of course."

# Seconds after the question. First token 0.15, first sound 0.25, first chunk back 0.28, heard 0.32;
# "Sure," until 0.8, the second sentence until 2.68, the third until 4.48.
MOMENTS = [
    0.0,
    0.01,
    0.1,
    0.15,
    0.17,
    0.2,
    0.25,
    0.26,
    0.27,
    0.29,
    0.33,
    0.5,
    0.79,
    0.81,
    1.0,
    1.7,
    2.6,
    2.7,
    4.4,
]


async def _interrupted_at(talk: Room, seconds: float) -> Interrupted:
    await talk.conversation.ask(text="When are you open?")
    await asyncio.sleep(seconds)
    return await talk.conversation.interrupt()


@pytest.mark.parametrize("seconds", MOMENTS)
@in_virtual_time
async def test_after_an_interruption_nothing_of_the_old_epoch_happens(seconds):
    async with room(answers=[tokens(ANSWER)]) as talk:
        cut = await _interrupted_at(talk, seconds)
        ticks, events, chunks = len(talk.stage.ticks), len(talk.stage.events), len(talk.worker.chunks)
        await asyncio.sleep(10)
        assert cut.turn == 2
        assert not any(tick.speaking for tick in talk.stage.ticks[ticks:])
        assert talk.stage.events[events:] == []
        assert len(talk.worker.chunks) == chunks
        assert talk.stage.playout.queued_frames() == 0
        assert talk.conversation.phase == "idle"


@pytest.mark.parametrize("seconds", MOMENTS)
@in_virtual_time
async def test_every_provider_is_closed_at_once(seconds):
    async with room(answers=[tokens(ANSWER)]) as talk:
        await _interrupted_at(talk, seconds)
        await asyncio.sleep(0.001)
        assert talk.open == 0


@pytest.mark.parametrize("seconds", MOMENTS)
@in_virtual_time
async def test_the_end_of_speech_is_told_once_for_each_beginning(seconds):
    async with room(answers=[tokens(ANSWER)]) as talk:
        cut = await _interrupted_at(talk, seconds)
        ended = talk.of("speech.ended")
        assert len(ended) == len(talk.of("speech.started")) == (seconds >= 0.33)
        for event in ended:
            assert event == {
                "type": "speech.ended",
                "turn": 2,
                "interrupted": True,
                "heard_text": cut.heard_text,
            }
        assert ANSWER.startswith(cut.heard_text)
        turn = talk.stage.turns[2]
        assert (turn.status, turn.interrupted, turn.heard_text) == ("done", True, cut.heard_text)


@pytest.mark.parametrize("seconds", MOMENTS)
@in_virtual_time
async def test_the_next_answer_knows_what_was_heard_and_no_more(seconds):
    async with room(answers=[tokens(ANSWER), tokens(AGAIN)]) as talk:
        cut = await _interrupted_at(talk, seconds)
        await talk.conversation.ask(text="And on Sunday?")
        await talk.until("speech.ended", len(talk.of("speech.ended")) + 1)
        told = [(message.role, message.content) for message in talk.model.asked[-1]]
        if cut.heard_text:
            between = [
                ("user", "When are you open?"),
                ("assistant", cut.heard_text),
                ("user", "And on Sunday?"),
            ]
        else:
            between = [("user", "When are you open? And on Sunday?")]
        assert told == [("system", "Be kind."), *between]
        assert talk.of("speech.ended")[-1]["heard_text"] == AGAIN


@pytest.mark.parametrize("seconds", MOMENTS)
@in_virtual_time
async def test_a_new_question_interrupts_by_itself(seconds):
    async with room(answers=[tokens(ANSWER), tokens(AGAIN)]) as talk:
        await talk.conversation.ask(text="When are you open?")
        await asyncio.sleep(seconds)
        turn = await talk.conversation.ask(text="And on Sunday?")
        while not talk.of("speech.ended") or talk.of("speech.ended")[-1]["turn"] != turn:
            await asyncio.sleep(0.01)
        assert turn == 4
        assert [event["turn"] for event in talk.of("speech.ended")] == ([2] if seconds >= 0.33 else []) + [4]
        phases = talk.stage.phases
        assert phases == [
            "thinking",
            *(["speaking", "thinking"] if seconds >= 0.33 else []),
            "speaking",
            "idle",
        ]


@pytest.mark.parametrize("seconds", MOMENTS)
@in_virtual_time
async def test_closing_the_conversation_leaves_nothing_behind(seconds):
    async with room(answers=[tokens(ANSWER)]) as talk:
        await talk.conversation.ask(text="When are you open?")
        await asyncio.sleep(seconds)
        await talk.conversation.close()
        assert talk.open == 0
        assert len(talk.of("speech.ended")) == len(talk.of("speech.started"))


@in_virtual_time
async def test_the_next_frame_after_an_interruption_is_of_the_idle_loop():
    async with room(answers=[tokens(ANSWER)]) as talk:
        await talk.conversation.ask(text="When are you open?")
        await asyncio.sleep(1.01)
        assert talk.stage.ticks[-1].speaking
        before = len(talk.stage.ticks)
        epoch = talk.stage.playout.epoch
        await talk.conversation.interrupt()
        await asyncio.sleep(FRAME)
        assert not talk.stage.ticks[before].speaking
        assert talk.stage.playout.epoch == epoch + 1
        assert talk.stage.cancelled == [epoch]


@in_virtual_time
async def test_what_was_heard_is_cut_where_playout_stood():
    async with room(answers=[tokens(ANSWER)]) as talk:
        await talk.conversation.ask(text="When are you open?")
        await talk.until("reply.utterance", 2)
        begun = talk.of("reply.utterance")[1]["start_ms"]
        # "I" 0-60, "can" 120-300, "help" 360-600: half of "help" is over at 480 ms.
        while talk.stage.playout.frame * 40 < begun + 480:
            await asyncio.sleep(0.001)
        cut = await talk.conversation.interrupt()
        assert cut.heard_text == "Sure, I can help"
        row = talk.stage.turns[2].utterances[-1]
        assert row["text"] == "I can help"
        assert [word[0] for word in row["words"]] == ["I", "can", "help"]
        assert row["end_ms"] - row["start_ms"] == 480


@in_virtual_time
async def test_a_sentence_that_is_still_being_spoken_is_cut_by_its_length():
    async with room(answers=[tokens(ANSWER)], voice=ScriptedVoice(rate=1.05)) as talk:
        await talk.conversation.ask(text="When are you open?")
        await talk.until("reply.utterance", 2)
        await asyncio.sleep(0.7)
        cut = await talk.conversation.interrupt()
        assert cut.heard_text in ("Sure, I can", "Sure, I can help")


@in_virtual_time
async def test_interrupting_an_avatar_that_is_silent_changes_nothing():
    async with room(answers=[tokens(AGAIN)]) as talk:
        assert await talk.conversation.interrupt() == Interrupted(None, "")
        await talk.conversation.ask(text="May I?")
        await talk.until("metrics")
        assert await talk.conversation.interrupt() == Interrupted(None, "")
        assert [event["interrupted"] for event in talk.of("speech.ended")] == [False]


@in_virtual_time
async def test_saying_something_interrupts_an_answer():
    async with room(answers=[tokens(ANSWER)]) as talk:
        await talk.conversation.ask(text="When are you open?")
        await asyncio.sleep(1)
        await talk.conversation.say(text="One moment.")
        await talk.until("speech.ended", 2)
        assert [event["interrupted"] for event in talk.of("speech.ended")] == [True, False]
        assert talk.of("speech.ended")[1]["heard_text"] == "One moment."


@in_virtual_time
async def test_a_stuck_provider_does_not_delay_an_interruption():
    voice = ScriptedVoice(faults={0: "stall"})
    async with room(answers=[tokens(ANSWER), tokens(AGAIN)], voice=voice) as talk:
        await _interrupted_at(talk, 1.0)
        await talk.conversation.ask(text="And on Sunday?")
        begun = talk.when("transcript.final", 1)
        await talk.until("speech.started")
        assert talk.when("speech.started") - begun < 0.4


@in_virtual_time
async def test_chunks_that_come_back_late_are_not_played():
    async with room(answers=[tokens(ANSWER)], worker=ScriptedWorker(seconds=0.3)) as talk:
        await _interrupted_at(talk, 0.4)
        await asyncio.sleep(1)
        assert not any(tick.speaking for tick in talk.stage.ticks)
        assert talk.stage.recorded == []
