"""What happened when in one turn of the avatar: its stages on one clock, overlapping as they did.

A sentence is spoken while the next one is written, and drawn while it is spoken. So most stages are kept
for each piece of the answer; those of a long answer's end are joined, so that what is kept stays small.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any

MOST_PIECES = 12
"""Pieces that are told apart; what follows them is told as one."""
MOST_TOOLS = 12


@dataclass(slots=True)
class Step:
    """One stage; moments are loop times in seconds. `first` is when its first result came."""

    name: str
    begun: float
    ended: float | None = None
    first: float | None = None
    piece: int | None = None
    last_piece: int | None = None
    provider: str = ""
    label: str = ""

    def told(self, origin: float, now: float) -> dict[str, Any]:
        ended = now if self.ended is None else self.ended
        made: dict[str, Any] = {"name": self.name, "from_ms": _ms(self.begun - origin)}
        made["to_ms"] = max(made["from_ms"], _ms(ended - origin))
        if self.first is not None:
            made["first_ms"] = _ms(self.first - origin)
        if self.piece is not None:
            made["piece"] = self.piece + 1
        if self.piece is not None and self.last_piece is not None and self.last_piece > self.piece:
            made["pieces"] = self.last_piece - self.piece + 1
        return made | {name: said for name, said in self._words() if said}

    def _words(self) -> tuple[tuple[str, str], ...]:
        return ("provider", self.provider), ("label", self.label)


@dataclass(slots=True)
class Waterfall:
    """The stages of one turn. Pieces count from 0."""

    _steps: dict[tuple[str, int | None], Step] = field(default_factory=dict)
    _tools: list[Step] = field(default_factory=list)
    _written: deque[tuple[float, float]] = field(default_factory=deque)
    _wrote_at: float | None = None

    def begin(self, name: str, piece: int | None = None, *, provider: str = "") -> None:
        """Note that a stage begins now; one that began before goes on."""
        self._step(name, piece, _now(), provider).ended = None

    def first(self, name: str, piece: int | None = None) -> None:
        """Note that the first result of a stage is there, the first time only."""
        step = self._known(name, piece)
        if step is not None and step.first is None:
            step.first = _now()

    def end(self, name: str, piece: int | None = None, *, provider: str = "") -> None:
        """Note that a stage is over, or over again; one that never began is none."""
        step = self._known(name, piece)
        if step is not None:
            step.ended, step.provider = _now(), provider or step.provider

    def add(self, name: str, begun: float, ended: float, *, provider: str = "") -> None:
        """Note a stage that is over, by its moments."""
        self._steps[name, None] = Step(name, begun, ended, provider=provider)

    def used(self, tool: str, begun: float) -> None:
        """Note that a tool was used until now."""
        if len(self._tools) < MOST_TOOLS:
            self._tools.append(Step("tool", begun, _now(), label=tool))

    def wrote(self) -> None:
        """Note that a piece is written; its time began with the end of the one before, or the question."""
        asked = self._steps.get(("llm", None))
        begun = self._wrote_at if self._wrote_at is not None else asked.begun if asked else _now()
        self._wrote_at = _now()
        self._written.append((begun, self._wrote_at))

    def speaks(self, piece: int) -> None:
        """Note that a piece is about to be spoken, the oldest of those that were written."""
        if self._written:
            begun, ended = self._written.popleft()
            self._step("llm", piece, begun).ended = ended
        self.begin("tts", piece)

    def told(self, origin: float) -> list[dict[str, Any]]:
        """The stages in the order in which they began, in ms from `origin`; what goes on ends now."""
        now = _now()
        steps = sorted((*self._steps.values(), *self._tools), key=lambda step: (step.begun, step.piece or 0))
        return [step.told(origin, now) for step in steps]

    def _step(self, name: str, piece: int | None, begun: float, provider: str = "") -> Step:
        at = _place(name, piece)
        step = self._steps.setdefault(at, Step(name, begun, piece=at[1], provider=provider))
        if piece is not None:
            step.last_piece = max(piece, step.last_piece or 0)
        return step

    def _known(self, name: str, piece: int | None) -> Step | None:
        return self._steps.get(_place(name, piece))


def _place(name: str, piece: int | None) -> tuple[str, int | None]:
    return name, None if piece is None else min(piece, MOST_PIECES)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
