"""A client without H.264 sees the avatar all the same."""

import asyncio
import itertools
import threading
from typing import Any

import av
from aiortc.codecs import get_capabilities

from rtc.frames import AccessUnit
from rtc.payloads import vp8_payloads
from rtc.vp8 import MOST_WAITING, Transcoder
from tests.support.rtc import Client, connected, idle_units, playing


def old_browser() -> Client:
    client = Client()
    codecs = [codec for codec in get_capabilities("video").codecs if codec.mimeType == "video/VP8"]
    client.video.setCodecPreferences(codecs)
    return client


async def test_a_client_without_h264_gets_vp8_and_the_statistics_say_so() -> None:
    async with connected(client=old_browser()) as (peer, client, _), playing(peer):
        frames = await client.receive("video", 15)
        assert (frames[-1].width, frames[-1].height) == (320, 240)
        assert peer.stats().codec == "vp8"
        assert peer.stats().transcoding


async def test_the_thread_ends_with_the_peer() -> None:
    async with connected(client=old_browser()) as (peer, client, _), playing(peer):
        await client.receive("video", 2)
        assert [thread for thread in threading.enumerate() if thread.name == "vp8"]
    for _ in range(100):
        if not [thread for thread in threading.enumerate() if thread.name == "vp8"]:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the thread is still there")


async def test_what_the_thread_cannot_keep_up_with_is_left_out_up_to_a_key_frame() -> None:
    done: list[int] = []
    transcoder = Transcoder(lambda _, frame: done.append(frame))
    units = idle_units()
    for frame in range(50):  # no time passes on the loop
        transcoder.push(units[frame], frame)
    for _ in range(200):
        await asyncio.sleep(0.01)
        if done and not transcoder._waiting.qsize():
            break
    transcoder.close()
    assert done[: MOST_WAITING - 1] == list(range(MOST_WAITING - 1))
    starts = [b for a, b in itertools.pairwise(done) if b != a + 1]
    assert all(units[frame].keyframe for frame in starts)


async def test_a_damaged_picture_is_survived() -> None:
    done: list[int] = []
    transcoder = Transcoder(lambda _, frame: done.append(frame))
    units = idle_units()
    transcoder.push(AccessUnit(b"\0\0\0\1\x65rubbish", keyframe=True), 0)
    for frame in range(5):
        transcoder.push(units[frame], frame + 1)
        await asyncio.sleep(0.05)
    transcoder.close()
    assert done


async def test_every_payload_says_where_its_frame_begins() -> None:
    frames: list[bytes] = []
    transcoder = Transcoder(lambda data, _: frames.append(data))
    transcoder.push(idle_units()[0], 0)
    for _ in range(200):
        await asyncio.sleep(0.01)
        if frames:
            break
    transcoder.close()
    payloads = list(vp8_payloads(frames[0], 5))
    assert [bool(payload[0] & 0x10) for payload in payloads] == [True] + [False] * (len(payloads) - 1)
    assert all(len(payload) <= 1160 for payload in payloads)
    joined = b"".join(payload[4:] for payload in payloads)
    decoder: Any = av.CodecContext.create("libvpx", "r")
    assert [picture.width for picture in decoder.decode(av.Packet(joined))] == [320]
