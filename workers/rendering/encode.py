"""Frames to a fragment: a short MP4 that holds only H.264, encoded once and never again.

Every fragment and idle loop of one size carries the same parameter sets whatever its rate factor
(x264's `stitchable`), so that any of them can follow any other by copying samples.
"""

from __future__ import annotations

import hashlib
import struct
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from workers.rendering.boxes import box
from workers.rendering.movie import FILE_TYPE, FPS, FRAME_TICKS, VIDEO_TIMESCALE, Track, avc_entry, movie

CRF = 23
# Live fragments look as those of clips do (PSNR within 0.1 dB) for 28% less work and 11% more bytes.
LIVE_PRESET = "superfast"
LIVE_CRF = 24
LOW_CRF = CRF + 8  # the lower rendition, for receivers with little bandwidth
# Every fifth picture of an idle loop stands alone. That alone takes most of its bits, and gives it at
# 23 a quality (50 dB) that speech does not have; at 28 both look alike. docs/rendering-live.md.
IDLE_CRF = CRF + 5
IDLE_LOW_CRF = IDLE_CRF + 8
PRESET = "veryfast"
KEYINT = 250
IDLE_KEYINT = 5  # an IDR frame every 200 ms, where playout may enter the loop

# No look-ahead: a frame in is a frame out, and macroblock-tree, which comes with it, saves just
# where the mouth moves. The weaker adaptive quantisation leaves it more bits still.
# docs/benchmarks/encode.md has the figures.
X264 = (
    "stitchable=1:repeat-headers=1:annexb=0:bframes=0:ref=1:scenecut=0:"
    "rc-lookahead=0:sync-lookahead=0:mbtree=0:aq-strength=0.6:psy-rd=0,0:keyint={keyint}:min-keyint=1"
)

_SPS, _PPS, _SEI = 7, 8, 6

I420 = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class EncodedFragment:
    """An MP4 of `frames` pictures of 40 ms; `sha256` is that of `data`, in hex."""

    data: bytes
    frames: int
    sha256: str


class FragmentEncoder:
    """Encodes I420 pictures as they come.

    `push` takes an array of shape (height * 3 // 2, width), uint8, BT.601 limited range; it is
    read before `push` returns, so the caller may draw the next picture into the same buffer.
    Width and height must be even. Raises `ValueError` for a picture of another size.
    """

    def __init__(
        self,
        *,
        width: int,
        height: int,
        crf: float = CRF,
        preset: str = PRESET,
        keyint: int = KEYINT,
        threads: int = 1,
    ) -> None:
        if width % 2 or height % 2 or width < 16 or height < 16:
            raise ValueError(f"{width}x{height} is not an even size of at least 16x16")
        self._shape = (height * 3 // 2, width)
        self._codec = _open_codec(width, height, crf=crf, preset=preset, keyint=keyint, threads=threads)
        self._spare = None if height % 4 == 0 else VideoFrame(width, height, "yuv420p")
        self._pushed = 0
        self._samples: list[bytes] = []
        self._sync = array("I")

    def push(self, picture: I420) -> None:
        if picture.shape != self._shape or picture.dtype != np.uint8:
            raise ValueError(f"a picture of {picture.shape} {picture.dtype}, not {self._shape} uint8")
        frame = self._wrap(np.ascontiguousarray(picture))
        frame.pts = self._pushed
        self._pushed += 1
        self._take(self._codec.encode(frame))

    def finish(self) -> EncodedFragment:
        """Flush and return the fragment. Raises `ValueError` if nothing was pushed."""
        if not self._pushed:
            raise ValueError("a fragment has at least one frame")
        self._take(self._codec.encode(None))
        sets = {unit[0] & 31: unit for unit in units(self._samples[0])}
        height, width = self._shape[0] * 2 // 3, self._shape[1]
        data = video_file(
            self._samples, self._sync, avc_entry(width, height, sets[_SPS], sets[_PPS]), width, height
        )
        return EncodedFragment(data, len(self._samples), hashlib.sha256(data).hexdigest())

    def _wrap(self, picture: I420) -> VideoFrame:
        """Lend the array to x264, which copies it; PyAV cannot where height is no multiple of 4."""
        if self._spare is None:
            return VideoFrame.from_numpy_buffer(picture, "yuv420p")
        flat, start = picture.reshape(-1), 0
        for plane in self._spare.planes:
            rows = np.frombuffer(cast("memoryview", plane), np.uint8).reshape(plane.height, plane.line_size)
            size = plane.width * plane.height
            rows[:, : plane.width] = flat[start : start + size].reshape(plane.height, plane.width)
            start += size
        return self._spare

    def _take(self, packets: list[av.Packet[Any]]) -> None:
        for packet in packets:
            sample = bytes(packet)
            if packet.is_keyframe:
                self._sync.append(len(self._samples) + 1)
                sample = without_sei(sample)
            self._samples.append(sample)


def encode_fragment(
    frames: Iterable[I420],
    *,
    width: int,
    height: int,
    crf: float = CRF,
    preset: str = PRESET,
    keyint: int = KEYINT,
    threads: int = 1,
) -> EncodedFragment:
    """Encode frames that are already drawn; see `FragmentEncoder`."""
    encoder = FragmentEncoder(
        width=width, height=height, crf=crf, preset=preset, keyint=keyint, threads=threads
    )
    for frame in frames:
        encoder.push(frame)
    return encoder.finish()


def encode_idle(
    frames: Iterable[I420],
    *,
    width: int,
    height: int,
    crf: float = IDLE_CRF,
    preset: str = PRESET,
    keyint: int = IDLE_KEYINT,
    threads: int = 1,
) -> EncodedFragment:
    """Encode an idle loop: playout can enter it at every `keyint`-th frame."""
    return encode_fragment(
        frames, width=width, height=height, crf=crf, preset=preset, keyint=keyint, threads=threads
    )


def level(width: int, height: int) -> str:
    """Return the lowest of three H.264 levels that allows this size at 25 fps (table A-1).

    It is told to x264 so that it follows from the size alone. Live takes at most 3.1.
    """
    blocks = -(-width // 16) * -(-height // 16)
    if blocks <= 3600:
        return "3.1"
    return "4.0" if blocks <= 8192 else "5.1"


def units(sample: bytes) -> list[bytes]:
    """Split a sample of four-byte lengths into its NAL units."""
    found, at = [], 0
    while at < len(sample):
        (size,) = struct.unpack_from(">I", sample, at)
        found.append(sample[at + 4 : at + 4 + size])
        at += 4 + size
    return found


def without_sei(sample: bytes) -> bytes:
    """Drop x264's note about itself: 700 bytes in each fragment that no decoder reads."""
    kept = (unit for unit in units(sample) if unit[0] & 31 != _SEI)
    return b"".join(struct.pack(">I", len(unit)) + unit for unit in kept)


def video_file(samples: list[bytes], sync: array[int], entry: bytes, width: int, height: int) -> bytes:
    """Return an MP4 of one H.264 track, tables first, 40 ms a sample."""
    track = Track("video", entry, VIDEO_TIMESCALE, width, height, sync=sync)
    track.sizes = array("I", map(len, samples))
    track.deltas = [(len(samples), FRAME_TICKS)]
    track.chunks = [(0, len(samples))]
    start = len(FILE_TYPE) + len(movie([track])) + 8
    return b"".join((FILE_TYPE, movie([track], start), box(b"mdat", *samples)))


def _open_codec(
    width: int, height: int, *, crf: float, preset: str, keyint: int, threads: int
) -> av.VideoCodecContext:
    codec = av.CodecContext.create("libx264", "w")
    assert isinstance(codec, av.VideoCodecContext)  # noqa: S101 - narrows the type for the checker
    codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
    codec.time_base, codec.framerate = Fraction(1, FPS), Fraction(FPS)
    codec.thread_count = threads
    codec.color_range, codec.color_primaries, codec.color_trc, codec.colorspace = 1, 1, 1, 6
    codec.options = {
        "preset": preset,
        "crf": f"{crf:g}",
        "profile": "baseline",
        "level": level(width, height),
        "x264-params": X264.format(keyint=keyint),
    }
    return codec
