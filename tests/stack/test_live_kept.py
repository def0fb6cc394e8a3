"""What is kept of a conversation: given sound, the transcript, the recording; and that it can be erased."""

import asyncio
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from project.bench.stack import EmbeddedStack
from tests.stack.customers import client, refused
from tests.stack.live import customer
from tests.support.media import voice, wav

QUESTION = Path(__file__).parents[1] / "data" / "speech" / "question.ogg"
STORY = "This is a long story about a very small hotel by the sea, and nobody will ever hear the end of it. "


@pytest.fixture
def api(stack: EmbeddedStack) -> Iterator[httpx.Client]:
    stack.wait_healthy()
    with client(stack, stack.api_key) as api:
        yield api


@dataclass(frozen=True)
class Talk:
    """A conversation that took place, as its customer heard it."""

    session_id: str
    recognised: str
    cut_turn: int
    heard_text: str


async def talk(stack: EmbeddedStack, avatar: str, tone: str, question: str) -> Talk:
    """Given sound is said, a recorded question is answered, a story is interrupted."""
    async with customer(stack, avatar, record=True, metadata={"visitor": "ünï"}) as talker:
        await talker.create()
        assert "recorded" in (await talker.join()).data["consent"]
        await talker.connect_media()
        begun = time.monotonic()
        said = await talker.request("POST", f"sessions/{talker.id}/say", {"upload": tone})
        assert said.status_code == 202, said.text
        ended = await talker.event("speech.ended", since=begun, seconds=30)
        assert ended.data["turn"] == said.json()["turn"]
        begun = time.monotonic()
        asked = await talker.request("POST", f"sessions/{talker.id}/ask", {"upload": question})
        assert asked.status_code == 202, asked.text
        recognised = await talker.event("transcript.final", since=begun, seconds=30)
        await talker.event("speech.ended", since=begun, seconds=60)
        begun = await talker.say(STORY * 3)
        await talker.event("reply.utterance", since=begun)
        await asyncio.sleep(2)
        stopped = (await talker.request("POST", f"sessions/{talker.id}/interrupt", {})).json()
        await talker.request("POST", f"sessions/{talker.id}/end", {})
        await talker.event("session.ended")
        return Talk(talker.id, recognised.data["text"], stopped["turn"], stopped["heard_text"])


def uploaded(api: httpx.Client, name: str, data: bytes) -> str:
    answer = api.post("/api/v1/uploads", files={"file": (name, data)})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def cues(vtt: str) -> list[tuple[int, int, str]]:
    """(start_ms, end_ms, text) of each cue."""
    found = re.findall(r"(\d+):(\d+):(\d+)\.(\d+) --> (\d+):(\d+):(\d+)\.(\d+)\n((?:.+\n)+)", vtt)

    def ms(hours: str, minutes: str, seconds: str, rest: str) -> int:
        return ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * 1000 + int(rest)

    return [(ms(*one[:4]), ms(*one[4:8]), " ".join(one[8].split())) for one in found]


def ready_recording(api: httpx.Client, session_id: str, seconds: float = 60) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while True:
        recording: dict[str, Any] = api.get(f"/api/v1/sessions/{session_id}").json()["recording"]
        if recording["status"] == "ready":
            return recording
        assert recording["status"] in ("recording", "assembling"), recording
        assert time.monotonic() < deadline, recording
        time.sleep(0.5)


def test_a_conversation_is_kept_as_it_was_heard_and_erased_for_good(
    stack: EmbeddedStack, avatar: str, api: httpx.Client
) -> None:
    hook = api.post("/api/v1/webhook-endpoints", json={"url": "http://127.0.0.2:9/live"}).json()["id"]
    tone, question = uploaded(api, "a.wav", wav(voice(2.0))), uploaded(api, "q.ogg", QUESTION.read_bytes())
    done = asyncio.run(talk(stack, avatar, tone, question))
    session = api.get(f"/api/v1/sessions/{done.session_id}").json()
    assert (session["status"], session["end_reason"]) == ("ended", "api_ended")
    assert session["metadata"] == {"visitor": "ünï"}

    turns = api.get(f"/api/v1/sessions/{done.session_id}/transcript").json()["turns"]
    assert all(turn["status"] == "done" for turn in turns), turns
    assert done.recognised in [turn["text"] for turn in turns if turn["who"] == "user"]
    assert "open" in done.recognised.lower()
    cut = next(turn for turn in turns if turn["turn"] == done.cut_turn)
    assert (cut["interrupted"], cut["heard_text"]) == (True, done.heard_text)
    assert STORY.startswith(done.heard_text[:20])
    assert 0 < len(done.heard_text) < len(STORY)
    vtt = api.get(f"/api/v1/sessions/{done.session_id}/transcript.vtt").text
    told = cues(vtt)
    assert told == sorted(told)
    assert any(text.endswith("(interrupted)</v>") for *_, text in told), vtt

    latency = api.get(f"/api/v1/sessions/{done.session_id}/latency").json()
    assert latency["measured_turns"] == sum(turn["who"] == "avatar" for turn in turns)
    answered = next(one for one in latency["turns"] if any(stage["name"] == "asr" for stage in one["stages"]))
    assert {"asr", "llm", "tts", "render", "playout"} <= {stage["name"] for stage in answered["stages"]}
    heard = next(stage for stage in answered["stages"] if stage["name"] == "playout")
    assert sum(wait["ms"] for wait in answered["waits"]) == pytest.approx(heard["from_ms"], abs=10)

    recording = ready_recording(api, done.session_id)
    assert told[-1][1] <= recording["duration_ms"] + 200
    link = api.get(f"/api/v1/recordings/{recording['id']}/video?download=1")
    assert link.status_code == 302
    piece = httpx.get(link.headers["location"], headers={"Range": "bytes=0-99"})
    assert (piece.status_code, len(piece.content)) == (206, 100)
    assert piece.headers["content-type"] == "video/mp4"
    assert piece.headers["content-disposition"].startswith("attachment")
    assert f"{done.session_id}.mp4" in piece.headers["content-disposition"]
    sent = str(api.get(f"/api/v1/webhook-endpoints/{hook}/deliveries").json()["results"])
    assert "session.ended" in sent
    assert "recording.ready" in sent

    assert api.delete(f"/api/v1/sessions/{done.session_id}").status_code == 204
    assert httpx.get(link.headers["location"]).status_code == 404
    for kept in ("transcript", "latency"):
        refused(api.get(f"/api/v1/sessions/{done.session_id}/{kept}"), 404, "session_not_found")
    refused(api.get(f"/api/v1/recordings/{recording['id']}/video"), 404, "recording_not_found")
    api.delete(f"/api/v1/webhook-endpoints/{hook}")
