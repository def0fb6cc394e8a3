"""The sound of a reply on one timeline: what is ready, what is heard around it, what is let go."""

import asyncio

import numpy as np
import pytest

from sessions.pipeline.track import SAMPLES_PER_FRAME, Track
from tests.sessions.pipeline.cast import in_virtual_time
from workers.adapters.avatar.base import Phone
from workers.profiles import load_profile

PROFILE = load_profile("viseme")
AHEAD = -(-PROFILE.lookahead_samples // 640)


def _ramp(frames: float) -> bytes:
    """Sound that tells its place: slow enough to come through any filter as it is."""
    size = int(frames * SAMPLES_PER_FRAME)
    return (np.arange(size) // 16 % 20_000).astype("<i2").tobytes()


def _never() -> float:
    return 3600.0


def _at_once() -> float:
    return 0.0


def _track(*utterances: float, finished: bool = True) -> Track:
    track = Track(PROFILE)
    for frames in utterances:
        track.begin("text")
        track.add(_ramp(frames))
        track.close()
    if finished:
        track.finish()
    return track


async def _all(track: Track, want: int) -> list[tuple[int, int, int, int, bool]]:
    found = []
    while (span := await track.take(want, _never)) is not None:
        found.append((span.utterance, span.index, span.start, span.frames, span.last))
    return found


@in_virtual_time
async def test_spans_end_where_utterances_do_and_leave_no_crumbs():
    assert await _all(_track(12, 25, 3), 10) == [
        (0, 0, 0, 12, True),
        (1, 0, 12, 10, False),
        (1, 1, 22, 15, True),
        (2, 0, 37, 3, True),
    ]


@in_virtual_time
async def test_an_utterance_is_filled_up_to_whole_frames():
    track = _track(2.3)
    span = await track.take(10, _never)
    assert span.frames == 3
    sound = track.sound(span)
    assert len(sound) == 3 * SAMPLES_PER_FRAME * 2
    assert not any(sound[int(2.3 * SAMPLES_PER_FRAME) * 2 :])


@in_virtual_time
async def test_frames_wait_for_the_sound_behind_them():
    track = Track(PROFILE)
    track.begin("text")
    track.add(_ramp(5.5))
    taking = asyncio.create_task(track.take(5, _never))
    await asyncio.sleep(1)
    assert not taking.done()
    track.add(_ramp(AHEAD))
    span = await taking
    assert (span.frames, span.last) == (5, False)


@in_virtual_time
async def test_but_no_longer_than_there_is_time():
    track = Track(PROFILE)
    track.begin("text")
    track.add(_ramp(7))
    begun = asyncio.get_running_loop().time()
    deadline = begun + 0.25
    span = await track.take(10, lambda: deadline - asyncio.get_running_loop().time())
    assert span.frames == 7
    assert asyncio.get_running_loop().time() - begun == pytest.approx(0.25, abs=0.001)


@in_virtual_time
async def test_a_few_frames_of_an_utterance_that_goes_on_are_not_taken():
    track = Track(PROFILE)
    track.begin("text")
    track.add(_ramp(4.9))
    taking = asyncio.create_task(track.take(5, _at_once))
    await asyncio.sleep(10)
    assert not taking.done()
    track.close()
    assert (await taking).frames == 5


@in_virtual_time
async def test_phones_are_waited_for_where_there_will_be_some():
    track = Track(PROFILE)
    spoken = track.begin("text")
    track.add(_ramp(20))
    taking = asyncio.create_task(track.take(5, _never, timed=True))
    await asyncio.sleep(1)
    assert not taking.done()
    spoken.phones.append(Phone("a", 0, 300))
    spoken.timed = True
    track.told()
    assert (await taking).frames == 5


@in_virtual_time
async def test_a_reply_without_sound_is_over():
    assert await _track().take(5, _never) is None
    empty = Track(PROFILE)
    taking = asyncio.create_task(empty.take(5, _never))
    await asyncio.sleep(1)
    empty.finish()
    assert await taking is None


@in_virtual_time
async def test_windows_hear_the_same_sound_however_it_is_taken():
    whole, cut = _track(60, 40), _track(60, 40)
    expected = await whole.take(60, _never)
    heard = np.frombuffer(whole.window(expected), np.int16)
    lookback = PROFILE.lookback_samples
    at = 0
    while at < 60:
        span = await cut.take(7, _never)
        window = np.frombuffer(cut.window(span), np.int16)
        assert len(window) == lookback + span.frames * 640 + PROFILE.lookahead_samples
        begin = span.start * 640
        both = min(len(window), len(heard) - begin)
        np.testing.assert_array_equal(window[:both], heard[begin : begin + both])
        cut.release()
        at += span.frames


@in_virtual_time
async def test_what_no_window_hears_again_is_let_go():
    track = Track(PROFILE)
    track.begin("text")
    most = 0
    for _ in range(120):
        track.add(_ramp(25))
        while track.ahead >= 25 + AHEAD:
            span = await track.take(25, _never)
            track.window(span), track.sound(span)
            track.release()
        most = max(most, len(track._pcm) + len(track._heard))
    assert most < 60 * SAMPLES_PER_FRAME * 2 + 3 * PROFILE.lookback_samples * 2


@in_virtual_time
async def test_phones_are_timed_from_the_first_frame_of_the_window():
    track = Track(PROFILE)
    spoken = track.begin("text")
    spoken.phones += [Phone("h", 0, 100), Phone("a", 100, 250), Phone("x", 3000, 3100)]
    track.add(_ramp(100))
    track.close()
    track.finish()
    first = await track.take(5, _never)
    second = await track.take(5, _never)
    assert [(p.symbol, p.start_ms, p.end_ms) for p in track.phones(first)] == [("h", 0, 100), ("a", 100, 250)]
    assert [(p.symbol, p.start_ms, p.end_ms) for p in track.phones(second)] == [
        ("h", -200, -100),
        ("a", -100, 50),
    ]


@in_virtual_time
async def test_room_is_there_when_enough_was_taken():
    track = _track(50, finished=False)
    waiting = asyncio.create_task(track.room(30))
    await asyncio.sleep(1)
    assert not waiting.done()
    await track.take(20, _never)
    async with asyncio.timeout(1):
        await waiting
