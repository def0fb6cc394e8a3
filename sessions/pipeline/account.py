"""What is told and written down of one reply: its events, its row, and what was heard of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sessions.pipeline.faults import Fault
from sessions.pipeline.heard import Playing
from sessions.pipeline.measures import Measures
from sessions.pipeline.ports import Source, Stage, TurnRecord, TurnStatus
from sessions.pipeline.track import FRAME_MS, Spoken

if TYPE_CHECKING:
    from workers.speech.voices import Voice

DELTA_SECONDS = 0.08
"""Text is told no more often than this: a model writes a hundred pieces a second."""
_UNSPACED = ("ja", "zh", "th")


@dataclass(slots=True, eq=False)
class Account:
    """Kept by the reply; once it is over, nothing more is told. `text` is what was written of it.

    `sources` is what the answer was given to draw on; `ends` says that the session ends when it was heard.
    """

    stage: Stage
    turn: int
    source: Source
    voice: Voice
    text: str = ""
    over: bool = False
    failed: bool = False
    fault: str = ""
    interrupted: bool = False
    measures: Measures = field(default_factory=Measures.begin)
    playing: list[Playing] = field(default_factory=list)
    sources: list[dict[str, Any]] = field(default_factory=list)
    ends: bool = False
    end_ms: int = 0
    _rows: list[dict[str, Any]] = field(default_factory=list)
    _untold: str = ""
    _timer: asyncio.TimerHandle | None = None

    @property
    def space(self) -> str:
        """What stands between two sentences of this language."""
        return "" if self.voice.language.startswith(_UNSPACED) else " "

    @property
    def heard_text(self) -> str:
        """What was heard by now."""
        return self.space.join(row["text"] for row in self._rows if row["text"])

    @property
    def ended_utterances(self) -> int:
        return sum(playing.samples is not None for playing in self.playing)

    @property
    def heard_whole(self) -> int:
        """Count the utterances of which nothing was missed."""
        return sum(p.samples is not None and p.heard_whole(p.samples) for p in self.playing)

    def wrote(self, text: str) -> None:
        """More of the text is known."""
        if self.over:  # the stage that wrote it is cancelled, and not yet aware of it
            return
        if not self.text and self.sources:
            self._emit("reply.sources", sources=self.sources)
        self.text += text
        self._untold += text
        if self._timer is None:
            self.tell_text()

    def tell_text(self) -> None:
        """Tell what was written and not told yet; more of it is told a little later."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._untold:
            text, self._untold = self._untold, ""
            self._emit("reply.delta", text=text)
            self._timer = asyncio.get_running_loop().call_later(DELTA_SECONDS, self.tell_text)

    def handed_over(self, reason: str) -> None:
        """Tell the page that a human was asked for."""
        if not self.over:
            self._emit("session.handover", reason=reason)

    def fail(self, fault: Fault) -> None:
        """Tell what went wrong; the session goes on."""
        if self.over:
            return
        self.failed, self.fault = True, fault.code
        self.tell_text()
        self._emit("error", code=fault.code, detail=fault.detail)

    def began(self, spoken: Spoken, frame: int) -> Playing:
        """Playout presents an utterance's first picture."""
        playing = Playing(spoken, frame, self.voice.characters_per_second)
        self.measures.waterfall.begin("playout", spoken.number)
        if not self.playing:
            self.measures.began(playing.at_ms(0))
            self._emit("speech.started")
        self.playing.append(playing)
        self._emit(
            "reply.utterance",
            text=spoken.text,
            start_ms=playing.at_ms(0),
            end_ms=playing.at_ms(playing.length_ms),
        )
        self.save()
        return playing

    def ended(self, frame: int, samples: int) -> None:
        """Playout presented the last of an utterance, or was cut in it."""
        playing = self.playing[-1]
        playing.samples, self.end_ms = samples, frame * FRAME_MS
        self.measures.waterfall.end("playout", playing.spoken.number)
        self._rows.append(playing.row(samples))

    def stood_still(self, frame: int) -> None:
        """Playout has nothing to present in the middle of an utterance."""
        self.measures.underruns += 1
        self.playing[-1].waiting_since = frame

    def moved_on(self, frame: int, samples: int) -> None:
        """What was waited for came."""
        playing = self.playing[-1]
        if playing.waiting_since is not None:
            playing.gaps.append((samples // 48, frame - playing.waiting_since))
            playing.waiting_since = None

    def close(self) -> None:
        """Tell that nothing more is heard, and what it took."""
        self.tell_text()
        if self._timer is not None:
            self._timer.cancel()
        self.over = True
        if self.playing:
            self._emit("speech.ended", interrupted=self.interrupted, heard_text=self.heard_text)
        figures = {**self.measures.figures(), **self.stage.measures()}
        self._emit("metrics", **figures)
        self.save(figures)

    def save(self, figures: dict[str, Any] | None = None) -> None:
        """Write the turn down as far as it is known."""
        status: TurnStatus = "open"
        if self.over:
            status = "failed" if self.failed else "done"
        record = TurnRecord(
            number=self.turn,
            who="avatar",
            source=self.source,
            status=status,
            text=self.text.strip(),
            heard_text=self.heard_text,
            start_ms=self.playing[0].at_ms(0) if self.playing else None,
            end_ms=self.end_ms if self._rows else None,
            interrupted=self.interrupted,
            utterances=list(self._rows),
            metrics=figures or {},
            sources=list(self.sources),
        )
        self.stage.journal.save(record)

    def _emit(self, kind: str, **fields: Any) -> None:
        self.stage.emit({"type": kind, "turn": self.turn, **fields})
