"""Pictures and short videos that somebody sends, checked by decoding them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import cv2
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from workers.rendering.errors import MediaError
from workers.rendering.sources import Source, open_media

Picture = NDArray[np.uint8]

TYPES = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
MAX_PIXELS = 40_000_000
MAX_SIDE = 12_000
MIN_SIDE = 16
MAX_BYTES = 20 * 1024 * 1024


def open_picture(
    data: bytes,
    *,
    max_pixels: int = MAX_PIXELS,
    max_side: int = MAX_SIDE,
    max_bytes: int = MAX_BYTES,
    min_side: int = MIN_SIDE,
) -> Picture:
    """Decode a picture to uint8 BGR (height, width, 3), or BGRA where it has transparency.

    Turned upright as its EXIF data says; of an animation, the first picture. Size limits are
    checked on the header, before a pixel is decoded. Raises `MediaError`.
    """
    if len(data) > max_bytes:
        raise MediaError("image_too_large", f"The file has more than {max_bytes // 1024 // 1024} MB.")
    try:
        with Image.open(io.BytesIO(data), formats=TYPES) as image:
            _check_size(image.size, max_pixels, max_side, min_side)
            image.load()
            return _pixels(ImageOps.exif_transpose(image))
    except UnidentifiedImageError as error:
        raise _unknown(data) from error
    except Image.DecompressionBombError as error:
        raise MediaError("image_too_large", "The picture has too many pixels.") from error
    # Pillow's plug-ins answer damaged files with whatever their parser meets.
    except (
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
        IndexError,
        KeyError,
        OverflowError,
        TypeError,
    ) as error:
        if isinstance(error, MediaError):
            raise
        raise MediaError("unreadable_image", "The picture is damaged or cut short.") from error


def _check_size(size: tuple[int, int], max_pixels: int, max_side: int, min_side: int) -> None:
    width, height = size
    if width * height > max_pixels or max(size) > max_side:
        raise MediaError("image_too_large", f"{width}x{height} pixels are too many.")
    if min(size) < min_side:
        raise MediaError("image_too_small", f"The picture needs at least {min_side}x{min_side} pixels.")


def _unknown(data: bytes) -> MediaError:
    """Say that a video is no picture where it is one."""
    try:
        open_media(data, max_bytes=len(data)).close()
    except MediaError:
        return MediaError("unreadable_image", "The file is not a picture that can be read.")
    return MediaError("unsupported_image", "The file is a video or sound, not a picture.")


def _pixels(image: Image.Image) -> Picture:
    if image.mode.startswith("I") or image.mode == "F":
        image = _eight_bit(image)
    clear = image.has_transparency_data
    pixels = np.asarray(image.convert("RGBA" if clear else "RGB"))
    if clear and pixels[..., 3].min() == 255:
        pixels = pixels[..., :3]
    code = cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR
    return np.asarray(cv2.cvtColor(pixels, code), np.uint8)


def _eight_bit(image: Image.Image) -> Image.Image:
    """Scale 16 bits to 8; Pillow's own conversion cuts them off at 255 instead."""
    grey = np.asarray(image, np.float64)
    top = 65535.0 if image.mode.startswith("I") else max(1.0, float(grey.max(initial=0)))
    return Image.fromarray(np.clip(grey * (255 / top), 0, 255).astype(np.uint8))


@dataclass(frozen=True, slots=True)
class Video:
    """A short video; `frames` decodes as it is read."""

    width: int
    height: int
    fps: float
    duration_ms: int | None
    frames: Iterator[Picture]


def open_video(
    source: Source,
    *,
    max_seconds: float = 30,
    max_pixels: int = 3840 * 2160,
    max_bytes: int = 200 * 1024 * 1024,
    min_side: int = MIN_SIDE,
) -> Video:
    """Open a template video; its frames come as upright uint8 BGR pictures.

    Raises `MediaError`, here or from `frames`, which stops at `max_seconds` with `too_long`.
    """
    container = open_media(source, max_bytes=max_bytes)
    try:
        return _video(container, max_seconds, max_pixels, min_side)
    except BaseException:
        container.close()
        raise


def _video(container: InputContainer, max_seconds: float, max_pixels: int, min_side: int) -> Video:
    if not container.streams.video:
        raise MediaError("no_video", "The file holds no pictures.")
    stream = container.streams.video[0]
    if stream.codec_context is None:  # no decoder for what the header names
        raise MediaError("unreadable_media", "The pictures of the file cannot be decoded.")
    width, height = stream.width, stream.height
    if width * height > max_pixels:
        raise MediaError("image_too_large", f"{width}x{height} pixels are too many.")
    if min(width, height) < min_side:
        raise MediaError("image_too_small", f"The video needs at least {min_side}x{min_side} pixels.")
    length = container.duration
    if length and length > max_seconds * 1_100_000:
        raise MediaError("too_long", f"The video is longer than {max_seconds:g} seconds.")
    fps = float(stream.average_rate or stream.guessed_rate or 25)
    frames = _video_frames(container, max_seconds, round(max_seconds * max(1.0, min(fps, 120))))
    return Video(width, height, fps, length // 1000 if length else None, frames)


def _video_frames(container: InputContainer, max_seconds: float, most: int) -> Iterator[Picture]:
    number = 0
    try:
        with closing(container):
            for number, frame in enumerate(container.decode(video=0), 1):
                if number > most:
                    raise MediaError("too_long", f"The video is longer than {max_seconds:g} seconds.")
                yield _upright(frame)
    except FFmpegError as error:
        raise MediaError("unreadable_media", "The video cannot be decoded.") from error
    if not number:
        raise MediaError("unreadable_media", "The video has no picture that can be decoded.")


def _upright(frame: VideoFrame) -> Picture:
    """Convert and turn as the file says; FFmpeg counts the angle against the clock."""
    picture = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture
