"""Pictures and videos that become avatars, checked by decoding them.

What can be said at once is said here, as a 4xx with a code and a pointer; the preparation finds
the rest. Nothing is trusted: not the name, not the type the client sent, not the header's size.
"""

import io
from dataclasses import dataclass
from importlib.util import find_spec
from pkgutil import resolve_name
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from django.conf import settings
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from project.errors import InvalidInput

Picture = NDArray[np.uint8]
"""BGR (height, width, 3) or BGRA (height, width, 4)."""

IMAGE_TYPES = {"PNG": ("png", "image/png"), "JPEG": ("jpg", "image/jpeg"), "WEBP": ("webp", "image/webp")}
VIDEO_TYPES = {"mp4": ("mp4", "video/mp4"), "matroska": ("webm", "video/webm"), "mov": ("mp4", "video/mp4")}
SHORTEST_SIDE = 160
MOST_PIXELS = 40_000_000  # 160 MB decoded
LONGEST_SIDE = 12_000
LONGEST_VIDEO_SECONDS = 30
MOST_VIDEO_PIXELS = 3840 * 2160
FINDER = "workers.adapters.avatar.viseme.landmarks:find_faces"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A checked picture or video; `first` is its (first) picture."""

    kind: str  # "image" or "video"
    data: bytes
    extension: str
    content_type: str
    first: Picture


def image_source(data: bytes) -> SourceFile:
    """Check a portrait. Raises InvalidInput pointing to /image."""
    if len(data) > settings.MAX_IMAGE_BYTES:
        limit = settings.MAX_IMAGE_BYTES // 1024 // 1024
        raise _refuse("image", "image_too_large", f"The picture's file may have at most {limit} MB.", 413)
    try:
        with Image.open(io.BytesIO(data)) as image:
            _check_image_size(image)
            if image.format not in IMAGE_TYPES:
                raise _refuse("image", "unsupported_image", "Use a PNG, JPEG or WebP picture.", 415)
            first = _pixels(image)
            extension, content_type = IMAGE_TYPES[image.format]
    except UnidentifiedImageError as exc:
        raise _not_an_image(data) from exc
    except Image.DecompressionBombError as exc:
        raise _too_many_pixels("The picture") from exc
    except (OSError, ValueError, SyntaxError, EOFError) as exc:
        # Pillow's decoders raise all of these for damaged or cut-off files.
        raise _refuse("image", "unreadable_image", "The picture is damaged or incomplete.") from exc
    return SourceFile("image", data, extension, content_type, first)


def video_source(data: bytes) -> SourceFile:
    """Check a template video by its header and its first picture. Points to /video."""
    if len(data) > settings.MAX_VIDEO_BYTES:
        limit = settings.MAX_VIDEO_BYTES // 1024 // 1024
        raise _refuse("video", "video_too_large", f"The video's file may have at most {limit} MB.", 413)
    try:
        with av.open(io.BytesIO(data), "r") as container:
            extension, content_type = _video_type(container)
            if not container.streams.video:
                raise _refuse("video", "no_video_track", "The file has sound but no pictures.")
            _check_video(container)
            frame = next(container.decode(video=0), None)
            if frame is None:
                raise _refuse("video", "unreadable_video", "The video has no pictures.")
            first = np.asarray(frame.to_ndarray(format="bgr24"), dtype=np.uint8)
    except (FFmpegError, ValueError, EOFError) as exc:
        raise _refuse("video", "unreadable_video", "The video is damaged or not a video.") from exc
    return SourceFile("video", data, extension, content_type, first)


def check_face(source: SourceFile) -> None:
    """Refuse a picture with no face or with several, where this process has a face finder.

    A process without one (a web process needs no OpenCV) leaves it to the preparation.
    """
    if find_spec("ai_edge_litert") is None or find_spec("cv2") is None:
        return
    faces = resolve_name(FINDER)(source.first)
    if not faces:
        raise _refuse(
            source.kind,
            "no_face",
            "No face was found. Use a frontal portrait, or mark the mouth by hand (drawn characters).",
        )
    if len(_prominent(faces)) > 1:
        raise _refuse(
            source.kind, "several_faces", "There are several faces. Crop the picture to one person."
        )


def _prominent(faces: list[Any]) -> list[Any]:
    """Faces of a size that could be meant; small ones in the background are not."""
    largest = max(face.area for face in faces)
    return [face for face in faces if face.area >= largest * 0.2]


def _check_image_size(image: Image.Image) -> None:
    """Judge by the header, before a pixel is unpacked."""
    width, height = image.size
    if width * height > MOST_PIXELS or max(width, height) > LONGEST_SIDE:
        raise _too_many_pixels(f"{width}x{height}")
    if min(width, height) < SHORTEST_SIDE:
        raise _refuse(
            "image",
            "image_too_small",
            f"{width}x{height} is too small: each side needs {SHORTEST_SIDE} pixels.",
        )


def _too_many_pixels(what: str) -> InvalidInput:
    limit = f"{MOST_PIXELS // 1_000_000} megapixels or {LONGEST_SIDE} pixels on a side"
    return _refuse("image", "image_too_large", f"{what} has more than {limit}.")


def _pixels(image: Image.Image) -> Picture:
    upright = ImageOps.exif_transpose(image)
    transparent = upright.has_transparency_data
    pixels = np.asarray(upright.convert("RGBA" if transparent else "RGB"))
    order = [2, 1, 0, 3] if transparent else [2, 1, 0]
    return np.ascontiguousarray(pixels[:, :, order])


def _not_an_image(data: bytes) -> InvalidInput:
    try:
        with av.open(io.BytesIO(data)):
            return _refuse("image", "unsupported_image", "This is not a picture. Use PNG, JPEG or WebP.", 415)
    except (FFmpegError, ValueError):
        return _refuse("image", "unreadable_image", "This is not a picture that can be read.")


def _video_type(container: Any) -> tuple[str, str]:
    for name in container.format.name.split(","):
        if name in VIDEO_TYPES:
            return VIDEO_TYPES[name]
    raise _refuse("video", "unsupported_video", "Use an MP4, MOV or WebM video.", 415)


def _check_video(container: Any) -> None:
    stream = container.streams.video[0]
    if stream.codec_context is None:  # no decoder for what the header names
        raise _refuse("video", "unreadable_video", "The pictures of the video cannot be decoded.")
    seconds = _seconds(container, stream)
    if seconds is None:
        raise _refuse("video", "unreadable_video", "The video does not say how long it is.")
    if seconds > LONGEST_VIDEO_SECONDS:
        raise _refuse(
            "video", "video_too_long", f"The video may last at most {LONGEST_VIDEO_SECONDS} seconds."
        )
    if stream.width * stream.height > MOST_VIDEO_PIXELS:
        raise _refuse("video", "video_too_large", "The video may have at most 3840x2160 pixels.")
    if min(stream.width, stream.height) < SHORTEST_SIDE:
        raise _refuse("video", "video_too_small", f"Each side of the video needs {SHORTEST_SIDE} pixels.")


def _seconds(container: Any, stream: Any) -> float | None:
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    return None if container.duration is None else container.duration / av.time_base


def _refuse(field: str, code: str, message: str, status: int = 422) -> InvalidInput:
    return InvalidInput(message, code=code, pointer=f"/{field}", status=status)
