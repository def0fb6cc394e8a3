"""An independent look at finished media, by FFmpeg's demuxer and decoder: the tests' second opinion."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer


@dataclass(slots=True)
class Inspection:
    """What is in a file. Times are in seconds; `errors` counts frames that the decoder marks."""

    codec: str | None = None
    profile: str | None = None
    level: int | None = None
    width: int = 0
    height: int = 0
    has_b_frames: bool = False
    frames: int = 0
    errors: int = 0
    idr: list[int] = field(default_factory=list)
    pts: list[Fraction] = field(default_factory=list)
    extradata: bytes = b""
    video_seconds: Fraction = Fraction(0)
    audio_codec: str | None = None
    audio_channels: int = 0
    audio_seconds: Fraction = Fraction(0)
    audio_samples: int = 0
    sound: np.ndarray[tuple[int], np.dtype[np.float32]] | None = None


def inspect(source: Path | bytes, *, sound: bool = False) -> Inspection:
    """Decode everything and tell what is there; with `sound`, keep the first channel decoded."""
    seen = Inspection()
    for look in (_packets, _pictures, _sound):
        with av.open(io.BytesIO(source) if isinstance(source, bytes) else str(source), "r") as container:
            look(container, seen)
    if not sound:
        seen.sound = None
    return seen


def _packets(container: InputContainer, seen: Inspection) -> None:
    if not container.streams.video:
        return
    stream = container.streams.video[0]
    codec = stream.codec_context
    seen.codec, seen.profile, seen.extradata = codec.name, codec.profile, codec.extradata or b""
    seen.level = seen.extradata[3] if len(seen.extradata) > 3 else None
    seen.width, seen.height = codec.width, codec.height
    seen.has_b_frames = bool(codec.has_b_frames)
    if stream.duration and stream.time_base:
        seen.video_seconds = stream.duration * Fraction(stream.time_base)
    packets = [packet for packet in container.demux(stream) if packet.size]
    seen.idr = [number for number, packet in enumerate(packets) if packet.is_keyframe]
    seen.has_b_frames |= any(packet.pts != packet.dts for packet in packets)


def _pictures(container: InputContainer, seen: Inspection) -> None:
    if not container.streams.video:
        return
    for frame in container.decode(video=0):
        seen.frames += 1
        seen.errors += bool(frame.is_corrupt)
        if frame.pts is not None and frame.time_base:
            seen.pts.append(frame.pts * Fraction(frame.time_base))


def _sound(container: InputContainer, seen: Inspection) -> None:
    if not container.streams.audio:
        return
    stream = container.streams.audio[0]
    seen.audio_codec, seen.audio_channels = stream.codec_context.name, stream.codec_context.channels
    if stream.duration and stream.time_base:
        seen.audio_seconds = stream.duration * Fraction(stream.time_base)
    parts = [frame.to_ndarray()[0].astype(np.float32) for frame in container.decode(audio=0)]
    seen.audio_samples = sum(map(len, parts))
    seen.sound = np.concatenate(parts) if parts else None
