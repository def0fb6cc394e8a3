"""Every provider on the real stack, each against its fake: clips, conversations, and one that dies."""

import asyncio
import io
import time
import wave
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from project.bench.babble import RATE, babble
from project.bench.client import LiveClient
from project.bench.provider_stub import Stub, provider_stub
from project.bench.stack import EmbeddedStack
from tests.faults.batch import ready_avatar
from tests.support.dashscope import DashScope, dashscope
from tests.support.edge_service import edge_service
from tests.support.elevenlabs import ElevenLabsService, elevenlabs
from tests.support.http_service import HttpService, served
from tests.support.mimo import Mimo
from tests.support.openai_speech import OpenAISpeech
from tests.support.speech_services import SpeechServiceFake
from workers.adapters import catalogue
from workers.speech import voices

KEY = "sk-of-this-stack"
WORDS = "Good day."
DOOMED = """
id: doomed
name: A provider that will die
credentials: DOOMED
synthesis: {adapter: openai_compatible, model: talk}
recognition: {adapter: openai_compatible, model: listen}
language_model: {adapter: openai_compatible, model: think}
voices: [{provider_voice: en-heart, name: Doomed, language: en-US, gender: female}]
"""
SERVICES = {
    "COSYVOICE_LOCAL": "cosyvoice",
    "QWEN3_TTS_LOCAL": "qwen3-tts",
    "F5_TTS_LOCAL": "f5-tts",
    "INDEXTTS_LOCAL": "indextts",
    "OMNIRT_INDEXTTS": "omnirt",
}


@dataclass
class World:
    """The fakes, and the settings that lead to them; `doomed` can be closed alone."""

    dashscope: DashScope
    elevenlabs: ElevenLabsService
    stub: Stub
    doomed: ExitStack
    env: dict[str, str] = field(default_factory=dict)


def _spoken(service: HttpService) -> HttpService:
    service.says = True  # type: ignore[attr-defined]  # they say the text where they can
    return service


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("providers")
    (folder / "doomed.yaml").write_text(DOOMED)
    with ExitStack() as running, ExitStack() as doomed:
        cloud = running.enter_context(dashscope(key=KEY))
        eleven = running.enter_context(elevenlabs(key=KEY))
        stub = running.enter_context(provider_stub(reply="It is open now.", first_token_ms=20))
        dying = doomed.enter_context(provider_stub(reply="I feel well.", first_token_ms=20))
        edge = running.enter_context(edge_service())
        made: dict[str, str] = {
            "DASHSCOPE": cloud.url,
            "ELEVENLABS": eleven.url,
            "EDGE": edge.url,
            "OPENAI": running.enter_context(served(_spoken(OpenAISpeech(KEY)))).url,
            "MIMO": running.enter_context(served(_spoken(Mimo(KEY)))).url,
            "OLLAMA": stub.url,
            "VLLM": stub.url,
            "DOOMED": f"{dying.url}/v1",
        }
        for prefix, kind in SERVICES.items():
            made[prefix] = running.enter_context(served(SpeechServiceFake(kind, key=KEY))).origin
        env = {f"{prefix}_BASE_URL": _bare(prefix, url) for prefix, url in made.items()}
        env |= {f"{prefix}_API_KEY": KEY for prefix in made if prefix != "EDGE"}
        env |= {
            "PROVIDERS_DIR": str(folder),
            "SPEECH_URL": stub.url,
            "SPEECH_API_KEY": KEY,
            "LLM_BASE_URL": f"{stub.url}/v1",
            "LLM_MODEL": "stub",
            "BUILTIN_AVATARS": "lena",
            "ALLOWANCE_REQUESTS_A_MINUTE": "100000",
            "ALLOWANCE_CONCURRENT_SESSIONS": "100",
        }
        yield World(cloud, eleven, stub, doomed, env)


def _bare(prefix: str, url: str) -> str:
    """Without the path that the provider's file adds."""
    for provider in catalogue.providers().values():
        if provider.credentials == prefix and provider.path:
            return url.removesuffix(provider.path)
    return url


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, world: World) -> Iterator[EmbeddedStack]:
    home = tmp_path_factory.mktemp("stack") / "home"
    with EmbeddedStack(home, render_workers=1, env=world.env) as running:
        yield running


@pytest.fixture(scope="module")
def avatar(stack: EmbeddedStack) -> str:
    return ready_avatar(stack)


def speaking() -> list[str]:
    """One voice of each provider that speaks; English where there is one."""
    found: dict[str, str] = {}
    for voice in voices.list_voices(list(catalogue.providers())):
        if voice.provider not in found or not voice.language.startswith("en"):
            found.setdefault(voice.provider, voice.id)
    english = {
        voice.provider: voice.id
        for voice in reversed(voices.list_voices(list(catalogue.providers())))
        if voice.language.startswith("en")
    }
    return sorted((found | english).values())


async def joined(client: LiveClient) -> None:
    answer = await client.request("POST", "sessions", {"avatar": client.avatar, **client.wishes})
    assert answer.status_code == 201, answer.text
    client.session = answer.json()
    await client.join()
    await client.connect_media(wait_for_picture=False)


async def figures(client: LiveClient, command: str, **body: str) -> dict[str, Any]:
    """The figures of the turn that a command leads to."""
    answer = await client.request("POST", f"sessions/{client.id}/{command}", body)
    assert answer.status_code == 202, answer.text
    turn = answer.json()["turn"]
    told = await client.event("metrics", seconds=40, where=lambda data: data.get("turn") == turn)
    return told.data


def recording() -> bytes:
    """Something said, as a WAV."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        sound.writeframes(babble("When are you open?").pcm)
    return file.getvalue()


def uploaded(stack: EmbeddedStack) -> str:
    with stack.client as client:
        answer = client.post("/api/v1/uploads", files={"file": ("said.wav", recording(), "audio/wav")})
        return str(answer.json()["id"])


def test_every_voice_speaks_in_a_clip(stack: EmbeddedStack, avatar: str) -> None:
    wanted = speaking()
    assert {voices.voice(name).provider for name in wanted} >= {"qwen", "edge", "elevenlabs", "local"}
    clips = [
        {
            "avatar": avatar,
            "voice": name,
            "script": WORDS,
            "providers": {"tts": [voices.voice(name).provider]},
        }
        for name in wanted
    ]
    with stack.client as client:
        answer = client.post("/api/v1/clips/batch", json={"clips": clips})
        assert answer.status_code == 202, answer.text
        ids = {clip["id"]: clip["voice"] for clip in answer.json()["clips"]}

        def left() -> list[dict[str, Any]]:
            found = client.get("/api/v1/clips", params={"ids": ",".join(ids), "limit": 100}).json()["results"]
            return [clip for clip in found if clip["status"] in ("queued", "running")]

        stack.wait_until(lambda: not left(), "all clips are done", 120)
        told = {name: client.get(f"/api/v1/clips/{clip}").json() for clip, name in ids.items()}
    failed = {name: clip["failure"] for name, clip in told.items() if clip["status"] != "succeeded"}
    assert failed == {}
    assert all(300 < clip["result"]["duration_ms"] < 6000 for clip in told.values())


async def test_every_voice_speaks_in_a_conversation(stack: EmbeddedStack, avatar: str) -> None:
    async def said(name: str, gate: asyncio.Semaphore) -> tuple[str, str]:
        provider = voices.voice(name).provider
        wishes = {"voice": name, "record": False, "providers": {"tts": [provider]}}
        async with gate, LiveClient(stack.base_url, stack.api_key, avatar, wishes) as client:
            await joined(client)
            told = await figures(client, "say", text=WORDS)
            await client.send("session.end")
            return provider, str(told.get("tts_provider"))

    gate = asyncio.Semaphore(3)
    told = await asyncio.gather(*(said(name, gate) for name in speaking()))
    assert {provider: spoke for provider, spoke in told if provider != spoke} == {}


ROWS = [
    {"stt": "local", "llm": "llm"},
    {"stt": "dashscope", "llm": "vllm"},
    {"stt": "openai", "llm": "ollama"},
    {"stt": "mimo", "llm": "dashscope"},
]


async def test_every_provider_hears_or_answers_in_a_conversation(stack: EmbeddedStack, avatar: str) -> None:
    upload = uploaded(stack)

    async def asked(row: dict[str, str], gate: asyncio.Semaphore) -> dict[str, str]:
        wishes = {"record": False, "providers": {kind: [name] for kind, name in row.items()}}
        async with gate, LiveClient(stack.base_url, stack.api_key, avatar, wishes) as client:
            await joined(client)
            told = await figures(client, "ask", upload=upload)
            assert not client.seen("error"), (row, [told.data for told in client.seen("error")])
            await client.send("session.end")
            return {kind: str(told.get(f"{kind}_provider")) for kind in row}

    gate = asyncio.Semaphore(3)
    assert await asyncio.gather(*(asked(row, gate) for row in ROWS)) == ROWS


async def test_a_conversation_goes_on_when_its_first_providers_die(
    stack: EmbeddedStack, avatar: str, world: World
) -> None:
    wishes = {
        "voice": "doomed:en-heart",
        "record": False,
        "providers": {"tts": ["doomed", "local"], "stt": ["doomed", "local"], "llm": ["doomed", "llm"]},
    }
    upload = uploaded(stack)
    kinds = ("tts_provider", "stt_provider", "llm_provider")
    async with LiveClient(stack.base_url, stack.api_key, avatar, wishes) as client:
        await joined(client)
        told = await figures(client, "ask", upload=upload)
        assert [told.get(kind) for kind in kinds] == ["doomed"] * 3, told
        await asyncio.to_thread(world.doomed.close)
        begun = time.monotonic()
        told = await figures(client, "ask", upload=upload)
        assert [told.get(kind) for kind in kinds] == ["local", "local", "llm"], told
        ended = await client.event("speech.ended", since=begun)
        assert (ended.data["interrupted"], ended.data["heard_text"]) == (False, "It is open now.")
        assert not client.seen("error")
    logs = "".join(path.read_text(errors="replace") for path in (stack.home / "logs").glob("*.log"))
    assert KEY not in logs
