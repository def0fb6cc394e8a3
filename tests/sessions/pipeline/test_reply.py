"""A turn of the avatar: from text to what is played, and what is told about it."""

import itertools
import json
from dataclasses import replace

import pytest

from tests.sessions.pipeline.cast import (
    FRAME,
    VOICE,
    ScriptedVoice,
    ScriptedWorker,
    in_virtual_time,
    room,
    tokens,
    tone,
)

ANSWER = "Sure, I can help you with that. We are open from nine to five."
LONG = " ".join(f"This is sentence number {number} of a long answer." for number in range(12))


@in_virtual_time
async def test_an_answer_is_spoken_and_told_about():
    async with room(answers=[tokens(ANSWER)]) as talk:
        turn = await talk.conversation.ask(text="When are you open?")
        ended = await talk.until("speech.ended")
        assert turn == 2
        assert talk.of("transcript.final") == [
            {"type": "transcript.final", "turn": 1, "text": "When are you open?"}
        ]
        assert "".join(event["text"] for event in talk.of("reply.delta")) == ANSWER
        assert ended == {"type": "speech.ended", "turn": 2, "interrupted": False, "heard_text": ANSWER}
        assert [event["text"] for event in talk.of("reply.utterance")] == [
            "Sure,",
            "I can help you with that.",
            "We are open from nine to five.",
        ]
        assert talk.stage.phases == ["thinking", "speaking", "idle"]
        assert talk.kinds()[-1] == "metrics"


@in_virtual_time
async def test_text_is_told_soon_but_not_word_by_word():
    async with room(answers=[tokens(LONG, each=0.01)]) as talk:
        await talk.conversation.ask(text="Tell me.")
        await talk.until("speech.started")
        assert talk.when("reply.delta") == pytest.approx(1000.15)
        await talk.until("reply.utterance", 3)
        assert "".join(event["text"] for event in talk.of("reply.delta")) == LONG
        assert len(talk.of("reply.delta")) <= len(LONG.split()) / 6
        told = [
            t for e, t in zip(talk.stage.events, talk.stage.times, strict=True) if e["type"] == "reply.delta"
        ]
        assert min(b - a for a, b in itertools.pairwise(told)) >= 0.0799


@in_virtual_time
async def test_the_first_segment_comes_as_soon_as_its_parts_can():
    async with room(answers=[tokens(ANSWER)]) as talk:
        await talk.conversation.ask(text="When are you open?")
        metrics = await talk.until("metrics")
        # First token 150 ms, first sound 100 ms, five frames drawn in 30 ms: nothing is added.
        assert metrics["first_segment_ms"] == 280
        assert metrics["llm_first_token_ms"] == 150
        assert metrics["tts_first_pcm_ms"] == 100
        assert metrics["avatar_first_frame_ms"] == 30
        assert metrics["first_audible_ms"] <= 280 + 40
        assert metrics["underruns"] == 0
        assert metrics["av_drift_ms"] == 0.0
        assert metrics["turn"] == 2


@in_virtual_time
async def test_chunks_begin_short_grow_and_join_in_motion():
    async with room(answers=[tokens(LONG)]) as talk:
        await talk.conversation.ask(text="Tell me.")
        await talk.until("speech.ended")
        chunks = talk.worker.chunks
        assert [chunk.frames for chunk in chunks[:3]] == [5, 10, 20]
        assert max(chunk.frames for chunk in chunks) <= 37
        for before, after in itertools.pairwise(chunks):
            assert after.start_frame == before.start_frame + before.frames
        assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
        assert len({chunk.epoch for chunk in chunks}) == 1


@in_virtual_time
async def test_what_was_drawn_is_played_without_a_gap():
    async with room(answers=[tokens(LONG)]) as talk:
        await talk.conversation.ask(text="Tell me.")
        await talk.until("speech.ended")
        speaking = [tick.speaking for tick in talk.stage.ticks]
        first = speaking.index(True)
        spoken = sum(chunk.frames for chunk in talk.worker.chunks)
        assert all(speaking[first : first + spoken])
        assert not any(speaking[first + spoken :])


@in_virtual_time
async def test_no_more_than_two_chunks_are_asked_for_and_a_few_seconds_wait():
    async with room(answers=[tokens(LONG, each=0.001)], voice=ScriptedVoice(first=0.01)) as talk:
        await talk.conversation.ask(text="Tell me.")
        await talk.until("speech.ended")
        assert talk.worker.most <= 2
        assert talk.stage.most_queued <= 90 + 2 * 25
        assert talk.stage.most_queued >= 60


@in_virtual_time
async def test_the_next_sentence_is_spoken_while_the_last_one_plays_but_not_all_of_them():
    async with room(answers=[tokens(LONG, each=0.001)]) as talk:
        await talk.conversation.ask(text="Tell me.")
        await talk.until("reply.utterance", 2)
        assert 2 <= len(talk.voice.said) <= 6


@in_virtual_time
async def test_sound_and_pictures_of_a_fragment_are_equally_long():
    async with room(answers=[tokens(ANSWER)]) as talk:
        await talk.conversation.ask(text="When are you open?")
        await talk.until("speech.ended")
        frames = [chunk.frames for chunk in talk.worker.chunks]
        assert [len(pcm) // 3840 for _, pcm, _ in talk.stage.recorded] == frames
        assert all(len(pcm) % 3840 == 0 for _, pcm, _ in talk.stage.recorded)
        assert [number for _, _, number in talk.stage.recorded] == sorted(
            n for _, _, n in talk.stage.recorded
        )


@in_virtual_time
async def test_a_renderer_hears_what_lies_around_its_frames():
    async with room(answers=[tokens(LONG)]) as talk:
        await talk.conversation.ask(text="Tell me.")
        await talk.until("speech.ended")
        for chunk in talk.worker.chunks:
            assert len(chunk.pcm16k) == 2 * (chunk.lookback + 640 * chunk.frames + chunk.lookahead)
        first, second = talk.worker.chunks[:2]
        assert first.pcm16k[: 2 * first.lookback] == bytes(2 * first.lookback)
        # The second hears the sound of the first behind it, and the first heard the second ahead.
        spoken = 2 * 640 * first.frames
        heard_back = second.pcm16k[: 2 * second.lookback][-spoken:]
        own = first.pcm16k[2 * first.lookback :][:spoken]
        assert heard_back == own
        ahead = first.pcm16k[-2 * first.lookahead :]
        assert second.pcm16k[2 * second.lookback :][: len(ahead)] == ahead
        assert any(ahead)


@in_virtual_time
async def test_phones_reach_the_renderer_timed_from_its_first_frame():
    telling = replace(VOICE, understands_ipa=True)
    steps = tokens("Good morning everybody here")
    async with room(answers=[steps], voice=ScriptedVoice(phones=True), with_voice=telling) as talk:
        await talk.conversation.ask(text="Hi")
        await talk.until("speech.ended")
        first, second = talk.worker.chunks[:2]
        assert first.phones[0].start_ms == 0
        assert second.phones[0].start_ms == -40 * first.frames


@in_virtual_time
async def test_speech_ends_when_its_last_sound_was_played():
    async with room(answers=[tokens(ANSWER)]) as talk:
        await talk.conversation.ask(text="When are you open?")
        await talk.until("speech.ended")
        spoken = sum(chunk.frames for chunk in talk.worker.chunks)
        assert talk.when("speech.ended") - talk.when("speech.started") == pytest.approx(
            spoken * FRAME, abs=0.001
        )


@in_virtual_time
async def test_utterances_are_told_when_playout_begins_them_with_their_true_times():
    async with room(answers=[tokens(ANSWER)]) as talk:
        origin = talk.stage.playout.frame * FRAME
        await talk.conversation.ask(text="When are you open?")
        started = 1000.0
        await talk.until("speech.ended")
        for number, event in enumerate(talk.of("reply.utterance")):
            assert talk.when("reply.utterance", number) - started == pytest.approx(
                event["start_ms"] / 1000 - origin, abs=0.001
            )
            length = len(event["text"]) * 60
            assert event["end_ms"] - event["start_ms"] == pytest.approx(length, abs=60)


@in_virtual_time
async def test_the_turns_are_written_down_as_they_were_heard():
    async with room(answers=[tokens(ANSWER)]) as talk:
        await talk.conversation.ask(text="When are you open?")
        await talk.until("metrics")
        user, avatar = talk.stage.turns[1], talk.stage.turns[2]
        assert (user.who, user.source, user.status, user.text) == (
            "user",
            "text",
            "done",
            "When are you open?",
        )
        assert (avatar.who, avatar.status, avatar.text, avatar.heard_text) == (
            "avatar",
            "done",
            ANSWER,
            ANSWER,
        )
        assert avatar.start_ms == avatar.utterances[0]["start_ms"]
        assert avatar.end_ms >= avatar.utterances[-1]["end_ms"]
        assert [word[0] for word in avatar.utterances[1]["words"]] == [
            "I",
            "can",
            "help",
            "you",
            "with",
            "that.",
        ]
        assert avatar.metrics["first_segment_ms"] == 280


@in_virtual_time
async def test_a_voice_that_speaks_no_faster_than_it_is_heard_keeps_up():
    async with room(answers=[tokens(ANSWER)], voice=ScriptedVoice(rate=1.2)) as talk:
        await talk.conversation.ask(text="When are you open?")
        ended = await talk.until("speech.ended")
        assert ended["heard_text"] == ANSWER
        assert talk.worker.chunks[0].frames == 5


@in_virtual_time
async def test_a_text_is_said_word_for_word():
    async with room() as talk:
        turn = await talk.conversation.say(text="Please wait a moment.")
        ended = await talk.until("speech.ended")
        assert turn == 1
        assert ended["heard_text"] == "Please wait a moment."
        assert talk.stage.turns[1].source == "say"
        assert not talk.model.asked


@in_virtual_time
async def test_pauses_that_are_written_are_kept_and_not_shown():
    async with room() as talk:
        await talk.conversation.say(text="Please wait. [pause 2s] Here it is.")
        ended = await talk.until("speech.ended")
        assert ended["heard_text"] == "Please wait. Here it is."
        assert talk.of("reply.delta")[0]["text"] == "Please wait. Here it is."
        first, second = talk.of("reply.utterance")
        assert second["start_ms"] - first["end_ms"] == pytest.approx(2000, abs=60)


@in_virtual_time
async def test_given_sound_drives_the_avatar():
    async with room() as talk:
        sound = tone(3210, rate=48_000)
        await talk.conversation.say(pcm48k=sound)
        ended = await talk.until("speech.ended")
        played = b"".join(pcm for _, pcm, _ in talk.stage.recorded)
        assert played[: len(sound)] == sound
        assert len(played) - len(sound) < 3840
        assert not any(played[len(sound) :])
        assert ended == {"type": "speech.ended", "turn": 1, "interrupted": False, "heard_text": ""}
        assert talk.voice.said == []


@in_virtual_time
async def test_a_recorded_question_is_recognised_and_answered():
    async with room(answers=[tokens(ANSWER)], ears=["When are you open?"]) as talk:
        turn = await talk.conversation.ask(pcm48k=tone(1000, rate=48_000))
        await talk.until("speech.ended")
        assert turn == 2
        assert talk.of("transcript.final")[0] == {
            "type": "transcript.final",
            "turn": 1,
            "text": "When are you open?",
        }
        assert len(talk.ears.heard[0]) == 44 + 32_000
        assert talk.stage.turns[1].source == "upload"
        assert talk.model.asked[0][-1].content == "When are you open?"


@in_virtual_time
async def test_what_nobody_can_store_is_neither_heard_nor_answered():
    asked, answer = (
        "When are\0 you open\ud83d?",
        [0.1, "\0", "At ni\0ne \ud83d", "\ude00", " today.", "\ud83d"],
    )
    async with room(answers=[answer], ears=[asked]) as talk:
        await talk.conversation.ask(pcm48k=tone(1000, rate=48_000))
        ended = await talk.until("speech.ended")
        assert talk.of("transcript.final")[0]["text"] == "When are you open?"
        assert "".join(event["text"] for event in talk.of("reply.delta")) == "At nine 😀 today."
        assert "\0" not in ended["heard_text"]
        assert talk.stage.turns[2].text == "At nine 😀 today."
        json.dumps(talk.stage.events, ensure_ascii=False).encode()


@in_virtual_time
async def test_a_slow_worker_stops_the_speech_and_does_not_lose_any_of_it():
    answer = "We are open from nine to five on every day of the week and of the year and of the century."
    async with room(answers=[tokens(answer)], worker=ScriptedWorker(seconds=1.5)) as talk:
        await talk.conversation.ask(text="When are you open?")
        ended = await talk.until("speech.ended")
        metrics = await talk.until("metrics")
        assert metrics["underruns"] > 0
        assert ended["heard_text"] == answer
        spoken = sum(tick.speaking for tick in talk.stage.ticks)
        assert spoken == sum(chunk.frames for chunk in talk.worker.chunks)
        rows = talk.stage.turns[2].utterances
        assert all(a["end_ms"] <= b["start_ms"] for a, b in itertools.pairwise(rows))
        # The words move with the sound: the gaps in it are gaps between them.
        words = [word for row in rows for word in row["words"]]
        assert words[-1][2] - words[0][1] > 500 + len(answer) * 60
