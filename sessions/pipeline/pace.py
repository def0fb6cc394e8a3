"""How long a chunk takes from sound to picture, learnt as the session goes on."""

from __future__ import annotations

FIRST_GUESS_SECONDS = 0.03
FRAME_GUESS_SECONDS = 0.006
NEWEST_SHARE = 0.3


class Pace:
    """A part that every chunk takes, and one for each of its frames."""

    def __init__(self) -> None:
        self._base = FIRST_GUESS_SECONDS
        self._frame = FRAME_GUESS_SECONDS

    def seconds(self, frames: int) -> float:
        """What a chunk of so many frames will probably take."""
        return self._base + frames * self._frame

    def took(self, frames: int, seconds: float, render_seconds: float) -> None:
        """Learn from a chunk: `render_seconds` of the `seconds` were the worker's."""
        self._base += NEWEST_SHARE * (max(seconds - render_seconds, 0.0) - self._base)
        self._frame += NEWEST_SHARE * (render_seconds / frames - self._frame)
