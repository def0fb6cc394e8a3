"""Fragments to what WebRTC sends: Annex B access units, one a picture."""

from __future__ import annotations

import io

import av
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer
from av.video.stream import VideoStream

from rtc.frames import AccessUnit
from rtc.mp4 import plain_units

# FFmpeg would decode the first picture to learn what the headers say, at two thirds of the cost.
LOOK_ONLY = {"skip_frame": "all"}


class MediaMalformed(ValueError):
    """This is not a fragment that can be sent; the message says why."""


def access_units(mp4: bytes) -> tuple[AccessUnit, ...]:
    """Take the pictures out of a fragment, in order, with SPS and PPS before each IDR frame.

    Nothing is decoded. Raises `MediaMalformed` when the file is not a readable MP4 with H.264, or
    does not open with an IDR frame.
    """
    units = plain_units(mp4) or _demuxed(mp4)
    if not units or not units[0].keyframe:
        raise MediaMalformed("the fragment does not open with an IDR frame")
    return units


def _demuxed(mp4: bytes) -> tuple[AccessUnit, ...]:
    """Take the pictures out with FFmpeg, which knows every MP4 and says what is wrong with one."""
    with _open(mp4) as container:
        video = _video(container)
        try:
            return _filtered(container, video)
        except av.FFmpegError as error:
            raise MediaMalformed(f"the fragment cannot be read: {error}") from error


def _open(mp4: bytes) -> InputContainer:
    try:
        return av.open(io.BytesIO(mp4), "r", format="mp4", options=LOOK_ONLY)
    except (av.FFmpegError, ValueError) as error:
        raise MediaMalformed(f"the fragment is not an MP4: {error}") from error


def _video(container: InputContainer) -> VideoStream:
    video = next(iter(container.streams.video), None)
    # PyAV gives no context at all for a codec that it does not know.
    if video is None or getattr(video.codec_context, "name", "") != "h264":
        raise MediaMalformed("the fragment holds no H.264")
    if video.codec_context.has_b_frames:
        raise MediaMalformed("the pictures of the fragment are not in the order in which they are shown")
    return video


def _filtered(container: InputContainer, video: VideoStream) -> tuple[AccessUnit, ...]:
    annex_b = BitStreamFilterContext("h264_mp4toannexb", video)
    units: list[AccessUnit] = []
    for packet in container.demux(video):
        ready = annex_b.filter(packet if packet.size else None)
        units += (AccessUnit(bytes(each), each.is_keyframe) for each in ready)
    return tuple(units)
