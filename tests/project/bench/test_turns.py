"""Turns are timed where they arrive: against a host whose delays are known."""

import asyncio

import numpy as np
import pytest

from project.bench.aiortc_client import AiortcClient
from project.bench.customers import Service
from project.bench.live_figures import Figures, stages
from project.bench.live_runs import Talk, chromium_joins
from project.bench.recorded import RATE, Recorded
from project.bench.results import Result
from project.bench.turns import Turn, interrupted, speech_picture_at, spoken, spoken_over, written
from tests.support.live_host import SPEECH_FRAMES, THINKING_SECONDS, talking

SPOKEN_MS = 40.0 * SPEECH_FRAMES


async def test_a_written_turn_is_timed_from_the_question_to_its_last_sound() -> None:
    async with talking() as (client, host):
        host.figures = {
            "queue_depth": 2,
            "stages": [
                {"name": "tts", "from_ms": 150, "to_ms": 900, "pieces": 2},
                {"name": "tts", "piece": 1, "from_ms": 150, "to_ms": 260},
                {"name": "tts", "piece": 2, "from_ms": 500, "to_ms": 900},
            ],
        }
        turn = await written(client, "Hello?")
    assert turn.input == "text"
    assert turn.received["ttfa_ms"] >= 1000 * THINKING_SECONDS
    # Lips and voice begin together, so what is seen first comes with what is heard first.
    assert turn.received["ttfv_ms"] == pytest.approx(turn.received["ttfa_ms"], abs=400)
    assert turn.received["answer_ms"] >= SPOKEN_MS - 200
    assert turn.received["turn_total_ms"] >= turn.received["ttfa_ms"] + turn.received["answer_ms"] - 1
    assert turn.server["llm_first_token_ms"] == 150.0
    bars = list(stages(turn))
    assert [(bar.name, bar.from_ms) for bar in bars[:2]] == [("tts", 150.0), ("tts", 500.0)]
    assert bars[-1].from_ms == pytest.approx(turn.received["ttfa_ms"], abs=0.1)


async def test_the_picture_of_a_sound_is_found_by_the_senders_clock_and_not_by_its_arrival() -> None:
    async with talking() as (client, _):
        begun = await client.user_text("Hello?")
        await client.first_sound(begun)
        await asyncio.sleep(1.5)  # for a report of the sender
        sound = next(each for each in client.watcher.span(begun) if each.speech)
        at = speech_picture_at(client, sound)
        assert at is not None
        for picture in client.watcher.pictures:
            picture.at += 0.5  # all came half a second later
        later = speech_picture_at(client, sound)
        assert later == pytest.approx(at + 0.5, abs=0.001)


async def test_a_spoken_turn_begins_with_the_end_of_the_voice() -> None:
    tone = np.sin(np.arange(RATE // 2) * 2 * np.pi * 300 / RATE) * 8000
    question = Recorded.of(np.concatenate([np.zeros(RATE // 4), tone, np.zeros(RATE)]).astype(np.int16))
    assert (question.first_ms, question.last_ms) == (240.0, 760.0)
    opened: list[float] = []
    async with talking() as (client, _):
        speak = client.speak

        async def speaking(pcm: bytes, **options: str) -> float:
            opened.append(await speak(pcm, **options))
            return opened[0]

        client.speak = speaking  # type: ignore[method-assign]
        asking = asyncio.create_task(spoken(client, question))
        await asyncio.sleep(0.9)
        await client.user_text("as if it was heard")
        turn = await asking
    assert turn.received["ttfa_ms"] >= 1000 * THINKING_SECONDS
    assert turn.input == "voice"
    assert turn.began - opened[0] == pytest.approx(0.740)  # the packet that is heard last leaves then


async def test_an_interruption_is_timed_and_what_comes_behind_it_is_counted() -> None:
    async with talking() as (client, host):
        silent, late = await interrupted(client, "Hello?", 0.5)
        assert silent > 0
        assert late == 0
        await asyncio.sleep(2)
        host.late = True
        _, late = await interrupted(client, "Hello?", 0.5)
        assert late > 0


async def test_an_aiortc_peer_sees_and_hears_the_same_without_our_transport() -> None:
    receiver = AiortcClient()
    async with talking() as (client, _):
        try:
            await receiver.connect(client)
            begun = await client.user_text("Hello?")
            heard = await receiver.first_sound(begun)
            await client.event("speech.ended", since=begun)
            seen = receiver.video(begun)
        finally:
            await receiver.close()
    assert receiver.first_frame_ms is not None
    assert receiver.size == (320, 240)
    assert heard >= 1000 * THINKING_SECONDS
    assert seen.frames > SPEECH_FRAMES // 2


def test_babble_is_heard_as_a_question_and_silence_is_none() -> None:
    question = Recorded.babbled("When is your shop open?")
    assert question.last_ms - question.first_ms > 500
    with pytest.raises(ValueError, match="Nothing is heard"):
        Recorded.of(np.zeros(RATE, np.int16))


def test_first_turns_and_later_ones_have_names_of_their_own() -> None:
    figures = Figures("viseme")
    for state in ("warm", "steady"):
        turn = Turn("text", 0.0, received={"turn_total_ms": 900.0}, server={"queue_depth": 2})
        figures.turn(turn, state)
    figures.lack("av_drift_ms", "steady", "nobody saw it")
    result = Result.begin("tiny", command="live")
    figures.into(result)
    assert result.find("first_turn_total_ms", state="warm", model="viseme", case="text") is not None
    assert result.find("turn_total_ms", state="steady", model="viseme", case="text") is not None
    assert result.find("turn_total_ms", state="warm", model="viseme") is None
    drift = result.find("av_drift_ms", model="viseme")
    assert drift is not None
    assert drift.missing == "nobody saw it"


async def test_without_chromium_its_figures_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("project.bench.browser.program", lambda: None)
    figures = Figures("viseme")
    await chromium_joins(Talk(Service("http://host", "key"), "Hello?"), figures, 2)
    result = Result.begin("tiny", command="live")
    figures.into(result)
    (metric,) = result.metrics
    assert (metric.name, metric.case, metric.n) == ("webrtc_first_frame_ms", "chromium", 0)
    assert "apt-get install chromium" in metric.missing


async def test_a_voice_that_speaks_into_the_answer_is_timed_from_its_first_sound() -> None:
    tone = np.sin(np.arange(RATE) * 2 * np.pi * 300 / RATE) * 8000
    voice = Recorded.of(np.concatenate([np.zeros(RATE // 4), tone]).astype(np.int16))
    waited = 0.3

    async def give_way(host) -> None:
        while np.abs(np.frombuffer(bytes(host.listener.heard), np.int16).astype(int)).max(initial=0) < 4000:
            await asyncio.sleep(0.01)
        await asyncio.sleep(waited)
        host.playout.interrupt()

    async with talking() as (client, host):
        listening = asyncio.create_task(give_way(host))
        silent = await spoken_over(client, "Hello?", voice, 0.2)
        await listening
    assert silent >= 1000 * waited
