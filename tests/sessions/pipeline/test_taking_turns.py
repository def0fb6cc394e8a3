"""Who has the floor: spoken turns, greetings, and what everybody is told about it."""

import asyncio
import itertools
from typing import Any

import pytest

from project.errors import Conflict, InvalidInput
from sessions.pipeline.listen import Ears, UserTurn
from sessions.pipeline.ports import PastTurn, PersonaSetup
from tests.sessions.pipeline.cast import VOICE, in_virtual_time, room, tokens
from workers.adapters.errors import AdapterError

ANSWER = "Sure, I can help you with that. We are open from nine to five."
AGAIN = "Of course."


class Microphone:
    """Takes the place of the listener; tests speak through its ears."""

    made: list["Microphone"] = []

    def __init__(self, *, language: str, recognizer: Any, ears: Ears) -> None:
        self.language, self.ears = language, ears
        self.fed: list[tuple[bytes, int]] = []
        self.told: list[tuple[str, Any]] = []
        self.speaking = False
        Microphone.made.append(self)

    def feed(self, pcm16k: bytes, at_ms: int) -> None:
        self.fed.append((pcm16k, at_ms))

    def avatar_audio(self, pcm: bytes, at_ms: int) -> None:
        self.told.append(("audio", (len(pcm) // 2, at_ms)))

    def avatar_cut(self, at_ms: int) -> None:
        self.told.append(("cut", at_ms))

    def set_avatar_speaking(self, speaking: bool) -> None:
        self.speaking = speaking

    def mic_start(self) -> None:
        self.told.append(("start", None))

    def mic_stop(self) -> None:
        self.told.append(("stop", None))

    def close(self) -> None:
        self.told.append(("close", None))

    def says(self, text: str, start_ms: int = 0, end_ms: int = 900) -> None:
        self.ears.on_turn(UserTurn(text, start_ms, end_ms, b"", 250.0, 410.0))


@pytest.fixture(autouse=True)
def microphone(monkeypatch):
    Microphone.made = []
    monkeypatch.setattr("sessions.pipeline.conversation.Listener", Microphone)


def _stage(metrics: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in metrics["stages"] if one["name"] == name)


def _opened(talk: Any) -> Microphone:
    talk.conversation.hear(bytes(640), 0)
    return Microphone.made[0]


@in_virtual_time
async def test_a_spoken_turn_is_answered():
    async with room(answers=[tokens(ANSWER)]) as talk:
        mic = _opened(talk)
        await asyncio.sleep(2)
        mic.ears.on_speech_started(1000)
        assert talk.conversation.phase == "listening"
        mic.ears.on_partial("When are")
        mic.says("When are you open?", 1000, 1900)
        assert talk.conversation.phase == "thinking"
        metrics = await talk.until("metrics")
        assert talk.of("transcript.partial") == [{"type": "transcript.partial", "text": "When are"}]
        assert talk.of("transcript.final")[0]["text"] == "When are you open?"
        user = talk.stage.turns[1]
        assert (user.source, user.start_ms, user.end_ms) == ("voice", 1000, 1900)
        assert talk.stage.turns[2].source == "voice"
        assert metrics["asr_partial_latency_ms"] == 410.0
        assert metrics["asr_final_ms"] == 250.0
        assert metrics["response_ms"] == talk.of("reply.utterance")[0]["start_ms"] - 1900
        assert talk.stage.phases == ["listening", "thinking", "speaking", "idle"]


@in_virtual_time
async def test_a_spoken_turn_counts_from_the_end_of_the_voice():
    async with room(answers=[tokens(ANSWER)]) as talk:
        mic = _opened(talk)
        await asyncio.sleep(2.61)
        heard = UserTurn("Hello?", 1000, 2000, b"", 300.0, decided_ms=2550, asked_ms=2256, provider="ears")
        mic.ears.on_turn(heard)
        metrics = await talk.until("metrics")
        asked_ms = 640  # of 2.61 s, the frame that comes next
        endpoint, recognised, model = (_stage(metrics, name) for name in ("endpoint", "asr", "llm"))
        assert metrics["endpoint_ms"] == 550
        assert (endpoint["from_ms"], endpoint["to_ms"]) == (0, 550)
        assert (recognised["from_ms"], recognised["to_ms"]) == (256, 556)
        assert recognised["provider"] == "ears"
        assert model["from_ms"] == asked_ms
        first = next(one for one in metrics["stages"] if one["name"] == "playout")
        assert first["from_ms"] == pytest.approx(metrics["response_ms"], abs=40)


@in_virtual_time
async def test_who_only_types_costs_no_listener():
    async with room(answers=[tokens(AGAIN)]) as talk:
        await talk.conversation.ask(text="Hello?")
        await talk.until("metrics")
        talk.conversation.mic_stop()
        assert Microphone.made == []


@in_virtual_time
async def test_a_microphone_that_is_switched_on_meanwhile_knows_that_the_avatar_speaks():
    async with room(answers=[tokens(ANSWER)]) as talk:
        await talk.conversation.ask(text="When are you open?")
        await asyncio.sleep(1.5)
        mic = _opened(talk)
        assert mic.speaking
        began = talk.of("reply.utterance")[0]["start_ms"]
        assert mic.told[0][0] == "audio"
        assert mic.told[0][1][1] == began
        ends = [at_ms + samples // 48 for kind, (samples, at_ms) in mic.told if kind == "audio"]
        assert max(ends) >= 1500
        await talk.until("metrics")
        assert not mic.speaking


@in_virtual_time
async def test_talking_over_the_avatar_silences_it():
    async with room(answers=[tokens(ANSWER), tokens(AGAIN)]) as talk:
        mic = _opened(talk)
        await talk.conversation.ask(text="When are you open?")
        await asyncio.sleep(1.5)
        mic.ears.on_barge_in(1300)
        mic.ears.on_speech_started(1300)
        assert talk.conversation.phase == "listening"
        assert talk.of("speech.ended")[0]["interrupted"]
        # 1.5 s are frame 37 and a half, and the voice had begun at 1.3 s.
        assert talk.of("metrics")[0]["interrupt_ms"] == 38 * 40 - 1300
        await asyncio.sleep(1)
        mic.says("And on Sunday?", 1300, 2300)
        await talk.until("speech.ended", 2)
        assert [message.role for message in talk.model.asked[1]] == ["system", "user", "assistant", "user"]


@in_virtual_time
async def test_who_goes_on_talking_while_the_avatar_thinks_is_not_talked_over():
    async with room(answers=[tokens(ANSWER), tokens(AGAIN)]) as talk:
        mic = _opened(talk)
        mic.says("I wanted to know")
        await asyncio.sleep(0.2)
        mic.ears.on_speech_started(1200)
        await asyncio.sleep(2)
        assert talk.of("speech.started") == []
        mic.says("when you are open.")
        ended = await talk.until("speech.ended")
        assert ended["heard_text"] == AGAIN
        assert talk.model.asked[1][-1].content == "I wanted to know when you are open."


@in_virtual_time
async def test_an_answer_that_waited_for_a_cough_is_given():
    async with room(answers=[tokens(ANSWER)]) as talk:
        mic = _opened(talk)
        mic.says("When are you open?")
        await asyncio.sleep(0.2)
        mic.ears.on_speech_started(1200)
        await asyncio.sleep(1)
        mic.ears.on_dropped()
        ended = await talk.until("speech.ended")
        assert ended["heard_text"] == ANSWER
        assert talk.when("speech.started") - 1000.0 < 1.2 + 0.1


@in_virtual_time
async def test_who_was_cut_by_a_murmur_goes_on_with_the_sentence():
    async with room(answers=[tokens(ANSWER)]) as talk:
        mic = _opened(talk)
        await talk.conversation.ask(text="When are you open?")
        await talk.until("reply.utterance", 2)
        await asyncio.sleep(0.5)
        mic.ears.on_barge_in(900)
        mic.ears.on_speech_started(900)
        await asyncio.sleep(0.8)
        mic.ears.on_dropped()
        ended = await talk.until("speech.ended", 2)
        assert talk.of("speech.ended")[0]["heard_text"] == "Sure, I can help"
        assert ended["heard_text"] == "I can help you with that. We are open from nine to five."
        assert not ended["interrupted"]
        assert talk.stage.phases[-5:] == ["speaking", "listening", "thinking", "speaking", "idle"]


@in_virtual_time
async def test_but_only_once_or_an_echo_would_never_let_it_finish():
    async with room(answers=[tokens(ANSWER)]) as talk:
        mic = _opened(talk)
        await talk.conversation.ask(text="When are you open?")
        for count in (1, 2):
            await talk.until("speech.started", count)
            await asyncio.sleep(0.5)
            mic.ears.on_barge_in(900)
            mic.ears.on_speech_started(900)
            mic.ears.on_dropped()
        await asyncio.sleep(20)
        assert len(talk.of("speech.started")) == 2


@in_virtual_time
async def test_an_answer_that_was_cut_while_it_was_written_goes_on_with_whole_sentences():
    steps = [*tokens("Sure, we are open. We open at nine, and we"), 3600]
    async with room(answers=[steps]) as talk:
        mic = _opened(talk)
        await talk.conversation.ask(text="When are you open?")
        await talk.until("speech.started")
        await asyncio.sleep(0.1)
        mic.ears.on_barge_in(900)
        mic.ears.on_speech_started(900)
        mic.ears.on_dropped()
        ended = await talk.until("speech.ended", 2)
        assert ended["heard_text"] == "Sure, we are open."


@in_virtual_time
async def test_a_question_after_a_barge_in_is_what_is_answered():
    async with room(answers=[tokens(ANSWER), tokens(AGAIN)]) as talk:
        mic = _opened(talk)
        await talk.conversation.ask(text="When are you open?")
        await talk.until("speech.started")
        mic.ears.on_barge_in(900)
        mic.ears.on_speech_started(900)
        await talk.conversation.ask(text="And on Sunday?")
        await talk.until("speech.ended", 2)
        mic.ears.on_dropped()
        await asyncio.sleep(5)
        assert [event["heard_text"] for event in talk.of("speech.ended")][1:] == [AGAIN]


@in_virtual_time
async def test_speech_that_nobody_can_recognise_is_apologised_for():
    async with room(answers=[tokens(AGAIN)], persona=PersonaSetup(apology="Sorry, once more?")) as talk:
        mic = _opened(talk)
        mic.ears.on_speech_started(1000)
        mic.ears.on_fault(AdapterError("away", provider="x", retryable=True, code="provider_unreachable"))
        mic.ears.on_dropped()
        ended = await talk.until("speech.ended")
        assert talk.of("error")[0]["code"] == "recognition_unreachable"
        assert ended["heard_text"] == "Sorry, once more?"


@in_virtual_time
async def test_bad_sound_from_a_microphone_is_told():
    async with room() as talk:
        _opened(talk).ears.on_problem("microphone_rate", "Too fast.")
        assert talk.of("error") == [{"type": "error", "code": "microphone_rate", "detail": "Too fast."}]


@in_virtual_time
async def test_the_listener_knows_what_the_avatar_says_and_when():
    async with room(answers=[tokens(ANSWER)]) as talk:
        mic = _opened(talk)
        await talk.conversation.ask(text="When are you open?")
        await talk.until("speech.started")
        assert mic.speaking
        await asyncio.sleep(1.5)
        await talk.conversation.interrupt()
        assert not mic.speaking
        told = [value for kind, value in mic.told if kind == "audio"]
        # Each piece begins where the one before it ended, from the moment speech was heard.
        assert told[0][1] == talk.of("reply.utterance")[0]["start_ms"]
        for (samples, at_ms), (_, next_ms) in itertools.pairwise(told):
            assert next_ms == at_ms + samples // 48
        assert mic.told[-1] == ("cut", talk.stage.playout.frame * 40)


@in_virtual_time
async def test_push_to_talk_reaches_the_listener():
    async with room() as talk:
        talk.conversation.mic_start()
        talk.conversation.mic_stop()
        assert [kind for kind, _ in Microphone.made[0].told] == ["start", "stop"]


@in_virtual_time
async def test_who_comes_is_greeted_once():
    persona = PersonaSetup(greeting="Hello! How can I help?")
    async with room(answers=[tokens(AGAIN)], persona=persona) as talk:
        await talk.conversation.start()
        await talk.conversation.start()
        ended = await talk.until("speech.ended")
        assert ended == {
            "type": "speech.ended",
            "turn": 1,
            "interrupted": False,
            "heard_text": "Hello! How can I help?",
        }
        await talk.conversation.ask(text="Are you open?")
        await talk.until("speech.ended", 2)
        assert next(turn.text for turn in talk.conversation._history._turns) == "Hello! How can I help?"


@in_virtual_time
async def test_a_session_that_another_process_began_goes_on_and_greets_nobody():
    past = (PastTurn("user", "Hi"), PastTurn("avatar", "Hello there"))
    persona = PersonaSetup(greeting="Welcome!")
    async with room(answers=[tokens(AGAIN)], persona=persona, past=past, next_turn=3) as talk:
        await talk.conversation.start()
        assert await talk.conversation.ask(text="Still there?") == 4
        ended = await talk.until("speech.ended")
        assert ended["heard_text"] == AGAIN
        assert [message.content for message in talk.model.asked[0]] == ["Hi", "Hello there", "Still there?"]


@in_virtual_time
async def test_a_greeting_after_an_answer_is_heard_too():
    async with room(answers=[tokens(AGAIN)], persona=PersonaSetup(greeting="Hello!")) as talk:
        await talk.conversation.ask(text="Anybody there?")
        await talk.until("speech.ended")
        await talk.conversation.start()
        ended = await talk.until("speech.ended", 2)
        assert ended["heard_text"] == "Hello!"


@in_virtual_time
async def test_a_greeting_gives_way_to_a_question():
    async with room(answers=[tokens(AGAIN)], persona=PersonaSetup(greeting="Hello and welcome!")) as talk:
        await talk.conversation.start()
        await talk.conversation.ask(text="Are you open?")
        ended = await talk.until("speech.ended")
        assert ended["heard_text"] == AGAIN


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({}, "text_or_sound"),
        ({"text": "a", "pcm48k": b"ab"}, "text_or_sound"),
        ({"text": "  \n"}, "text_empty"),
        ({"text": "a" * 5001}, "text_too_long"),
        ({"pcm48k": b""}, "sound_invalid"),
        ({"pcm48k": b"abc"}, "sound_invalid"),
    ],
)
@in_virtual_time
async def test_what_cannot_be_said_or_asked_is_refused_and_interrupts_nobody(given, code):
    async with room(answers=[tokens(ANSWER)]) as talk:
        await talk.conversation.ask(text="When are you open?")
        await asyncio.sleep(1)
        for call in (talk.conversation.ask, talk.conversation.say):
            with pytest.raises(InvalidInput) as refused:
                await call(**given)
            assert refused.value.code == code
        assert talk.stage.playout.speaking


@in_virtual_time
async def test_nothing_can_be_asked_of_a_closed_conversation():
    async with room() as talk:
        _opened(talk)
        await talk.conversation.close()
        with pytest.raises(Conflict) as refused:
            await talk.conversation.ask(text="Hello?")
        assert refused.value.code == "session_not_active"
        talk.conversation.hear(bytes(640), 0)
        talk.conversation.mic_start()
        assert [kind for kind, _ in Microphone.made[0].told] == ["close"]


@in_virtual_time
async def test_the_persona_reaches_the_language_model():
    persona = PersonaSetup(
        language="de", system_prompt="Sei nett.", knowledge="Offen von 9 bis 5.", max_tokens=77
    )
    asked = {}

    class Model:
        provider = "x"

        async def stream(self, messages, **named):
            asked.update(named, messages=list(messages))
            yield "Ja."

        async def aclose(self) -> None: ...

    async with room(persona=persona, with_voice=VOICE) as talk:
        object.__setattr__(talk.conversation._setup, "language_model", Model())
        await talk.conversation.ask(text="Offen?")
        await talk.until("metrics")
    assert asked["max_tokens"] == 77
    assert asked["knowledge"] == "Offen von 9 bis 5."
    assert asked["language"] == "de"
    assert [message.content for message in asked["messages"]] == ["Sei nett.", "Offen?"]
