"""Still pictures from encoded video: the poster of a clip, thumbnails for lists."""

from __future__ import annotations

import io
from collections import deque
from itertools import islice

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from PIL import Image

from workers.rendering.boxes import MalformedMedia

QUALITY = 85


def poster(data: bytes, *, frame: int = 0, max_side: int | None = None, quality: int = QUALITY) -> bytes:
    """Return frame `frame` of a fragment (the last where it has fewer) as JPEG.

    `max_side` shrinks it, never enlarges. Raises `MalformedMedia` for bytes that do not decode.
    """
    try:
        with av.open(io.BytesIO(data), "r") as container:
            pixels = _picture(container, frame).to_ndarray(format="rgb24")
    except FFmpegError as error:
        raise MalformedMedia("the fragment has no picture to show") from error
    return jpeg(Image.fromarray(pixels), max_side=max_side, quality=quality)


def thumbnail(data: bytes, *, max_side: int = 320, frame: int = 0) -> bytes:
    """Return a small JPEG for a list of clips."""
    return poster(data, frame=frame, max_side=max_side, quality=80)


def jpeg(image: Image.Image, *, max_side: int | None = None, quality: int = QUALITY) -> bytes:
    """Encode a picture for the web: progressive, within `max_side`."""
    if max_side:
        image.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.convert("RGB").save(out, "JPEG", quality=quality, optimize=True, progressive=True)
    return out.getvalue()


def _picture(container: InputContainer, number: int) -> VideoFrame:
    pictures = deque(islice(container.decode(video=0), number + 1), maxlen=1)
    if not pictures:
        raise MalformedMedia("the fragment has no picture to show")
    return pictures[0]
