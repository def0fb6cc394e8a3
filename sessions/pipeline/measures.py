"""When the steps of one reply happened, and the figures made of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass(slots=True)
class Measures:
    """Moments are loop times in seconds; None for what did not happen."""

    asked: float
    first_token: float | None = None
    first_piece: float | None = None
    first_sound: float | None = None
    first_request: float | None = None
    first_fragment: float | None = None
    first_pushed: float | None = None
    audible: float | None = None
    heard: dict[str, float] = field(default_factory=dict)
    rendered_frames: int = 0
    render_ms: list[float] = field(default_factory=list)
    queue_ms: list[float] = field(default_factory=list)
    queue_depth: int = 0
    underruns: int = 0

    @classmethod
    def begin(cls) -> Measures:
        return cls(asyncio.get_running_loop().time())

    def mark(self, moment: str) -> None:
        """Note that a moment is now, the first time only."""
        if getattr(self, moment) is None:
            setattr(self, moment, asyncio.get_running_loop().time())

    def drawn(self, frames: int, render_ms: float, queue_ms: float) -> None:
        """Note what a worker did."""
        self.rendered_frames += frames
        self.render_ms.append(render_ms)
        self.queue_ms.append(queue_ms)

    def figures(self) -> dict[str, Any]:
        """The figures that are known, under the names of `metrics`."""
        drawing = sum(self.render_ms)
        made: dict[str, float | None] = {
            **self.heard,
            "llm_first_token_ms": _between(self.asked, self.first_token),
            "first_piece_ms": _between(self.asked, self.first_piece),
            "tts_first_pcm_ms": _between(self.first_piece, self.first_sound),
            "avatar_first_frame_ms": _between(self.first_request, self.first_fragment),
            "first_segment_ms": _between(self.asked, self.first_pushed),
            "first_audible_ms": _between(self.asked, self.audible),
            "render_fps": round(self.rendered_frames * 1000 / drawing, 1) if drawing else None,
            "steady_chunk_ms": round(median(self.render_ms[1:]), 1) if self.render_ms[1:] else None,
            "render_queue_ms": round(median(self.queue_ms), 1) if self.queue_ms else None,
            "queue_depth": self.queue_depth if self.render_ms else None,
            "underruns": self.underruns if self.render_ms else None,
        }
        return {name: value for name, value in made.items() if value is not None}


def _between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else round((end - start) * 1000, 1)
