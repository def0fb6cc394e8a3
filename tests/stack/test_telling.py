"""What the whole stack tells of a clip and a conversation: ids everywhere, one trace each, and no word of it.

The words that are spoken here are in no dictionary, so whoever finds one in a log has found a leak.
"""

import asyncio
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from project import tracing
from project.bench.client import LiveClient
from project.bench.provider_stub import Stub, provider_stub
from project.bench.stack import EmbeddedStack
from tests.faults.batch import ready_avatar
from tests.support.hearing import spoken
from tests.support.otlp import Collector, collector

SCRIPT = "Good morning, Quibblewick. The flumdorf is open. [[Snorvelt]] says hello."
QUESTION = "Where is the wendigrast?"
REPLY = "The wendigrast lies behind the plombury. Bring your zimmertuk."
SAYING = "Welcome to Hexaloom, my friend."
ASIDE = "Please whisper trundlefax."
MARKERS = re.compile(
    "quibblewick|flumdorf|snorvelt|wendigrast|plombury|zimmertuk|hexaloom|trundlefax", re.IGNORECASE
)
# Of other authors, or made to be read while the stack starts.
PLAIN = re.compile(r"|worker: Warm shutdown .*|INFO: Created TensorFlow Lite .*")
"""What Celery says with its last breath, and a native library of its own accord."""
FOREIGN = ("valkey", "storage", "migrate", "prepare")


@pytest.fixture(scope="module")
def stub() -> Iterator[Stub]:
    with provider_stub(reply=REPLY, first_token_ms=50) as made:
        yield made


@pytest.fixture(scope="module")
def kept() -> Iterator[Collector]:
    with collector() as made:
        yield made


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, stub: Stub, kept: Collector) -> Iterator[EmbeddedStack]:
    env = {
        "BUILTIN_AVATARS": "lena",
        "LLM_BASE_URL": f"{stub.url}/v1",
        "LLM_MODEL": "stub",
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "DEBUG",
        "OTEL_EXPORTER_OTLP_ENDPOINT": kept.url,
    }
    with EmbeddedStack(tmp_path_factory.mktemp("telling"), render_workers=1, env=env) as stack:
        yield stack


@pytest.fixture(scope="module")
def avatar(stack: EmbeddedStack) -> str:
    return ready_avatar(stack)


def lines(stack: EmbeddedStack, *parts: str) -> list[dict[str, Any]]:
    """Every line of our processes, or of some, as the object that it is."""
    found = []
    for log in sorted((stack.home / "logs").glob("*.log*")):
        part = log.name.partition(".")[0]
        if part in FOREIGN or (parts and part not in parts):
            continue
        for line in log.read_text().splitlines():
            if not PLAIN.fullmatch(line):
                assert line.startswith("{"), f"{log.name}: {line}"
                found.append(json.loads(line))
    return found


def finished(stack: EmbeddedStack, clip: str) -> dict[str, Any]:
    give_up = time.monotonic() + 240
    with stack.client as client:
        while (told := client.get(f"/api/v1/clips/{clip}").json())["status"] in ("queued", "running"):
            assert time.monotonic() < give_up, told
            time.sleep(0.5)
    return dict(told)


def unspoken(stack: EmbeddedStack, kept: Collector) -> None:
    """Assert that nothing that was said is in any log or span."""
    for log in [*(stack.home / "logs").glob("*.log*"), stack.home / "supervisor.out"]:
        found = MARKERS.search(Path(log).read_text(errors="replace"))
        assert found is None, f"{log.name} tells {found}"
    assert MARKERS.search(kept.raw.decode(errors="replace")) is None


def test_a_clip_is_told_by_its_ids_in_one_trace_and_in_no_words(stack, avatar, kept):
    with stack.client as client:
        wish = {"avatar": avatar, "script": SCRIPT, "captions": "burned"}
        answer = client.post("/api/v1/clips", json=wish, headers={"X-Request-Id": "the-one-request"})
        clip = answer.json()["id"]
        broken = client.post("/api/v1/clips", json=wish | {"audio_url": SCRIPT})
        assert broken.status_code == 400
    told = finished(stack, clip)
    assert told["status"] == "succeeded", told
    trace = f"{tracing.clip(clip).trace:032x}"
    kept.until("clip", "speech", "assembly", "fragment", "accept")
    stack.wait_until(
        lambda: len(kept.named("fragment")) >= told["fragments"]["total"], "the spans of fragments"
    )
    spans = {span.name: span for span in kept.spans if span.trace == trace}
    assert {"clip", "accept", "speech", "synthesis", "fragment", "draw", "store", "assembly", "join"} <= set(
        spans
    )
    assert spans["fragment"].resource["service.instance.id"].startswith("render1:")
    assert spans["accept"].resource["service.instance.id"].startswith("web")
    assert spans["speech"].parent == spans["fragment"].parent == spans["clip"].id
    about = [line for line in lines(stack) if line.get("clip") == clip]
    (over,) = [line for line in about if line["message"] == "A clip is over: succeeded"]
    assert (over["task"], over["trace"]) == ("clips.assemble", trace)
    assert over["duration_ms"] == told["result"]["duration_ms"]
    assert over["process"].startswith("general:")
    assert any("fragment" in line for line in about), "what workers say of a fragment names it"
    unspoken(stack, kept)


async def test_a_conversation_is_told_by_its_ids_in_a_trace_for_each_turn_and_in_no_words(
    stack, avatar, kept, stub
):
    async with LiveClient(stack.base_url, stack.api_key, avatar, {"record": True}) as client:
        await client.create()
        await client.join()
        await client.connect_media()
        begun = await client.user_text(QUESTION)
        metrics = await client.event(
            "metrics", since=begun, where=lambda data: "llm_first_token_ms" in data, seconds=90
        )
        turn = metrics.data["turn"]
        begun = await client.say(SAYING)
        await client.event("speech.ended", since=begun, seconds=90)
        begun = await client.speak(spoken("question").astype("<i2").tobytes())
        heard = (await client.event("transcript.final", since=begun, seconds=90)).data
        assert len(heard["text"]) > 20
        await client.hush()
        await client.event("metrics", since=begun, seconds=90, where=lambda data: "response_ms" in data)
        stub.settings.misbehave = {"chat": ["garbage", "error", "500", "400"]}
        for _ in range(3):
            begun = await client.ask(ASIDE)
            await client.event("metrics", since=begun, seconds=90)
        await client.send_raw(json.dumps({"type": "user.text", "text": {"not": "trundlefax"}}))
        await client.send_raw('{"type": "user.text", "text": "trundlefax"')
        await client.event("error", since=begun)
        await client.send("session.end")
        await client.event("session.ended")
        session = client.id
    trace = f"{tracing.turn(session, turn).trace:032x}"
    await asyncio.to_thread(kept.until, "turn", "llm", "tts", "playout", "render", "draw")
    await asyncio.to_thread(
        stack.wait_until,
        lambda: any(span.name == "turn" and span.trace == trace for span in kept.spans),
        "the turn",
    )
    spans = {span.name: span for span in kept.spans if span.trace == trace}
    assert {"turn", "llm", "tts", "render", "draw", "playout"} <= set(spans)
    root = spans["turn"]
    assert (root.facts["session"], root.facts["turn"]) == (session, turn)
    assert spans["render"].parent == spans["llm"].parent == root.id
    drawn = [span for span in kept.spans if span.trace == trace and span.name == "draw"]
    asked = {span.id for span in kept.spans if span.trace == trace and span.name == "render"}
    assert {span.parent for span in drawn} <= asked
    assert all(span.resource["service.instance.id"].startswith("live") for span in drawn)
    assert {span.facts["turn"] for span in drawn} == {turn}
    about = [line for line in lines(stack) if line.get("session") == session]
    over = [line for line in about if line["message"] == "A turn is over: done" and line["turn"] == turn]
    assert len(over) == 1
    assert over[0]["took_ms"] > over[0]["audible_ms"] > 0
    assert over[0]["process"].startswith("web")
    assert any(line["message"] == "The session is over" for line in about)
    answered = next(span for span in kept.named("turn") if span.facts.get("source") == "voice")
    stages = {span.name for span in kept.spans if span.parent == answered.id}
    assert {"endpoint", "asr", "llm", "tts", "render", "playout"} <= stages
    for log in (stack.home / "logs").glob("*.log*"):
        assert heard["text"] not in log.read_text(errors="replace"), log.name
    failed = [line for line in about if line["message"].startswith("A turn is over: language_model")]
    assert failed
    unspoken(stack, kept)
