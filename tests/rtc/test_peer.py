"""Peers and real aiortc clients on this machine."""

import asyncio
import gc
import itertools
import re
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

from project.bench.peer import LightPeer
from rtc.errors import PeerError
from rtc.ice import IceConfig
from rtc.peer import Peer
from rtc.sdp import MAX_CANDIDATES
from tests.support.rtc import Client, Speaking, Told, connected, playing, tick


async def test_a_client_sees_the_pictures_and_hears_the_sound() -> None:
    async with connected() as (peer, client, _), playing(peer):
        pictures = await client.receive("video", 20)
        sounds = await client.receive("audio", 20)
        assert (pictures[0].width, pictures[0].height) == (320, 240)
        steps = [after.pts - before.pts for before, after in itertools.pairwise(pictures[5:])]
        assert set(steps) == {3600}, "every frame arrives, 40 ms after the other"
        loud = np.abs(sounds[-1].to_ndarray().astype(int)).max()
        assert loud > 4000
        assert peer.stats().codec == "h264"
        assert not peer.stats().transcoding


async def test_the_first_picture_does_not_wait_for_a_key_frame() -> None:
    told, client = Told(), Client()
    peer = await Peer.answer(await client.offer(), ice=IceConfig(), on_event=told)
    for frame in range(4):  # frame 0 was the last key frame, the next is frame 5
        peer.send(tick(frame))
    await client.accept(peer.answer_sdp)
    for _ in range(500):
        peer.send(tick(3))  # time stands still
        await asyncio.sleep(0.01)
        if client.frames["video"]:
            break
    assert client.frames["video"], "nothing but frames 0 to 3 was sent, and they were seen"
    await client.close()
    await peer.close()


async def test_the_microphone_arrives_as_16_khz_mono() -> None:
    client = Client(microphone=Speaking(hertz=500))
    async with connected(client=client) as (peer, _, told), playing(peer):
        await told.until(lambda: len(told.heard) > 2 * 16_000)
    pcm = np.frombuffer(bytes(told.heard[:32_000]), np.int16)[4000:12_000].astype(float)
    spectrum = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm))))
    assert np.argmax(spectrum) * 16_000 / len(pcm) == pytest.approx(500, abs=5)


async def test_a_client_that_leaves_is_noticed_at_once_and_told_about_once() -> None:
    async with connected() as (peer, client, told), playing(peer):
        await client.receive("video", 2)
        await client.pc.close()
        await told.until(lambda: len(told.events) == 2)
        assert told.events == ["connected", "closed_by_client"]
        assert peer.state == "closed"


async def test_sending_never_raises_whatever_the_state() -> None:
    client = Client()
    peer = await Peer.answer(await client.offer(), ice=IceConfig(), on_event=Told())
    peer.send(tick(0))
    await peer.close()
    peer.send(tick(1))
    await asyncio.gather(peer.close(), peer.close())
    await client.close()


async def test_a_client_that_never_connects_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtc.peer.CONNECT_SECONDS", 0.2)
    client, told = Client(), Told()
    peer = await Peer.answer(await client.offer(), ice=IceConfig(), on_event=told)
    await told.until(lambda: told.events == ["connect_timeout"])
    assert peer.state == "closed"
    await client.close()


async def test_a_closed_peer_leaves_no_task_behind() -> None:
    before = asyncio.all_tasks()
    async with connected() as (peer, client, _), playing(peer):
        await client.receive("video", 2)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_connecting_and_leaving_again_and_again_keeps_nothing() -> None:
    async with connected():
        pass  # whatever is loaded once
    before = (descriptors(), len(asyncio.all_tasks()), threading.active_count())
    for _ in range(10):
        light = LightPeer()
        peer = await Peer.answer(await light.offer(), ice=IceConfig(), on_event=Told())
        await light.accept(peer.answer_sdp)
        async with playing(peer):
            await asyncio.sleep(0.05)
        await light.close()
        await peer.close()
    await asyncio.sleep(0)
    assert (descriptors(), len(asyncio.all_tasks()), threading.active_count()) == before


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_closed_peer_is_forgotten() -> None:
    async with connected() as (peer, client, told), playing(peer):
        await client.receive("video", 2)
    gone = weakref.ref(peer)
    del peer, client, told
    for _ in range(20):
        await asyncio.sleep(0)
        gc.collect()
        if gone() is None:
            return
    raise AssertionError("somebody still holds the peer")


async def test_somebody_else_who_answers_in_the_clients_place_is_refused() -> None:
    """The certificate has to be the one whose fingerprint came with the offer."""
    client, told = Client(), Told()
    offer = await client.offer()
    forged = ":".join(["AA"] * 32)
    spoiled = re.sub(r"a=fingerprint:sha-256 .*", f"a=fingerprint:sha-256 {forged}", offer)
    spoiled = re.sub(r"a=fingerprint:sha-(384|512) .*\r\n", "", spoiled)
    peer = await Peer.answer(spoiled, ice=IceConfig(), on_event=told)
    await client.accept(peer.answer_sdp)
    await told.until(lambda: told.events == ["failed"])
    assert peer.state == "closed"
    await client.close()


@pytest.mark.parametrize(
    ("candidate", "code"),
    [
        ({"candidate": "nonsense"}, "candidate_invalid"),
        ({"candidate": 5}, "candidate_invalid"),
        ({"candidate": "1 1 udp 1 example.org 5000 typ host"}, "candidate_invalid"),
        ({"candidate": "1 1 udp 1 224.0.0.1 5000 typ host"}, "candidate_invalid"),
        ("text", "candidate_invalid"),
    ],
)
async def test_bad_candidates_are_named(candidate: object, code: str) -> None:
    client = Client()
    peer = await Peer.answer(await client.offer(), ice=IceConfig(), on_event=Told())
    with pytest.raises(PeerError) as raised:
        await peer.add_candidate(candidate)  # type: ignore[arg-type]
    assert raised.value.code == code
    await peer.add_candidate(None)
    await peer.add_candidate({"candidate": ""})
    await peer.add_candidate({"candidate": "candidate:1 1 tcp 1 10.0.0.1 9 typ host tcptype active"})
    await peer.add_candidate({"candidate": "candidate:1 1 udp 1 abc.local 9 typ host"})
    await client.close()
    await peer.close()


async def test_too_many_candidates_are_refused() -> None:
    client = Client()
    peer = await Peer.answer(await client.offer(), ice=IceConfig(), on_event=Told())
    allowed = MAX_CANDIDATES - client.offered.count("a=candidate")
    for port in range(1000, 1000 + allowed):
        await peer.add_candidate({"candidate": f"candidate:1 1 udp 1 10.0.0.1 {port} typ host"})
    with pytest.raises(PeerError) as raised:
        await peer.add_candidate({"candidate": "candidate:1 1 udp 1 10.0.0.1 999 typ host"})
    assert raised.value.code == "candidates_too_many"
    await client.close()
    await peer.close()
