"""Any sound that somebody sends, decoded to the sound of the timeline: 48 kHz mono s16le."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.container import InputContainer
from av.error import EOFError as EndOfFile
from av.error import FFmpegError, InvalidDataError

from workers.rendering.errors import MediaError
from workers.rendering.movie import SOUND_RATE
from workers.rendering.sources import Source, open_media

MAX_SECONDS = 1800
MAX_BYTES = 200 * 1024 * 1024
MIN_MS = 100
DAMAGED_SHARE = 0.05  # of the packets; a streamed MP3 may begin in the middle of one
MISSING_SHARE = 0.1  # of the length that the file claims


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """What the file was: as its header says it, not yet proven by decoding."""

    codec: str
    sample_rate: int
    channels: int
    claimed_ms: int | None


def decode_audio(
    source: Source,
    *,
    max_seconds: float = MAX_SECONDS,
    max_bytes: int = MAX_BYTES,
    min_ms: int = MIN_MS,
) -> tuple[AudioInfo, Iterator[bytes]]:
    """Return what the file says of itself, and its sound in pieces of about a second or less.

    The iterator decodes as it is read and keeps one piece in memory. Raises `MediaError`, here or
    from the iterator: what was read before an error is to be thrown away. A file whose header
    claims more than `max_seconds` is refused before anything is decoded, one that only turns out
    longer at the limit.
    """
    container = open_media(source, max_bytes=max_bytes)
    try:
        info = _info(container, max_seconds)
    except BaseException:
        container.close()
        raise
    return info, _checked(container, info, max_seconds, min_ms)


def _info(container: InputContainer, max_seconds: float) -> AudioInfo:
    if not container.streams.audio:
        raise MediaError("no_audio", "The file holds no sound.")
    stream = container.streams.audio[0]
    # Typed as always there; None where FFmpeg has no decoder for what a damaged header names.
    codec: AudioCodecContext | None = stream.codec_context
    claimed = container.duration
    if stream.duration and stream.time_base:
        claimed = int(stream.duration * stream.time_base * av.time_base)
    if codec is None or not codec.sample_rate or not codec.channels:
        raise MediaError("unreadable_media", "The sound of the file cannot be decoded.")
    if claimed and claimed > max_seconds * 1.1 * av.time_base:
        raise _too_long(max_seconds)
    return AudioInfo(
        codec.name, codec.sample_rate, codec.channels, claimed // 1000 if claimed and claimed > 0 else None
    )


def _checked(container: InputContainer, info: AudioInfo, max_seconds: float, min_ms: int) -> Iterator[bytes]:
    most, samples = int(max_seconds * SOUND_RATE), 0
    with closing(container):
        for piece in _resampled(container):
            samples += len(piece) // 2
            if samples > most:
                raise _too_long(max_seconds)
            yield piece
    if info.claimed_ms and samples * 1000 // SOUND_RATE < info.claimed_ms * (1 - MISSING_SHARE) - 100:
        raise MediaError("unreadable_media", "The file is cut short.")
    if samples * 1000 < min_ms * SOUND_RATE:
        raise MediaError("too_short", f"The sound is shorter than {min_ms} ms.")


def _resampled(container: InputContainer) -> Iterator[bytes]:
    """Decode and convert; a stream that changes its rate or layout gets a new converter."""
    converter, kind = AudioResampler(format="s16", layout="mono", rate=SOUND_RATE), None
    for frame in _frames(container):
        mono = _folded(frame)
        if kind not in {None, _kind(mono)}:
            yield from _bytes(converter.resample(None))
            converter = AudioResampler(format="s16", layout="mono", rate=SOUND_RATE)
        kind = _kind(mono)
        yield from _bytes(converter.resample(mono))
    if kind is not None:
        yield from _bytes(converter.resample(None))


def _frames(container: InputContainer) -> Iterator[AudioFrame]:
    stream = container.streams.audio[0]
    stream.codec_context.thread_type = "NONE"  # a hostile file must not start a thread for each core
    packets = damaged = 0
    try:
        for packet in container.demux(stream):
            packets += 1
            try:
                frames = packet.decode()
            except InvalidDataError:
                damaged += 1
                continue
            for frame in frames:
                if isinstance(frame, AudioFrame) and frame.samples:
                    frame.pts = None  # gaps and jumps in the file's clock do not matter here
                    yield frame
    except EndOfFile:
        pass
    except FFmpegError as error:
        raise MediaError("unreadable_media", "The sound of the file cannot be decoded.") from error
    if damaged > max(1, packets * DAMAGED_SHARE):
        raise MediaError("unreadable_media", "The sound of the file is damaged.")


def _folded(frame: AudioFrame) -> AudioFrame:
    """Mix down what FFmpeg has no rule for: channels without a known order, and too many of them."""
    channels = frame.layout.nb_channels
    if channels <= 8 and "channels" not in frame.layout.name:
        return frame
    sound = frame.to_ndarray()
    rows = sound if frame.format.is_planar else sound.reshape(-1, channels).T
    if rows.dtype.kind in "iu":
        rows = (rows.astype(np.float32) - 128 * (rows.itemsize == 1)) / (1 << 8 * rows.itemsize - 1)
    mono = AudioFrame.from_ndarray(rows.mean(0, dtype=np.float32)[None], format="fltp", layout="mono")
    mono.sample_rate = frame.sample_rate
    return mono


def _kind(frame: AudioFrame) -> tuple[int, str, str]:
    return frame.sample_rate, frame.layout.name, frame.format.name


def _bytes(frames: list[AudioFrame]) -> Iterator[bytes]:
    for frame in frames:
        if frame.samples:
            yield bytes(frame.planes[0])[: frame.samples * 2]


def _too_long(seconds: float) -> MediaError:
    return MediaError("too_long", f"The sound is longer than {seconds:g} seconds.")
