"""Pictures kept as H.264, and found again without decoding all that lies before them.

A film is a list of segments that each decode by themselves. The planes go in and come out as they
are, so nothing is converted; what the compression costs is far below what the streamed video loses.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from workers.adapters.avatar.base import FPS, I420
from workers.adapters.errors import AdapterError

SEGMENT = 10  # pictures
CRF = "13"
Segment = NDArray[np.uint8]
"""Decoded pictures, shape (pictures, height * 3 // 2, width)."""


def encode(pictures: Iterable[I420], width: int, height: int) -> list[bytes]:
    """Compress pictures of even size into segments of `SEGMENT` each."""
    codec = _encoder(width, height)
    segments: list[bytearray] = []
    for number, picture in enumerate(pictures):
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="yuv420p")
        frame.pts = number
        _put(segments, codec.encode(frame))
    _put(segments, codec.encode(None))
    return [bytes(segment) for segment in segments]


def decode(segment: bytes, width: int, height: int) -> Segment:
    """Return the pictures of one segment. Raises `AdapterError` (`bundle_invalid`)."""
    codec = av.CodecContext.create("h264", "r")
    codec.thread_count = 1
    try:
        packets = [*codec.parse(segment), *codec.parse(None)]
        frames = [frame for packet in packets for frame in codec.decode(packet)] + codec.decode(None)
    except FFmpegError as error:
        raise damaged() from error
    if not frames or any((frame.width, frame.height) != (width, height) for frame in frames):
        raise damaged()
    return np.stack([frame.to_ndarray() for frame in frames])


def damaged() -> AdapterError:
    return AdapterError(
        "The avatar's prepared data cannot be read: prepare it again.",
        provider="plates",
        retryable=False,
        code="bundle_invalid",
    )


def _put(segments: list[bytearray], packets: Iterable[av.Packet[Any]]) -> None:
    for packet in packets:
        if packet.is_keyframe:
            segments.append(bytearray())
        segments[-1] += bytes(packet)


def _encoder(width: int, height: int) -> VideoCodecContext:
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
    codec.framerate, codec.time_base = Fraction(FPS), Fraction(1, FPS)
    codec.thread_count = 1
    codec.options = {
        "crf": CRF,
        "preset": "veryfast",
        "x264-params": f"keyint={SEGMENT}:min-keyint={SEGMENT}:scenecut=0:bframes=0:repeat-headers=1",
    }
    return codec
