"""When the steps of one reply happened, and the figures made of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

from sessions.pipeline.waterfall import Waterfall

if TYPE_CHECKING:
    from sessions.pipeline.listen import UserTurn
    from workers.adapters.llm.base import Usage


@dataclass(slots=True)
class Measures:
    """Moments are loop times in seconds; None for what did not happen.

    `origin` is the turn's beginning: the end of the customer's voice, else when it was asked for.
    """

    asked: float
    origin: float
    first_token: float | None = None
    first_piece: float | None = None
    first_sound: float | None = None
    first_request: float | None = None
    first_fragment: float | None = None
    first_pushed: float | None = None
    audible: float | None = None
    spoken_until_ms: int | None = None
    response_ms: int | None = None
    recognition_ms: float | None = None
    partial_ms: float | None = None
    endpoint_ms: int | None = None
    interrupt_ms: int | None = None
    rendered_frames: int = 0
    render_ms: list[float] = field(default_factory=list)
    queue_ms: list[float] = field(default_factory=list)
    queue_depth: int = 0
    underruns: int = 0
    seams: int = 0
    stt_provider: str = ""
    tts_provider: str | None = None
    retrieval_ms: float | None = None
    llm_provider: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    tools: list[dict[str, Any]] = field(default_factory=list)
    topic: str = ""
    waterfall: Waterfall = field(default_factory=Waterfall)

    @classmethod
    def begin(cls) -> Measures:
        now = asyncio.get_running_loop().time()
        return cls(now, now)

    def mark(self, moment: str) -> None:
        """Note that a moment is now, the first time only."""
        if getattr(self, moment) is None:
            setattr(self, moment, asyncio.get_running_loop().time())

    def told(self, turn: UserTurn, now_ms: int) -> None:
        """Note how a spoken turn was understood; `now_ms` is the session's timeline at this moment."""
        self.spoken_until_ms, self.stt_provider = turn.end_ms, turn.provider
        self.recognition_ms, self.partial_ms = turn.recognition_ms, turn.partial_ms
        self.endpoint_ms = max(0, turn.decided_ms - turn.end_ms)
        self.origin = self.asked - max(0, now_ms - turn.end_ms) / 1000
        decided = min(self.asked, self.origin + self.endpoint_ms / 1000)
        self.waterfall.add("endpoint", self.origin, decided)
        # Most of it lies within the wait for the end: what was said so far is asked about at the first pause.
        heard = min(self.asked, self.origin + (turn.asked_ms - turn.end_ms + turn.recognition_ms) / 1000)
        begun = heard - turn.recognition_ms / 1000
        self.waterfall.add("asr", begun, heard, provider=turn.provider)

    def began(self, at_ms: int) -> None:
        """Note that the first sound is heard, `at_ms` on the session's timeline."""
        self.mark("audible")
        if self.spoken_until_ms is not None:
            self.response_ms = at_ms - self.spoken_until_ms

    def drawn(self, frames: int, render_ms: float, queue_ms: float, *, seam: bool = False) -> None:
        """Note what a worker did; `seam` says that the stream which drew what came before was lost."""
        self.seams += seam
        self.rendered_frames += frames
        self.render_ms.append(render_ms)
        self.queue_ms.append(queue_ms)

    def cost(self, usage: Usage) -> None:
        """Note who answered and what it cost; an answer with tools asks more than once."""
        self.llm_provider = usage.provider
        self.prompt_tokens += usage.prompt_tokens
        self.completion_tokens += usage.completion_tokens

    def did(self, name: str, outcome: str, took_ms: float) -> None:
        """Note that a tool was used."""
        self.tools.append({"name": name, "outcome": outcome, "ms": round(took_ms)})
        self.waterfall.used(name, asyncio.get_running_loop().time() - took_ms / 1000)

    def figures(self) -> dict[str, Any]:
        """The figures that are known, under the names of `metrics`."""
        drawing = sum(self.render_ms)
        made: dict[str, Any] = {
            "asr_partial_latency_ms": _rounded(self.partial_ms),
            "asr_final_ms": _rounded(self.recognition_ms),
            "endpoint_ms": self.endpoint_ms,
            "retrieval_ms": _rounded(self.retrieval_ms),
            "llm_first_token_ms": _between(self.asked, self.first_token),
            "first_piece_ms": _between(self.asked, self.first_piece),
            "tts_first_pcm_ms": _between(self.first_piece, self.first_sound),
            "avatar_first_frame_ms": _between(self.first_request, self.first_fragment),
            "first_segment_ms": _between(self.asked, self.first_pushed),
            "first_audible_ms": _between(self.asked, self.audible),
            "response_ms": self.response_ms,
            "interrupt_ms": self.interrupt_ms,
            "render_fps": round(self.rendered_frames * 1000 / drawing, 1) if drawing else None,
            "steady_chunk_ms": round(median(self.render_ms[1:]), 1) if self.render_ms[1:] else None,
            "render_queue_ms": round(median(self.queue_ms), 1) if self.queue_ms else None,
            "queue_depth": self.queue_depth if self.render_ms else None,
            "underruns": self.underruns if self.render_ms else None,
            "render_seams": self.seams or None,
            "llm_provider": self.llm_provider or None,
            "llm_prompt_tokens": self.prompt_tokens or None,
            "llm_completion_tokens": self.completion_tokens or None,
            "tools": self.tools or None,
            "topic": self.topic or None,
            "tts_provider": self.tts_provider,
            "stt_provider": self.stt_provider or None,
            "stages": self.waterfall.told(self.origin) or None,
        }
        return {name: value for name, value in made.items() if value is not None}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else round((end - start) * 1000, 1)
