"""The instrument itself: what it counts is what was sent."""

import asyncio
import contextlib
import itertools
import math
from collections.abc import AsyncIterator

import pytest

from project.bench.media import Sound, Watcher
from project.bench.peer import LightPeer
from rtc.comfort import COMFORT
from rtc.frames import Tick
from rtc.ice import IceConfig
from rtc.peer import Peer
from tests.support.rtc import Told, idle_units, playing, tick


@contextlib.asynccontextmanager
async def watched(watcher: Watcher, **options: object) -> AsyncIterator[tuple[Peer, LightPeer, Told]]:
    light, told = LightPeer(on_packet=watcher, **options), Told()  # type: ignore[arg-type]
    peer = await Peer.answer(await light.offer(), ice=IceConfig(), on_event=told)
    try:
        await light.accept(peer.answer_sdp)
        await told.until(lambda: "connected" in told.events)
        yield peer, light, told
    finally:
        await light.close()
        await peer.close()


async def until(condition: object, seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.01)


async def test_it_counts_pictures_and_decodes_them() -> None:
    watcher = Watcher(decode=True)
    async with watched(watcher) as (peer, light, _), playing(peer):
        await until(lambda: len(watcher.pictures) > 30)
    assert all(picture.decoded for picture in watcher.pictures)
    assert light.streams["video"].lost == 0
    assert watcher.incomplete == 0
    steps = {(b.timestamp - a.timestamp) % 2**32 for a, b in itertools.pairwise(watcher.pictures)}
    assert 3600 in steps


async def test_reports_place_sound_and_picture_of_a_frame_at_the_same_time_also_after_a_stall() -> None:
    watcher = Watcher()
    async with watched(watcher) as (peer, light, _):
        async with playing(peer):
            await until(lambda: light.offset_ms() is not None and len(watcher.pictures) > 30)
            before = light.offset_ms()
        async with playing(peer, first=5000):  # 3 minutes ahead
            reported = light.streams["video"].sender_report
            await until(lambda: light.streams["video"].sender_report != reported)
            await until(lambda: light.streams["audio"].last_at > light.streams["video"].last_at - 0.1)
            after = light.offset_ms()
    # The last packets may be those of a frame's second half.
    assert before == pytest.approx(10, abs=31)
    assert after == pytest.approx(before, abs=41)


async def test_comfort_sound_is_silent_and_speech_is_heard() -> None:
    watcher = Watcher()
    units = idle_units()
    async with watched(watcher) as (peer, _, _):
        for frame in range(5):
            peer.send(Tick(frame, units[frame], COMFORT, 0, speaking=False))
        for frame in range(5, 20):
            peer.send(tick(frame))
        for frame in range(20, 25):
            peer.send(Tick(frame, units[frame], COMFORT, 1, speaking=False))
        await until(lambda: len(watcher.sounds) == 50)
    assert [sound.speech for sound in watcher.sounds] == [False] * 10 + [True] * 30 + [False] * 10
    begun = watcher.sounds[0].at
    assert watcher.first_audible(begun) == pytest.approx(watcher.sounds[10].at, abs=0.05)
    assert watcher.silent_at(begun) == watcher.sounds[40].at


def test_a_pause_between_two_sentences_is_no_silence() -> None:
    watcher = Watcher()
    for kind, count in (("word", 10), ("pause", 40), ("word", 10), ("comfort", 40)):
        for _ in range(count):
            number = len(watcher.sounds)
            size, loudness = {"word": (80, -20.0), "pause": (12, -70.0), "comfort": (3, -math.inf)}[kind]
            watcher.sounds.append(Sound(number * 0.02, number * 960, size, loudness, number))
    later = watcher.sounds[50:]
    del watcher.sounds[50:]
    assert watcher.silent_at(0.0) is None
    watcher.sounds.extend(later)
    assert watcher.silent_at(0.0) == watcher.sounds[60].at


async def test_a_lost_packet_is_sent_again_by_rtx() -> None:
    watcher = Watcher()
    async with watched(watcher) as (peer, light, _), playing(peer):
        await until(lambda: len(watcher.pictures) > 5)
        light.ask_again(light.streams["video"].last_sequence - 1)
        await until(lambda: light.streams["rtx"].packets == 1)
    assert peer.stats().packets_resent == 1


async def test_a_picture_loss_asks_playout_for_a_key_frame() -> None:
    watcher = Watcher()
    async with watched(watcher) as (peer, light, told), playing(peer):
        await until(lambda: len(watcher.pictures) > 10)  # a loss just after joining needs no asking
        asked = told.keyframes
        light.ask_keyframe()
        await told.until(lambda: told.keyframes == asked + 1)


async def test_reports_of_the_receiver_give_round_trip_and_bandwidth() -> None:
    async with watched(Watcher(), estimate_bps=2_345_678) as (peer, _, _), playing(peer):
        await until(lambda: peer.stats().rtt_ms is not None and peer.stats().bandwidth_bps is not None)
    stats = peer.stats()
    assert stats.bandwidth_bps == pytest.approx(2_345_678, rel=0.001)
    assert 0 <= (stats.rtt_ms or -1) < 500


async def test_a_narrow_path_is_told_about() -> None:
    async with watched(Watcher(), estimate_bps=20_000) as (peer, _, told), playing(peer):
        await told.until(lambda: told.levels == ["low"])
    assert peer.stats().level == "low"
