"""Copied voices of CosyVoice and Qwen, from their making to their end."""

import asyncio
import io
import wave
from collections.abc import Iterator

import pytest

from project.bench.babble import RATE, babble
from tests.support.dashscope import KEY, DashScope, dashscope
from tests.support.dashscope.state import Clone
from tests.support.servers import http_server, reply
from workers.adapters import retry
from workers.adapters.cloning.base import Cloned, Cloner
from workers.adapters.endpoint import Endpoint
from workers.adapters.errors import AdapterError
from workers.adapters.registry import cloner, lister, synthesizer
from workers.adapters.tts.base import PcmChunk, SpeechRequest

ADAPTERS = ["dashscope_cosyvoice", "dashscope_qwen"]
TEXT = "A stranger's voice, said again and again until it is long enough to be copied."


def recording(rate: int = RATE, seconds: float = 4.0) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((babble(TEXT).pcm * 4)[: int(seconds * rate) * 2])
    return out.getvalue()


@pytest.fixture(autouse=True)
def no_waiting_between_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BACKOFF_SECONDS", 0.0)


@pytest.fixture(scope="module")
def stored() -> Iterator[str]:
    """An address at which the recording lies."""
    with http_server() as server:
        server.answer = reply(200, recording(), Content_Type="audio/wav")
        yield f"http://127.0.0.1:{server.port}/recording.wav?signature=1"


def made(adapter: str, server: DashScope, **options: object) -> Cloner:
    quick = {"poll_seconds": 0.01} | options
    return cloner(adapter, Endpoint(server.url, KEY), quick)


async def copied(of: Cloner, stored: str, name: str = "Ada Lovelace") -> Cloned:
    return await of.clone(name=name, audio=recording(), audio_url=stored, language="en-US")


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_a_voice_is_made_listed_heard_and_removed(adapter: str, stored: str):
    kind = adapter.removeprefix("dashscope_")
    with dashscope() as server:
        cloned = await copied(made(adapter, server), stored)
        assert server.state.clones[cloned.provider_voice].target_model == cloned.model
        (listed,) = await lister("dashscope_clones", Endpoint(server.url, KEY), {"kind": kind}).voices()
        assert (listed.provider_voice, listed.model) == (cloned.provider_voice, cloned.model)
        assert "ada" in listed.name

        speaker = synthesizer(kind, Endpoint(server.url, KEY), {"model": cloned.model})
        request = SpeechRequest("Hello there.", cloned.provider_voice, "en-US")
        events = [event async for event in speaker.stream(request)]
        assert b"".join(event.pcm for event in events if isinstance(event, PcmChunk)) == server.sound

        await made(adapter, server).delete(cloned.provider_voice)
        assert not server.state.clones


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_another_model_can_be_what_voices_are_made_for(adapter: str, stored: str):
    model = {"dashscope_cosyvoice": "cosyvoice-v3-plus"}.get(adapter, "qwen3-tts-vc-realtime-2026-01-15")
    with dashscope() as server:
        assert (await copied(made(adapter, server, model=model), stored)).model == model


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("name", ["Ada Lovelace the Countess", "阿达", "007 Bond", "_x", ""])
async def test_any_name_becomes_one_that_the_service_takes(adapter: str, name: str, stored: str):
    with dashscope() as server:
        assert (await copied(made(adapter, server), stored, name)).provider_voice in server.state.clones


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_removing_a_voice_that_is_gone_is_no_error(adapter: str):
    with dashscope() as server:
        await made(adapter, server).delete("never-was")


async def test_cosyvoice_needs_an_address_to_fetch_the_recording_from():
    with dashscope() as server:
        with pytest.raises(AdapterError) as caught:
            await copied(made("dashscope_cosyvoice", server), "")
        assert not server.requests
    assert (caught.value.code, caught.value.retryable) == ("audio_url_needed", False)


async def test_cosyvoice_waits_until_the_voice_can_speak(stored: str):
    with dashscope(deploying=3) as server:
        await copied(made("dashscope_cosyvoice", server), stored)
        asked = [one.body["input"]["action"] for one in server.requests]
    assert asked == ["create_voice", *["query_voice"] * 4]


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_voice_that_is_never_ready_does_not_stay(stored: str, *, cancelled: bool):
    with dashscope(deploying=10**6) as server:
        seconds = 60.0 if cancelled else 0.05
        making = asyncio.create_task(
            copied(made("dashscope_cosyvoice", server, ready_seconds=seconds), stored)
        )
        while cancelled and len(server.requests) < 2:
            await asyncio.sleep(0.005)
        if cancelled:
            making.cancel()
        await asyncio.wait([making])
        assert not server.state.clones
    if not cancelled:
        error = making.exception()
        assert isinstance(error, AdapterError)
        assert error.code == "provider_timeout"


async def test_a_recording_that_the_service_cannot_use_is_rejected():
    with dashscope() as server:
        of = made("dashscope_qwen", server)
        for audio in (recording(seconds=1.0), recording(16_000), b"no sound at all"):
            with pytest.raises(AdapterError) as caught:
                await of.clone(name="x", audio=audio, audio_url="", language="")
            assert (caught.value.code, caught.value.retryable) == ("provider_rejected", False)
        assert len(server.requests) == 3
        with pytest.raises(AdapterError) as caught:
            await of.clone(name="x", audio=bytes(9_000_000), audio_url="", language="")
        assert caught.value.code == "audio_too_long"


async def test_a_recording_that_cannot_be_fetched_is_not_a_missing_voice():
    with dashscope() as server, http_server() as nothing:
        nothing.answer = reply(404)
        with pytest.raises(AdapterError) as caught:
            await copied(made("dashscope_cosyvoice", server), f"http://127.0.0.1:{nothing.port}/gone.wav")
    assert (caught.value.code, caught.value.retryable) == ("provider_not_found", False)


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_a_refused_key_is_told_and_a_busy_service_asked_again(adapter: str, stored: str):
    with dashscope() as server:
        server.misbehave("401")
        with pytest.raises(AdapterError) as caught:
            await copied(made(adapter, server), stored)
        assert (caught.value.code, caught.value.retryable) == ("provider_unauthorized", False)
        server.misbehave("429")
        await copied(made(adapter, server), stored)
        assert len(server.state.clones) == 1


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_what_may_have_made_a_voice_is_not_asked_twice(adapter: str, stored: str):
    with dashscope() as server:
        server.misbehave("500")
        with pytest.raises(AdapterError):
            await copied(made(adapter, server), stored)
        assert len(server.requests) == 1


@pytest.mark.parametrize("kind", ["cosyvoice", "qwen"])
async def test_all_pages_of_voices_are_read(kind: str):
    with dashscope() as server:
        for number in range(250):
            name = f"cosyvoice-v2-ada-{number}" if kind == "cosyvoice" else f"qwen-tts-vc-ada-voice-{number}"
            server.state.clones[name] = Clone(name, "cosyvoice-v2", kind, asked=9)
        voices = await lister("dashscope_clones", Endpoint(server.url, KEY), {"kind": kind}).voices()
    assert len({voice.provider_voice for voice in voices}) == 250
    assert {(voice.name, voice.model) for voice in voices} == {("ada", "cosyvoice-v2")}
