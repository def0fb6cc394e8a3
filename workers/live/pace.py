"""How long a request may take before it is sent again.

Broken workers are found by this alone (the broker delivers again only after minutes), so deadlines
follow what requests take at the moment: a few times that, but never so short that a hiccup of the
machine doubles its work.
"""

from __future__ import annotations

from workers.live.wire import RenderRequest

TIMES_EXPECTED = 4.0
SHORTEST_SECONDS = 0.7
LONGEST_SECONDS = 2.0
LONGEST_AGAIN_SECONDS = 4.0
BASE_SECONDS = 0.020
FIRST_GUESS_SECONDS = 8e-9  # for each pixel: 2.6 ms for a picture of 512x640
NEWEST_SHARE = 0.2


class Pace:
    """A running mean of seconds for each pixel, for each model."""

    def __init__(self) -> None:
        self._pixel_seconds: dict[str, float] = {}

    def deadline_seconds(self, request: RenderRequest, attempt: int) -> float:
        """Return the time for one attempt; further ones get longer."""
        pixel = self._pixel_seconds.get(request.model, FIRST_GUESS_SECONDS)
        expected = BASE_SECONDS + pixel * _pixels(request)
        first = min(max(TIMES_EXPECTED * expected, SHORTEST_SECONDS), LONGEST_SECONDS)
        return float(min(first * 2 ** (attempt - 1), LONGEST_AGAIN_SECONDS))

    def took(self, request: RenderRequest, seconds: float) -> None:
        """Learn from a request that was answered."""
        pixel = max(0.0, seconds - BASE_SECONDS) / _pixels(request)
        kept = self._pixel_seconds.get(request.model, FIRST_GUESS_SECONDS)
        self._pixel_seconds[request.model] = kept + NEWEST_SHARE * (pixel - kept)


def _pixels(request: RenderRequest) -> int:
    return request.frames * request.width * request.height
