"""A film that a service made: its pictures, read with limits, whatever codec and rate it has.

What comes from a service is judged by decoding it. Only containers of films are opened, so that no
playlist makes FFmpeg open an address or another file.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from workers.adapters.avatar.base import FPS, I420
from workers.adapters.errors import AdapterError

FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm"
MAX_BYTES = 64 * 1024 * 1024
LONGEST_SIDE = 4096
MOST_PIXELS = LONGEST_SIDE * LONGEST_SIDE  # that a decoder makes room for, whatever the tables say
MOST_TIMES = 16  # as many pictures as are shown: nobody films that fast
SLACK_FRAMES = 3  # services round the length of the sound; more than that is another film
FLAT = 4  # a picture whose brightness varies by less shows nothing
SHAPE_TOLERANCE = 0.02


@dataclass(frozen=True, slots=True)
class Limits:
    """What a film has to be: `frames` pictures of 40 ms, of the shape of `width` and `height`."""

    frames: int
    width: int
    height: int
    max_bytes: int = MAX_BYTES


def pictures(data: bytes, limits: Limits, *, provider: str = "film") -> Iterator[I420]:
    """Yield exactly `limits.frames` pictures at 25 a second, scaled to the size that is wanted.

    A film that is up to three frames shorter keeps its last picture, one that is up to three longer
    loses its end. Raises `AdapterError`: `frames_malformed` for what is no film or is damaged,
    `frames_missing` for a shorter one, `model_profile_mismatch` for another shape, `model_fake`
    where nothing is to be seen.
    """
    shown = 0
    picture: I420 | None = None
    with opened(data, limits.max_bytes, provider) as (container, stream):
        frames = _decoded(container, stream, limits, provider)
        for frame, times in _paced(frames, _rate(stream)):
            shown += times
            if shown > limits.frames + SLACK_FRAMES:
                raise _wrong("more frames than there is sound", provider)
            first, picture = picture is None, _fitted(frame, limits)
            if first and is_flat(picture):
                raise AdapterError(
                    "The model answers with pictures of one colour.",
                    provider=provider,
                    retryable=False,
                    code="model_fake",
                )
            for _ in range(max(0, min(times, limits.frames - shown + times))):
                yield picture
    if picture is None or limits.frames - shown > SLACK_FRAMES:
        raise missing(shown, limits.frames, provider)
    for _ in range(limits.frames - shown):
        yield picture


@contextmanager
def opened(data: bytes, max_bytes: int, provider: str) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open the first video track; whatever FFmpeg says of it in the block is `frames_malformed`."""
    if len(data) > max_bytes:
        raise _wrong(f"more than {max_bytes // 1024 // 1024} MB", provider)
    try:
        with _container(data) as container:
            if not container.streams.video:
                raise _wrong("no pictures", provider)
            container.streams.video[0].codec_context.options = _bounds()
            yield container, container.streams.video[0]
    except (FFmpegError, UnicodeError, ValueError) as error:
        raise _wrong("not a film that can be read", provider) from error


def is_flat(picture: I420) -> bool:
    """Whether every pixel is as bright as every other: what fake model servers answer with."""
    luma = picture[: picture.shape[0] * 2 // 3]
    return int(luma.max()) - int(luma.min()) < FLAT


def missing(got: int, wanted: int, provider: str) -> AdapterError:
    return AdapterError(
        f"The model answered with {got} of {wanted} frames.",
        provider=provider,
        retryable=True,
        code="frames_missing",
    )


def _container(data: bytes) -> InputContainer:
    # Some codecs are opened to find out what they hold: they get the options of the container.
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "none", **_bounds()}
    return av.open(io.BytesIO(data), mode="r", options=options, metadata_errors="replace")


def _bounds() -> dict[str, str]:
    return {"max_pixels": str(MOST_PIXELS)}


def _decoded(
    container: InputContainer, stream: VideoStream, limits: Limits, provider: str
) -> Iterator[VideoFrame]:
    _check_size(stream.codec_context.width, stream.codec_context.height, limits, provider)
    most = MOST_TIMES * (limits.frames + SLACK_FRAMES)
    for number, frame in enumerate(container.decode(stream)):
        if number >= most:
            raise _wrong("more pictures than can be seen", provider)
        if frame.is_corrupt:
            raise _wrong("damaged pictures", provider)
        _check_size(frame.width, frame.height, limits, provider)
        yield frame


def _check_size(width: int, height: int, limits: Limits, provider: str) -> None:
    if not 0 < max(width, height) <= LONGEST_SIDE or min(width, height) < 2:
        raise _wrong(f"pictures of {width}x{height}", provider)
    if abs(width * limits.height / (height * limits.width) - 1) > SHAPE_TOLERANCE:
        raise AdapterError(
            f"The model draws pictures of {width}x{height}, not of {limits.width}x{limits.height}.",
            provider=provider,
            retryable=False,
            code="model_profile_mismatch",
        )


def _rate(stream: VideoStream) -> Fraction:
    return Fraction(stream.average_rate or stream.base_rate or FPS)


def _paced(frames: Iterator[VideoFrame], rate: Fraction) -> Iterator[tuple[VideoFrame, int]]:
    """Each picture and for how many frames of 40 ms it is seen; none for those that fall between."""
    before: VideoFrame | None = None
    begun, start, seen = Fraction(0), 0, Fraction(0)
    for number, frame in enumerate(frames):
        at = number / rate if frame.pts is None or not frame.time_base else frame.pts * frame.time_base
        if before is None:
            begun = at
        else:
            start, last = max(start, _tick(at - begun)), start
            yield before, start - last
        before, seen = frame, at - begun
    if before is not None:
        yield before, max(1, _tick(seen + 1 / rate) - start)


def _tick(seconds: Fraction) -> int:
    return int(seconds * FPS + Fraction(1, 2))


def _fitted(frame: VideoFrame, limits: Limits) -> I420:
    """In BT.601 limited range, whatever the film says it has."""
    placed = frame.reformat(
        width=limits.width,
        height=limits.height,
        format="yuv420p",
        src_colorspace=_matrix(frame),
        dst_colorspace=Colorspace.ITU601,
        src_color_range=ColorRange.JPEG if _is_full(frame) else ColorRange.MPEG,
        dst_color_range=ColorRange.MPEG,
    )
    return np.asarray(placed.to_ndarray(), dtype=np.uint8)


def _matrix(frame: VideoFrame) -> Colorspace:
    return Colorspace.ITU709 if frame.colorspace == Colorspace.ITU709 else Colorspace.ITU601


def _is_full(frame: VideoFrame) -> bool:
    return frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")


def _wrong(what: str, provider: str) -> AdapterError:
    return AdapterError(
        f"The model's answer cannot be used: {what}.",
        provider=provider,
        retryable=False,
        code="frames_malformed",
    )
