"""The conversation against providers on the other end of a socket, in time that passes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from project.bench.provider_stub import REPLY, Stub, provider_stub
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
from workers.adapters import registry
from workers.adapters.endpoint import Endpoint
from workers.speech import voices


@pytest.fixture
def stub() -> Iterator[Stub]:
    with provider_stub(first_token_ms=20, token_ms=1, first_byte_ms=20) as running:
        yield running


@asynccontextmanager
async def _talk(stub: Stub) -> AsyncIterator[Room]:
    voice = voices.list_voices()[0]
    model = registry.language_model("openai_compatible", Endpoint(f"{stub.url}/v1", "key"), {"model": "stub"})
    worker = ScriptedWorker()
    stage = Stage(worker)
    setup = Setup(
        session_id="ses_test",
        avatar=AvatarSetup("viseme", "bundle", "sha", 32, 32),
        voice=voice,
        persona=PersonaSetup(),
        language_model=model,
        synthesizer=voices.synthesizer_for(voice, {"local": Endpoint(stub.url, "key")}),
        recognizer=ScriptedEars(),
    )
    stage.talker = talk = Conversation(setup, stage)
    pump = asyncio.create_task(stage.pump())
    try:
        yield Room(talk, stage, ScriptedModel(), ScriptedVoice(), ScriptedEars(), worker)
    finally:
        await talk.close()
        pump.cancel()
        await asyncio.gather(pump, return_exceptions=True)
        await model.aclose()


async def _until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def test_an_answer_is_heard(stub):
    async with _talk(stub) as talk:
        await talk.conversation.ask(text="When are you open?")
        await talk.until("reply.utterance", 2)
        await _until(lambda: "".join(e["text"] for e in talk.of("reply.delta")) == REPLY)
        assert talk.of("reply.utterance")[0]["text"] == "Certainly,"
        assert talk.of("error") == []
        assert any(phone for chunk in talk.worker.chunks for phone in chunk.phones)


async def test_the_figures_tell_who_spoke(stub):
    stub.settings.reply = "Yes."
    async with _talk(stub) as talk:
        await talk.conversation.ask(text="When are you open?")
        metrics = await talk.until("metrics")
        assert metrics["tts_provider"] == "local"


@pytest.mark.parametrize("kind", ["chat", "speech"])
@pytest.mark.parametrize("behaviour", ["silent", "stall"])
async def test_an_interruption_hangs_up_on_a_provider_that_hangs(stub, kind, behaviour):
    stub.settings.misbehave = {kind: [behaviour]}
    async with _talk(stub) as talk:
        await talk.conversation.ask(text="When are you open?")
        await _until(lambda: stub.state.of(kind) and stub.state.of(kind)[0].body)
        await asyncio.sleep(0.2)
        assert stub.state.of(kind)[0].left_at is None
        await talk.conversation.interrupt()
        await _until(lambda: stub.state.of(kind)[0].left_at is not None, seconds=2)


async def test_connections_are_kept_from_turn_to_turn(stub):
    async with _talk(stub) as talk:
        for turn in range(3):
            await talk.conversation.ask(text="When are you open?")
            await talk.until("speech.started", turn + 1)
            # Let this answer's text and first sentences come to their end.
            await _until(lambda: stub.state.of("chat")[-1].done_at is not None)
            await asyncio.sleep(0.3)
            await talk.conversation.interrupt()
        assert len({asked.connection for asked in stub.state.of("chat")}) == 1
