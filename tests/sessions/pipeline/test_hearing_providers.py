"""Customers with real voices and recognisers on the other end of a socket."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sessions.pipeline.conversation import Conversation
from sessions.pipeline.ports import AvatarSetup, PersonaSetup, Setup
from tests.sessions.pipeline.cast import (
    Room,
    ScriptedEars,
    ScriptedModel,
    ScriptedVoice,
    ScriptedWorker,
    Stage,
)
from tests.support.dashscope import dashscope
from tests.support.hearing import mixed, pieces, room, spoken
from tests.support.http_service import served
from tests.support.openai_speech import OpenAISpeech
from workers.adapters import breaker, sockets
from workers.adapters.endpoint import Endpoint
from workers.adapters.registry import recognizer
from workers.adapters.stt.base import Recognizer
from workers.adapters.stt.chain import FallbackRecognizer
from workers.speech import voices

KEY = "secret"
SAID = ["Hello there.", "When are you open?"]


@pytest.fixture(autouse=True)
def nobody_failed_before():
    breaker.reset()


def paraformer(server: Any) -> Recognizer:
    options = {"provider": "dashscope", "connect_seconds": 2.0, "start_seconds": 2.0, "event_seconds": 2.0}
    return recognizer("paraformer", Endpoint(server.url, KEY), options)


def whisper(service: OpenAISpeech) -> Recognizer:
    return recognizer("openai_compatible", Endpoint(service.url, KEY), {"provider": "openai"})


@asynccontextmanager
async def _talk(ears: Recognizer) -> AsyncIterator[Room]:
    worker, voice = ScriptedWorker(), ScriptedVoice()
    model = ScriptedModel(answers=deque([["Yes."], ["Yes."]]))
    stage = Stage(worker)
    setup = Setup(
        session_id="ses_test",
        avatar=AvatarSetup("viseme", "bundle", "sha", 32, 32),
        voice=voices.list_voices()[0],
        persona=PersonaSetup(),
        language_model=model,
        synthesizer=voice,
        recognizer=ears,
    )
    stage.talker = talk = Conversation(setup, stage)
    pump = asyncio.create_task(stage.pump())
    try:
        yield Room(talk, stage, model, voice, ScriptedEars(), worker)
    finally:
        await talk.close()
        pump.cancel()
        await asyncio.gather(pump, return_exceptions=True)
        await sockets.close_idle()


async def _ask(talk: Room, begin_ms: int = 0) -> int:
    """Say four seconds of question and fall silent, somewhat faster than life; returns when that was."""
    for piece, end in pieces(mixed(6.0, (0.5, spoken("question")), (0, room(6.0)))):
        talk.conversation.hear(piece, begin_ms + end)
        await asyncio.sleep(0.01)
    return begin_ms + 6_000


async def _until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def _user_turns(talk: Room) -> list[Any]:
    return [turn for turn in talk.stage.journal.turns.values() if turn.who == "user"]


async def test_a_stream_hears_a_customer():
    with dashscope(key=KEY, sentences=SAID, sentence_ms=2_000) as server:
        async with _talk(FallbackRecognizer([paraformer(server)])) as talk:
            now = await _ask(talk)
            await talk.until("transcript.final")
            assert talk.of("transcript.final")[0]["text"] == " ".join(SAID)
            partials = [event["text"] for event in talk.of("transcript.partial")]
            assert len(partials) > 4
            assert partials[0] == "Hello"
            (turn,) = _user_turns(talk)
            assert [told["text"] for told in turn.utterances] == SAID
            assert all(turn.start_ms <= told["start_ms"] <= told["end_ms"] for told in turn.utterances)
            assert turn.utterances[0]["words"][0][0] == "Hello"
            # Another turn pays for no handshake.
            await _ask(talk, now + 1_000)
            await talk.until("transcript.final", 2)
            assert len(server.requests) == 2
            assert server.opened == 1


async def test_who_dies_in_the_middle_of_a_turn_is_followed_by_the_next():
    hearing = OpenAISpeech(KEY)
    hearing.transcript = "When do you open on Sundays?"
    with dashscope(key=KEY, sentences=SAID, sentence_ms=8_000) as server, served(hearing) as second:
        server.misbehave("cut")
        async with _talk(FallbackRecognizer([paraformer(server), whisper(second)])) as talk:
            await _ask(talk)
            await talk.until("transcript.final")
            assert talk.of("transcript.final")[0]["text"] == hearing.transcript
            assert talk.of("error") == []
            await talk.until("metrics")
            metrics = talk.of("metrics")[0]
            assert metrics["stt_provider"] == "openai"
            assert "asr_final_ms" in metrics
        assert len(server.requests) == 1


async def test_a_session_that_ends_hangs_up():
    with dashscope(key=KEY, sentences=SAID, sentence_ms=8_000) as server:
        async with _talk(FallbackRecognizer([paraformer(server)])) as talk:
            for piece, end in pieces(mixed(2.0, (0.5, spoken("question")), (0, room(2.0)))):
                talk.conversation.hear(piece, end)
                await asyncio.sleep(0.005)
            await _until(lambda: server.open_now == 1)
            await talk.conversation.close()
            await _until(lambda: server.open_now == 0)
