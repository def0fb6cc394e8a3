"""Conversations whose avatar is drawn by a stateful model: whole chunks, and only what has sound is shown."""

import itertools
from dataclasses import dataclass, replace

import pytest

from sessions.pipeline import conversation
from sessions.pipeline.ports import Chunk
from sessions.pipeline.track import SAMPLES_PER_FRAME, Track
from tests.sessions.pipeline.cast import Drawn, ScriptedWorker, in_virtual_time, room
from workers.profiles import load_profile

CHUNK = 7
PROFILE = replace(
    load_profile("viseme"), stateless=False, chunk_frames=CHUNK, lookback_samples=0, lookahead_samples=0
)


@pytest.fixture(autouse=True)
def _stateful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "load_profile", lambda model: PROFILE)


@dataclass
class MovingWorker(ScriptedWorker):
    """Loses its stream before the third chunk."""

    async def render(self, chunk: Chunk) -> Drawn:
        drawn = await super().render(chunk)
        return replace(drawn, seam=chunk.number == 2)


@in_virtual_time
async def test_chunks_are_whole_but_where_an_utterance_ends():
    async with room(
        answers=[["This is a sentence of some length. ", "And this is another one of them."]]
    ) as talk:
        await talk.conversation.ask(text="Go on.")
        await talk.until("speech.ended")
        chunks = talk.worker.chunks
    ends = [chunk for chunk in chunks if chunk.frames % CHUNK]
    assert len(ends) <= 2  # one for each utterance
    assert len(chunks) > 4
    assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
    for before, after in itertools.pairwise(chunks):
        assert after.start_frame == before.start_frame + before.frames
    assert all(len(chunk.pcm16k) == chunk.frames * 1280 for chunk in chunks)


@in_virtual_time
async def test_the_idle_loop_is_before_the_first_chunk_and_behind_the_last():
    async with room(answers=[["One sentence is enough here, is it not?"]]) as talk:
        await talk.conversation.ask(text="Go on.")
        await talk.until("speech.ended")
        chunks = talk.worker.chunks
    assert len(chunks) > 2
    assert [chunk.first for chunk in chunks] == [True] + [False] * (len(chunks) - 1)
    assert [chunk.last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


@in_virtual_time
async def test_what_is_played_is_as_long_as_the_sound():
    async with room(answers=[["One sentence is enough here, is it not?"]]) as talk:
        await talk.conversation.ask(text="Go on.")
        await talk.until("speech.ended")
        frames = sum(len(pcm) for _, pcm, _ in talk.stage.recorded) // (2 * SAMPLES_PER_FRAME)
        assert frames == sum(chunk.frames for chunk in talk.worker.chunks)


@in_virtual_time
async def test_a_seam_is_told_with_the_figures_of_the_reply():
    async with room(answers=[["One sentence is enough here, is it not?"]], worker=MovingWorker()) as talk:
        await talk.conversation.ask(text="Go on.")
        told = await talk.until("metrics")
    assert told["render_seams"] == 1


@in_virtual_time
async def test_less_than_a_chunk_is_waited_for_while_more_may_come():
    track = Track(PROFILE)
    track.begin("text")
    track.add(bytes(2 * SAMPLES_PER_FRAME * (2 * CHUNK + 3)))
    first = await track.take(3 * CHUNK, lambda: 0.0)
    assert first is not None
    assert (first.frames, first.last) == (2 * CHUNK, False)
    track.close()
    rest = await track.take(CHUNK, lambda: 3600.0)
    assert rest is not None
    assert (rest.frames, rest.last) == (3, True)
    assert not track.over  # something may follow
    track.finish()
    assert track.over
