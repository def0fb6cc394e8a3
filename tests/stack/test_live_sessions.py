"""A whole conversation on the real stack, over WebSocket, WebRTC and REST."""

import asyncio
import signal
from typing import Any

import pytest

from project.bench.stack import EmbeddedStack
from sessions.runtime.links import GOING_AWAY, NORMAL, REPLACED
from tests.stack.live import customer, figures

QUESTION = "What can you tell me about clips?"


@pytest.fixture(autouse=True)
def healthy(stack: EmbeddedStack) -> None:
    stack.wait_healthy()


async def test_a_customer_writes_and_sees_and_hears_the_answer(stack: EmbeddedStack, avatar: str) -> None:
    async with customer(stack, avatar) as client:
        await client.create()
        state = await client.join()
        assert (state.data["status"], state.data["avatar"]["name"]) == ("active", "Lena")
        await client.connect_media()
        assert client.peer is not None
        video = client.peer.streams["video"]
        before = video.frames
        await asyncio.sleep(2)
        assert 40 <= video.frames - before <= 60
        begun = await client.user_text(QUESTION)
        asked = (await client.event("transcript.final", since=begun)).data
        assert asked["text"] == QUESTION

        def of_the_answer(data: dict[str, Any]) -> bool:
            return bool(data["turn"] == asked["turn"] + 1)  # the greeting may still have its say

        started = await client.event("speech.started", since=begun, where=of_the_answer)
        spoken = await client.event("reply.utterance", since=begun, where=of_the_answer)
        assert spoken.data["start_ms"] < spoken.data["end_ms"]
        await client.first_sound(begun)
        ended = await client.event("speech.ended", since=begun, seconds=60, where=of_the_answer)
        assert (ended.data["interrupted"], ended.data["turn"]) == (False, started.data["turn"])
        assert ended.data["heard_text"]
        figures_of_turn = await client.event("metrics", since=started.at)
        assert {"llm_first_token_ms", "tts_first_pcm_ms"} <= figures_of_turn.data.keys()
        counted = figures(stack)
        assert counted['parley_turn_stage_seconds_count{stage="first_audible"}'] >= 1
        assert counted['parley_fragments_total{kind="live",model="viseme",outcome="drawn"}'] >= 1
        assert counted["parley_webrtc_first_frame_seconds_count"] >= 1
        assert [event.seq for event in client.events] == list(range(1, len(client.events) + 1))
        stamps = [event.data["at_ms"] for event in client.events]
        assert stamps == sorted(stamps)
        await client.send("session.end")
        assert (await client.event("session.ended")).data["reason"] == "client_ended"
        await client.until(lambda: client.close_code is not None)
        assert client.close_code == NORMAL
        told = (await client.request("GET", f"sessions/{client.id}/transcript")).json()["turns"]
        assert (QUESTION, "user") in {(turn["text"], turn["who"]) for turn in told}
        assert told[-1]["heard_text"] == ended.data["heard_text"]
        for log in (stack.home / "logs").glob("*.log"):
            text = log.read_text(errors="replace")
            assert client.session["client_token"] not in text, log.name
            assert QUESTION not in text, log.name
        assert client.id in stack.log("web1")


async def test_a_backend_steers_the_session_through_any_process(stack: EmbeddedStack, avatar: str) -> None:
    async with customer(stack, avatar) as client:
        await client.create()
        await client.join()
        await client.connect_media()
        for _ in range(4):  # the shared port gives them to either process
            begun = await client.say("Good morning. This is said word for word, and it is not short at all.")
            await client.event("speech.started", since=begun)
            answer = await client.request("POST", f"sessions/{client.id}/interrupt", {})
            assert answer.status_code == 200
            assert (await client.event("speech.ended", since=begun)).data["interrupted"]
        done = await client.request("POST", f"sessions/{client.id}/end", {})
        assert (done.status_code, done.json()["end_reason"]) == (200, "api_ended")
        assert (await client.event("session.ended")).data["reason"] == "api_ended"
        late = await client.request("POST", f"sessions/{client.id}/say", {"text": "Anybody?"})
        assert (late.status_code, late.json()["code"]) == (409, "session_not_active")


async def test_a_socket_in_the_other_process_takes_over_and_the_talk_goes_on(
    stack: EmbeddedStack, avatar: str
) -> None:
    async with customer(stack, avatar, "web1") as first, customer(stack, avatar, "web2") as second:
        second.session = await first.create()
        await first.join()
        await first.connect_media()
        begun = await first.user_text(QUESTION)
        await first.event("speech.started", since=begun)
        seen = first.events[-1].seq
        await second.join(since=seen)
        await first.until(lambda: first.close_code == REPLACED)
        assert [event.seq for event in second.events] == list(range(seen + 1, seen + 1 + len(second.events)))
        await second.connect_media()
        ended = await second.event("speech.ended", seconds=60)
        assert not ended.data["interrupted"]
        assert figures(stack)['parley_live_sessions{process="web1"}'] >= 1
        await second.send("session.end")
        await second.event("session.ended")


async def test_a_web_process_that_stops_in_order_hands_its_sessions_over(
    stack: EmbeddedStack, avatar: str
) -> None:
    async with customer(stack, avatar, "web2") as client:
        await client.create()
        await client.join()
        await client.connect_media()
        begun = await client.user_text(QUESTION)
        await client.event("reply.utterance", since=begun)
        old = stack.kill("web2", signal.SIGTERM)
        await client.until(lambda: client.close_code == GOING_AWAY)
        seen = client.events[-1].seq
        client.web = "web1"
        state = await client.join(since=seen)
        assert state.data["status"] == "active"
        await client.connect_media()
        begun = await client.user_text("Are you still there?")
        await client.event("speech.started", since=begun)
        turns: list[Any] = (await client.request("GET", f"sessions/{client.id}/transcript")).json()["turns"]
        assert [turn["text"] for turn in turns if turn["who"] == "user"] == [QUESTION, "Are you still there?"]
        await client.send("session.end")
        await client.event("session.ended")
    await asyncio.to_thread(stack.wait_restarted, "web2", old)
