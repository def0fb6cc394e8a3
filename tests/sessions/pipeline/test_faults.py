"""Parts of a reply that fail, stall or answer nonsense: told by name, apologised for, and survived."""

import asyncio
from typing import Any

import pytest

from sessions.pipeline import apology
from sessions.pipeline.ports import FailureMode, Limits, PersonaSetup
from tests.sessions.pipeline.cast import ScriptedVoice, ScriptedWorker, in_virtual_time, room, tokens, tone
from workers.adapters.errors import AdapterError

ANSWER = "Sure, I can help you with that. We are open from nine to five."
AGAIN = "Of course."
SORRY = "Sorry, that went wrong."
PERSONA = PersonaSetup(system_prompt="Be kind.", apology=SORRY)
MODES: tuple[FailureMode, ...] = ("spoken", "written")
LIMITS = Limits(
    first_token_seconds=3,
    next_token_seconds=2,
    first_sound_seconds=2,
    next_sound_seconds=1,
    render_seconds=12,
)


def _error(code: str = "provider_error", *, retryable: bool = False) -> AdapterError:
    return AdapterError("It did not work.", provider="scripted", retryable=retryable, code=code)


@pytest.fixture(autouse=True)
def nothing_prepared():
    apology._kept.clear()
    yield
    apology._kept.clear()


async def _goes_on(talk: Any) -> None:
    """The session answers the next question as if nothing had been."""
    await talk.until("metrics")
    count = len(talk.of("speech.ended"))
    await talk.conversation.ask(text="And on Sunday?")
    ended = await talk.until("speech.ended", count + 1)
    assert ended["heard_text"] == AGAIN
    assert talk.conversation.phase == "idle"
    assert len(talk.of("speech.started")) == len(talk.of("speech.ended"))


def _codes(talk: Any) -> list[str]:
    return [event["code"] for event in talk.of("error")]


FIRST = "Sure, I can help you with that."
BROKEN_OFF = _error("provider_truncated", retryable=True)
MODEL_FAULTS: dict[str, tuple[list[Any], str, str]] = {
    "error": ([0.1, _error("provider_refused")], "language_model_refused", ""),
    "silence": ([3600], "language_model_timeout", ""),
    "nothing": ([0.1], "language_model_empty", ""),
    "blank": ([0.1, " \n", 0.1], "language_model_empty", ""),
    "breaks off": ([*tokens(ANSWER)[:20], BROKEN_OFF], "language_model_truncated", FIRST),
    "stops": ([*tokens(ANSWER)[:20], 3600], "language_model_timeout", FIRST),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fault", MODEL_FAULTS)
@in_virtual_time
async def test_a_language_model_that_fails_is_apologised_for(fault, mode):
    steps, code, heard = MODEL_FAULTS[fault]
    async with room(answers=[steps, tokens(AGAIN)], persona=PERSONA, failure=mode, limits=LIMITS) as talk:
        await talk.conversation.ask(text="When are you open?")
        await talk.until("metrics")
        assert _codes(talk) == [code]
        assert talk.of("error")[0]["detail"]
        assert talk.of("reply.delta")[-1]["text"].strip() == SORRY
        spoken = [*([heard] if heard else []), *([SORRY] if mode == "spoken" else [])]
        assert [event["heard_text"] for event in talk.of("speech.ended")] == (
            [" ".join(spoken)] if spoken else []
        )
        assert talk.stage.turns[2].status == "failed"
        await _goes_on(talk)


SPEECH_FAULTS = {
    "error": (_error("provider_refused"), "speech_refused", ""),
    "silence": ("silence", "speech_no_audio", ""),
    "stalls": ("stall", "speech_timeout", ""),
    "breaks off": ("cut", "speech_truncated", "Sure,"),
    "stops": ("stall_inside", "speech_timeout", "Sure,"),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fault", SPEECH_FAULTS)
@in_virtual_time
async def test_a_voice_that_fails_is_apologised_for_in_writing(fault, mode):
    behaviour, code, _ = SPEECH_FAULTS[fault]
    voice = ScriptedVoice(faults={0: behaviour, 1: behaviour})
    async with room(
        answers=[tokens(ANSWER), tokens(AGAIN)], voice=voice, persona=PERSONA, failure=mode, limits=LIMITS
    ) as talk:
        await talk.conversation.ask(text="When are you open?")
        await talk.until("metrics")
        voice.faults.clear()
        assert _codes(talk) == [code]
        assert talk.of("reply.delta")[-1]["text"].strip() == SORRY
        assert talk.stage.turns[2].status == "failed"
        await _goes_on(talk)


@in_virtual_time
async def test_an_apology_that_was_prepared_is_heard_though_the_voice_is_away():
    voice = ScriptedVoice()
    async with room(answers=[tokens(ANSWER), tokens(AGAIN)], voice=voice, persona=PERSONA) as talk:
        await talk.conversation.start()
        await asyncio.sleep(2)
        assert voice.said == [SORRY]
        voice.faults.update({1: _error(), 2: _error()})
        await talk.conversation.ask(text="When are you open?")
        ended = await talk.until("speech.ended")
        assert ended["heard_text"] == SORRY
        voice.faults.clear()
        await _goes_on(talk)


@in_virtual_time
async def test_a_voice_that_stalls_once_is_asked_again():
    voice = ScriptedVoice(faults={0: "stall"})
    async with room(answers=[tokens(ANSWER)], voice=voice, limits=LIMITS) as talk:
        await talk.conversation.ask(text="When are you open?")
        ended = await talk.until("speech.ended")
        assert ended["heard_text"] == ANSWER
        assert voice.said[:2] == ["Sure,", "Sure,"]
        assert _codes(talk) == []


@in_virtual_time
async def test_a_later_sentence_that_fails_does_not_take_the_ones_before_it():
    voice = ScriptedVoice(faults={2: _error("provider_refused")})
    async with room(
        answers=[tokens(ANSWER), tokens(AGAIN)], voice=voice, persona=PERSONA, failure="written"
    ) as talk:
        await talk.conversation.ask(text="When are you open?")
        ended = await talk.until("speech.ended")
        assert ended["heard_text"] == "Sure, I can help you with that."
        assert not ended["interrupted"]
        await _goes_on(talk)


RENDER_FAULTS = {
    "fail": "render_timeout",
    "stall": "render_timeout",
    "garbage": "render_malformed",
    "short": "render_malformed",
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("number", [0, 1, 3])
@pytest.mark.parametrize("fault", RENDER_FAULTS)
@in_virtual_time
async def test_pictures_that_are_not_drawn_end_the_reply_and_not_the_session(fault, number, mode):
    worker = ScriptedWorker(faults={number: fault})
    async with room(
        answers=[tokens(ANSWER), tokens(AGAIN)], worker=worker, persona=PERSONA, failure=mode, limits=LIMITS
    ) as talk:
        await talk.conversation.ask(text="When are you open?")
        await talk.until("metrics")
        assert _codes(talk) == [RENDER_FAULTS[fault]]
        assert talk.of("reply.delta")[-1]["text"].strip() == SORRY
        assert len(talk.of("speech.ended")) == len(talk.of("speech.started")) == (number > 0)
        for ended in talk.of("speech.ended"):
            assert ANSWER.startswith(ended["heard_text"])
        assert talk.stage.playout.queued_frames() == 0
        assert not talk.stage.playout.speaking
        await _goes_on(talk)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("heard", "code"),
    [
        (_error("provider_timeout"), "recognition_timeout"),
        (3600, "recognition_timeout"),
        ("", "nothing_heard"),
    ],
)
@in_virtual_time
async def test_a_recording_that_is_not_understood_is_told(heard, code, mode):
    async with room(answers=[tokens(AGAIN)], ears=[heard], persona=PERSONA, failure=mode) as talk:
        await talk.conversation.ask(pcm48k=tone(500, rate=48_000))
        await talk.until("metrics", seconds=90)
        assert _codes(talk) == [code]
        assert talk.of("transcript.final") == []
        await _goes_on(talk)


@in_virtual_time
async def test_a_text_without_anything_that_sounds_is_told():
    async with room(answers=[tokens(AGAIN)], persona=PERSONA) as talk:
        await talk.conversation.say(text="*** --- ***")
        await talk.until("metrics")
        assert _codes(talk) == ["nothing_to_say"]
        await _goes_on(talk)


@in_virtual_time
async def test_a_mistake_of_ours_ends_the_reply_and_not_the_session(caplog):
    async with room(answers=[tokens(ANSWER), tokens(AGAIN)]) as talk:
        record = talk.stage.record
        talk.stage.record = None
        await talk.conversation.ask(text="When are you open?")
        await talk.until("metrics")
        assert _codes(talk) == ["internal_error"]
        assert "A reply of session ses_test failed" in caplog.text
        talk.stage.record = record
        await _goes_on(talk)


@in_virtual_time
async def test_an_answer_without_end_is_ended():
    steps = [step for number in range(400) for step in (f"Sentence number {number}. ", 1.0)]
    limits = Limits(reply_seconds=30)
    async with room(answers=[steps], limits=limits) as talk:
        await talk.conversation.ask(text="Tell me everything.")
        await talk.until("speech.ended", seconds=200)
        assert talk.when("metrics") - 1000 < 60
        assert _codes(talk) == []
