"""One turn of the avatar, from the first word of its text to the last sound that was played.

Its stages run at the same time: text is written, pieces of it are spoken onto the track, the track is
animated into playout. What was heard of it is told by playout alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sessions.pipeline import apology
from sessions.pipeline.animate import Animator
from sessions.pipeline.faults import Fault
from sessions.pipeline.heard import Playing
from sessions.pipeline.measures import Measures
from sessions.pipeline.monitor import Monitor
from sessions.pipeline.pace import Pace
from sessions.pipeline.phases import Phases
from sessions.pipeline.ports import Setup, Source, Stage, TurnRecord, TurnStatus
from sessions.pipeline.speak import AHEAD_FRAMES, Speaker
from sessions.pipeline.track import FRAME_MS, SAMPLES_PER_FRAME, Stretch, Track
from workers.adapters.avatar.base import Profile
from workers.speech.opening import AnswerScript, unpaused, verbatim
from workers.speech.script import Sentence, sentences

SLICE_BYTES = 25 * SAMPLES_PER_FRAME * 2
POLL_SECONDS = 0.04
Pieces = asyncio.Queue[Sentence | None]
_SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？")  # noqa: RUF001
_UNSPACED = ("ja", "zh", "th")


@dataclass(frozen=True, slots=True)
class Scene:
    """What the replies of a session share."""

    setup: Setup
    stage: Stage
    profile: Profile
    phases: Phases
    pace: Pace
    monitor: Monitor


@dataclass(slots=True, eq=False)
class Reply:
    """`finished` is called once, when nothing of it will be heard any more.

    `again` says that it repeats what another one was cut in.
    """

    scene: Scene
    turn: int
    source: Source
    epoch: int
    finished: Callable[[Reply], None]
    text: str = ""
    over: bool = False
    interrupted: bool = False
    failed: bool = False
    again: bool = False
    task: asyncio.Task[None] | None = None
    measures: Measures = field(default_factory=Measures.begin)
    track: Track = field(init=False)
    playing: list[Playing] = field(default_factory=list)
    _may_begin: asyncio.Event = field(default_factory=asyncio.Event)
    _written: bool = False
    _produced: bool = False
    _sorry: bool = False
    _rows: list[dict[str, Any]] = field(default_factory=list)
    _end_ms: int | None = None

    def __post_init__(self) -> None:
        self.track = Track(self.scene.profile)
        self._may_begin.set()

    def hold(self, *, on: bool) -> None:
        """Keep back what has not begun to be heard; it goes on being made."""
        if on and not self.playing:
            self._may_begin.clear()
        elif not on:
            self._may_begin.set()

    # --- Making it ---------------------------------------------------------------------------

    async def tell(self, texts: AsyncGenerator[str, None]) -> None:
        """Speak a text as it arrives."""
        await self._speak(partial(self._write, texts))

    async def recite(self, text: str) -> None:
        """Speak a text word for word, with the pauses that are written in it."""
        await self._speak(partial(self._read, text))

    async def go_on(self, before: Reply) -> None:
        """Speak what was not heard of a reply that was cut for nothing, from the piece it was cut in."""
        self.again = True
        await self._speak(partial(self._read_pieces, before.unheard()))

    def unheard(self) -> list[Sentence]:
        """The pieces that were not heard whole; of a text that was still being written, whole sentences."""
        pieces = verbatim(self.text, self.scene.setup.voice.language)
        if not self._written and pieces and not self.text.rstrip().endswith(_SENTENCE_ENDS):
            pieces = pieces[:-1]
        heard = sum(p.samples is not None and p.heard_whole(p.samples) for p in self.playing)
        return pieces[heard:]

    async def _speak(self, write: Callable[[Pieces], Coroutine[Any, Any, None]]) -> None:
        pieces: Pieces = asyncio.Queue()
        try:
            async with asyncio.TaskGroup() as stages:
                writing = stages.create_task(write(pieces))
                stages.create_task(self._say(pieces, writing))
                stages.create_task(self._animator(timed=self.scene.setup.voice.understands_ipa).run())
        except BaseExceptionGroup as failed:
            await self._not_shown(failed)
        self._done()

    async def play(self, pcm48k: bytes, text: str = "") -> None:
        """Let given sound drive the avatar; 48 kHz mono s16le."""
        try:
            async with asyncio.TaskGroup() as stages:
                stages.create_task(self._lay(pcm48k, text))
                stages.create_task(self._animator(timed=False).run())
        except BaseExceptionGroup as failed:
            await self._not_shown(failed)
        self._done()

    def _animator(self, *, timed: bool) -> Animator:
        scene = self.scene
        return Animator(
            scene.stage,
            self.track,
            epoch=self.epoch,
            pace=scene.pace,
            limits=scene.setup.limits,
            measures=self.measures,
            timed=timed,
            may_push=self._may_begin,
            pushed=self._pushed,
        )

    async def _read(self, text: str, pieces: Pieces) -> None:
        found = verbatim(text, self.scene.setup.voice.language)
        if any(piece.planned or piece.lead_ms for piece in found):
            await self._read_pieces(found, pieces)
            return
        self._delta(text)
        self._give(found, pieces)

    async def _read_pieces(self, found: list[Sentence], pieces: Pieces) -> None:
        self._delta(self._space.join(piece.text for piece in found))
        self._give(found, pieces)

    def _give(self, found: list[Sentence], pieces: Pieces) -> None:
        self._written = True
        for piece in (*found, None):
            pieces.put_nowait(piece)

    async def _write(self, texts: AsyncGenerator[str, None], pieces: Pieces) -> None:
        script = AnswerScript(self.scene.setup.voice.language)
        try:
            async with aclosing(texts):
                async for text in texts:
                    self._delta(text)
                    for piece in script.feed(text):
                        pieces.put_nowait(piece)
            self._give(unpaused(script.flush()), pieces)
        except Fault as fault:
            self.fail(fault)
            pieces.put_nowait(None)

    async def _say(self, pieces: Pieces, writing: asyncio.Task[None]) -> None:
        setup = self.scene.setup
        speaker = Speaker(setup.synthesizer, setup.voice, self.track, setup.limits, self.measures)
        try:
            while (piece := await pieces.get()) is not None:
                await speaker.say(piece)
        except Fault as fault:
            self.fail(fault)
            writing.cancel()
            self._apologise_prepared()
        else:
            if self.failed:
                await self._apologise(speaker)
        if not self.track.utterances and not self.failed:
            self.fail(Fault("language_model", "nothing_to_say", "There is nothing in the text that sounds."))
        self.track.finish()

    async def _lay(self, pcm48k: bytes, text: str) -> None:
        self.measures.mark("first_sound")
        self.track.begin(text)
        for start in range(0, len(pcm48k), SLICE_BYTES):
            await self.track.room(AHEAD_FRAMES)
            self.track.add(pcm48k[start : start + SLICE_BYTES])
            await asyncio.sleep(0)
        self.track.close()
        self.track.finish()

    def _pushed(self, span: Stretch, pcm48k: bytes) -> None:
        frame = span.start - self.track.utterances[span.utterance].start
        playing = self.playing[span.utterance] if span.utterance < len(self.playing) else None
        self.scene.monitor.pushed(span.utterance, frame, pcm48k, playing)

    def _delta(self, text: str) -> None:
        if self.over:  # cancelled, and not yet aware of it
            return
        self.text += text
        self._emit("reply.delta", text=text)

    # --- When something fails ------------------------------------------------------------------

    def fail(self, fault: Fault) -> None:
        """Tell what went wrong; the session goes on."""
        if self.over:
            return
        self.failed = True
        self._emit("error", code=fault.code, detail=fault.detail)

    async def _apologise(self, speaker: Speaker) -> None:
        """Spoken or written, by setting; spoken from what was prepared, where it was."""
        if self._apologise_prepared():
            return
        setup = self.scene.setup
        try:
            for sentence in sentences(self._sorry_text(), setup.voice.language):
                await speaker.say(sentence)
        except Fault as fault:
            self.fail(fault)

    def _apologise_prepared(self) -> bool:
        """Write the apology, and say it if that needs nobody. False when it has yet to be said."""
        setup = self.scene.setup
        text = self._sorry_text()
        self._delta(f" {text}" if self.text else text)
        if setup.failure == "written":
            return True
        spoken = apology.prepared(text, setup.voice)
        for utterance in spoken:
            laid = self.track.begin(utterance.text)
            laid.phones, laid.said = [*utterance.phones], [*utterance.words]
            self.track.add(utterance.pcm)
            self.track.close()
        return bool(spoken)

    def _sorry_text(self) -> str:
        setup = self.scene.setup
        return apology.apology(setup.persona.apology, setup.voice.language)

    async def _not_shown(self, failed: BaseExceptionGroup[BaseException]) -> None:
        """Nothing can be drawn: what is drawn already is played to its end, the rest is written."""
        faults, rest = failed.split(Fault)
        if faults is None or rest is not None:
            raise failed
        self.fail(_first(faults))
        self._delta(f" {self._sorry_text()}" if self.text else self._sorry_text())
        playout = self.scene.stage.playout
        while playout.epoch == self.epoch and playout.queued_frames():  # noqa: ASYNC110 - playout tells nobody
            await asyncio.sleep(POLL_SECONDS)
        if playout.epoch == self.epoch:
            playout.interrupt()
        self._finish()

    # --- Hearing of it --------------------------------------------------------------------------

    def started(self, utterance: int, frame: int) -> None:
        """Playout presents an utterance's first picture."""
        setup = self.scene.setup
        playing = Playing(self.track.utterances[utterance], frame, setup.voice.characters_per_second)
        if not self.playing:
            self.measures.began(playing.at_ms(0))
            self.scene.phases.avatar(speaks=True)
            self._emit("speech.started")
        self.playing.append(playing)
        self.scene.monitor.started(utterance, playing)
        self._emit(
            "reply.utterance",
            text=playing.spoken.text,
            start_ms=playing.at_ms(0),
            end_ms=playing.at_ms(playing.length_ms),
        )
        self._save()

    def ended(self, frame: int, samples: int, *, interrupted: bool) -> None:
        """Playout presented the last of an utterance, or was cut in it."""
        playing = self.playing[-1]
        playing.samples = samples
        self._end_ms = frame * FRAME_MS
        self._rows.append(playing.row(samples))
        if not interrupted:
            self._settle()

    def underrun(self, frame: int) -> None:
        self.measures.underruns += 1
        self.playing[-1].waiting_since = frame

    def resumed(self, frame: int, samples: int) -> None:
        playing = self.playing[-1]
        if playing.waiting_since is not None:
            playing.gaps.append((samples // 48, frame - playing.waiting_since))
            playing.waiting_since = None

    def cut(self) -> str:
        """Stop, after playout dropped it; returns what was heard."""
        if self.task is not None:
            self.task.cancel()
        self.interrupted = True
        self._finish()
        return self.heard_text

    @property
    def heard_text(self) -> str:
        """What was heard by now."""
        return self._space.join(row["text"] for row in self._rows if row["text"])

    @property
    def _space(self) -> str:
        return "" if self.scene.setup.voice.language.startswith(_UNSPACED) else " "

    def _done(self) -> None:
        self._produced = True
        self._settle()

    def _settle(self) -> None:
        ended = sum(playing.samples is not None for playing in self.playing)
        if self._produced and ended == len(self.track.utterances):
            self._finish()
        elif not self.over:
            self._save()

    def _finish(self) -> None:
        if self.over:
            return
        self.over = True
        if self.playing:
            self.scene.monitor.stopped(self._end_ms or 0, cut=self.interrupted)
        if self.playing:
            self._emit("speech.ended", interrupted=self.interrupted, heard_text=self.heard_text)
        figures = {**self.measures.figures(), **self.scene.stage.measures()}
        self._emit("metrics", **figures)
        self._save(figures)
        self.finished(self)

    def _emit(self, kind: str, **fields: Any) -> None:
        self.scene.stage.emit({"type": kind, "turn": self.turn, **fields})

    def _save(self, figures: dict[str, Any] | None = None) -> None:
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
            end_ms=self._end_ms,
            interrupted=self.interrupted,
            utterances=list(self._rows),
            metrics=figures or {},
        )
        self.scene.stage.journal.save(record)


def _first(group: BaseExceptionGroup[Fault]) -> Fault:
    found = group.exceptions[0]
    return found if isinstance(found, Fault) else _first(found)
