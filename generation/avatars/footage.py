"""Template videos as frames at 25 a second, of a size that preparation can hold in memory."""

import io
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from project.errors import InvalidInput

FPS = 25
MOST_FRAMES = 250  # ten seconds, the period of the idle loop: at most 0.9 GB decoded
LONGEST_SIDE = 1080

T = TypeVar("T")


def footage_frames(data: bytes) -> list[NDArray[np.uint8]]:
    """Decode a video to at most 250 BGR frames, 40 ms apart. Raises InvalidInput."""
    try:
        with av.open(io.BytesIO(data)) as container:
            frames = [frame for _, frame in zip(range(MOST_FRAMES), _scaled(container), strict=False)]
    except (FFmpegError, ValueError, EOFError) as exc:
        raise InvalidInput(
            "The video is damaged or not a video.", code="unreadable_video", pointer="/video", status=422
        ) from exc
    if not frames:
        raise InvalidInput(
            "The video has no pictures.", code="unreadable_video", pointer="/video", status=422
        )
    return frames


def resampled(timed: Iterable[tuple[float, T]], fps: int = FPS) -> Iterator[T]:
    """Pick what is shown at 0, 1/fps, 2/fps ... seconds from items with their start times.

    A source with more pictures a second loses some, one with fewer repeats some; none is shown
    before its time, whatever the source's own rate. The last one lasts as long as the one before.

    >>> list(resampled([(0.0, "a"), (1 / 30, "b"), (2 / 30, "c"), (3 / 30, "d")], 25))
    ['a', 'b', 'c', 'd']
    >>> list(resampled([(0.0, "a"), (0.1, "b")], 25))
    ['a', 'a', 'a', 'b', 'b']
    """
    step, due, first, at, lasted = 1 / fps, 0, 0.0, 0.0, 1 / fps
    shown: T | None = None
    for seconds, item in timed:
        if shown is None:
            first = seconds
        else:
            lasted = seconds - first - at
            at = seconds - first
            # Half a millisecond of grace: time stamps are rounded to their time base.
            while due * step < at - 0.0005:
                yield shown
                due += 1
        shown = item
    while shown is not None and due * step < at + lasted - 0.0005:
        yield shown
        due += 1


def _scaled(container: Any) -> Iterator[NDArray[np.uint8]]:
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    scale = min(1.0, LONGEST_SIDE / max(stream.width, stream.height))
    width, height = (max(2, round(side * scale) & ~1) for side in (stream.width, stream.height))
    timed = ((frame.time or 0.0, frame) for frame in container.decode(stream))
    for frame in resampled(timed):
        yield frame.to_ndarray(format="bgr24", width=width, height=height)
