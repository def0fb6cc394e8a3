"""Live render workers that are played by a test, against a real broker."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import redis.asyncio as aioredis

from workers.live import wire
from workers.live.wire import RenderReply, RenderRequest

QUEUE = "live.mock"


class PlayedWorker:
    """Takes requests from the queue and answers as the test says."""

    def __init__(self, url: str, name: str = "live1@x", queue: str = QUEUE) -> None:
        self.name = name
        self.queue = queue
        self.broker = aioredis.Redis.from_url(url)

    async def take(self, seconds: float = 5.0) -> RenderRequest:
        taken = await self.broker.brpop([f"celery:{self.queue}"], timeout=seconds)
        assert taken is not None, "nobody asked"
        request = wire.load_request(json.loads(json.loads(taken[1])["body"])[0][0])
        if request.opens:
            return request
        sound = await self.broker.get(request.sound_key)
        assert isinstance(sound, bytes), "its sound is not there"
        return wire.with_sound(request, sound)

    async def answer(self, request: RenderRequest, data: bytes = b"mp4", **changes: Any) -> None:
        known = {name: getattr(request, name) for name in ("session", "incarnation", "epoch", "number")}
        reply = RenderReply(
            **known, **{"data": data, "frames": request.frames, "render_ms": 1.0, "queue_ms": 1.0, **changes},
            worker=self.name, attempt=request.attempt,
        )  # fmt: skip
        await self.broker.xadd(request.reply_to, wire.dump_reply(reply))


def wish(number: int = 1, *, session: str = "ses_1", epoch: int = 0, frames: int = 5) -> dict[str, Any]:
    """The fields of a request for the mock model."""
    return {
        "session": session, "epoch": epoch, "number": number, "model": "mock",
        "bundle_key": "avatars/avt_1/v0001/bundle.bin", "bundle_sha256": "", "width": 128, "height": 160,
        "start_frame": 0, "frames": frames, "pcm16k": bytes(frames * 1280), "lookback": 0, "lookahead": 0,
    }  # fmt: skip


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
