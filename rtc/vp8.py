"""For clients without H.264: pictures decoded and encoded again as VP8, in a thread of their own.

This is what passing through avoids: it takes 11% of a core for each such client at 512x640.
Every browser in use today offers H.264; the statistics of a peer say when one did not.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av

from rtc.frames import FPS, AccessUnit

BIT_RATE = 900_000
LOW_BIT_RATE = 350_000
MOST_WAITING = 5  # pictures; a thread further behind skips to the next key frame

Deliver = Callable[[bytes, int], None]


class Transcoder:
    """Takes pictures in order, gives VP8 frames back on the event loop with the frame they belong to.

    `push` and `close` are called on the loop and do not wait. What the thread cannot keep up with is
    left out, from one key frame to the next.
    """

    def __init__(self, deliver: Deliver, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._deliver = deliver
        self._loop = loop or asyncio.get_running_loop()
        self._waiting: queue.SimpleQueue[tuple[AccessUnit, int] | None] = queue.SimpleQueue()
        self._skipping = True
        self._closed = False
        self._keyframe = threading.Event()
        self._bit_rate = BIT_RATE
        self._thread = threading.Thread(target=self._run, name="vp8", daemon=True)
        self._thread.start()

    def push(self, unit: AccessUnit, frame: int) -> None:
        if self._closed:
            return
        if self._waiting.qsize() >= MOST_WAITING:
            self._skipping = True
        if self._skipping and not unit.keyframe:
            return
        self._skipping = False
        self._waiting.put((unit, frame))

    def keyframe(self) -> None:
        """The client lost a picture: the next one stands alone."""
        self._keyframe.set()

    def lower(self, low: bool) -> None:
        self._bit_rate = LOW_BIT_RATE if low else BIT_RATE

    def close(self) -> None:
        """End the thread after the picture in hand; nothing is delivered from now on."""
        if not self._closed:
            self._closed = True
            self._waiting.put(None)

    # --- In the thread ------------------------------------------------------------------------

    def _run(self) -> None:
        decoder: Any = av.CodecContext.create("h264", "r")
        encoder: Any = None
        while (item := self._waiting.get()) is not None and not self._closed:
            unit, frame = item
            try:
                for picture in decoder.decode(av.Packet(unit.data)):
                    if encoder is None or _outdated(encoder, picture, self._bit_rate):
                        encoder = _encoder(picture.width, picture.height, self._bit_rate)
                    self._encode(encoder, picture, frame)
            except av.FFmpegError:
                decoder = av.CodecContext.create("h264", "r")  # from the next key frame on

    def _encode(self, encoder: Any, picture: Any, frame: int) -> None:
        picture.pts, picture.time_base = frame, Fraction(1, FPS)
        picture.pict_type = av.video.frame.PictureType.NONE
        if self._keyframe.is_set():
            self._keyframe.clear()
            picture.pict_type = av.video.frame.PictureType.I
        for packet in encoder.encode(picture):
            self._loop.call_soon_threadsafe(self._delivered, bytes(packet), frame)

    def _delivered(self, data: bytes, frame: int) -> None:
        if not self._closed:
            self._deliver(data, frame)


def _outdated(encoder: Any, picture: Any, bit_rate: int) -> bool:
    return (encoder.width, encoder.height, encoder.bit_rate) != (picture.width, picture.height, bit_rate)


def _encoder(width: int, height: int, bit_rate: int) -> Any:
    codec: Any = av.CodecContext.create("libvpx", "w")
    codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
    codec.time_base, codec.framerate = Fraction(1, FPS), FPS
    codec.bit_rate, codec.gop_size, codec.thread_count = bit_rate, 3000, 1
    codec.qmin, codec.qmax = 4, 56
    codec.options = {
        "deadline": "realtime",
        "cpu-used": "8",
        "lag-in-frames": "0",
        "error-resilient": "1",
        "minrate": str(bit_rate // 4),
        "maxrate": str(bit_rate),
        "bufsize": str(bit_rate // 2),
    }
    return codec
