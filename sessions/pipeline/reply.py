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
from sessions.pipeline.account import Account
from sessions.pipeline.animate import Animator
from sessions.pipeline.faults import Fault
from sessions.pipeline.monitor import Monitor
from sessions.pipeline.pace import Pace
from sessions.pipeline.phases import Phases
from sessions.pipeline.ports import Setup, Stage
from sessions.pipeline.speak import AHEAD_FRAMES, Speaker
from sessions.pipeline.track import SAMPLES_PER_FRAME, Stretch, Track
from workers.adapters.avatar.base import Profile
from workers.speech.opening import AnswerScript, unpaused, verbatim
from workers.speech.script import Sentence, sentences

SLICE_BYTES = 25 * SAMPLES_PER_FRAME * 2
POLL_SECONDS = 0.04
Pieces = asyncio.Queue[Sentence | None]
_SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？")  # noqa: RUF001


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
    account: Account
    epoch: int
    finished: Callable[[Reply], None]
    again: bool = False
    task: asyncio.Task[None] | None = None
    track: Track = field(init=False)
    _may_begin: asyncio.Event = field(default_factory=asyncio.Event)
    _written: bool = False
    _produced: bool = False

    def __post_init__(self) -> None:
        self.track = Track(self.scene.profile)
        self._may_begin.set()

    def hold(self, *, on: bool) -> None:
        """Keep back what has not begun to be heard; it goes on being made."""
        if on and not self.account.playing:
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
        self.account.ends = before.account.ends
        await self._speak(partial(self._read_pieces, before.unheard()))

    def unheard(self) -> list[Sentence]:
        """The pieces that were not heard whole; of a text that was still being written, whole sentences."""
        text = self.account.text
        pieces = verbatim(text, self.scene.setup.voice.language)
        if not self._written and not text.rstrip().endswith(_SENTENCE_ENDS):
            pieces = pieces[:-1]
        return pieces[self.account.heard_whole :]

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
            measures=self.account.measures,
            timed=timed,
            may_push=self._may_begin,
            pushed=self._pushed,
        )

    async def _read(self, text: str, pieces: Pieces) -> None:
        found = verbatim(text, self.scene.setup.voice.language)
        if any(piece.planned or piece.lead_ms for piece in found):
            await self._read_pieces(found, pieces)
            return
        self.account.wrote(text)
        self._give(found, pieces)

    async def _read_pieces(self, found: list[Sentence], pieces: Pieces) -> None:
        self.account.wrote(self.account.space.join(piece.text for piece in found))
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
                    self.account.wrote(text)
                    for piece in script.feed(text):
                        self.account.measures.waterfall.wrote()
                        pieces.put_nowait(piece)
            rest = unpaused(script.flush())
            for _ in rest:
                self.account.measures.waterfall.wrote()
            self._give(rest, pieces)
        except Fault as fault:
            self.account.fail(fault)
            pieces.put_nowait(None)

    async def _say(self, pieces: Pieces, writing: asyncio.Task[None]) -> None:
        setup = self.scene.setup
        speaker = Speaker(setup.synthesizer, setup.voice, self.track, setup.limits, self.account.measures)
        try:
            while (piece := await pieces.get()) is not None:
                await speaker.say(piece)
        except Fault as fault:
            self.account.fail(fault)
            writing.cancel()
            self._apologise_prepared()
        else:
            if self.account.failed:
                await self._apologise(speaker)
        if not self.track.utterances and not self.account.failed:
            self.account.fail(
                Fault("language_model", "nothing_to_say", "There is nothing in the text that sounds.")
            )
        self.track.finish()

    async def _lay(self, pcm48k: bytes, text: str) -> None:
        self.account.measures.mark("first_sound")
        self.track.begin(text)
        for start in range(0, len(pcm48k), SLICE_BYTES):
            await self.track.room(AHEAD_FRAMES)
            self.track.add(pcm48k[start : start + SLICE_BYTES])
            await asyncio.sleep(0)
        self.track.close()
        self.track.finish()

    def _pushed(self, span: Stretch, pcm48k: bytes) -> None:
        frame = span.start - self.track.utterances[span.utterance].start
        begun = self.account.playing
        playing = begun[span.utterance] if span.utterance < len(begun) else None
        self.scene.monitor.pushed(span.utterance, frame, pcm48k, playing)

    # --- When something fails ------------------------------------------------------------------

    async def _apologise(self, speaker: Speaker) -> None:
        """Spoken or written, by setting; spoken from what was prepared, where it was."""
        if self._apologise_prepared():
            return
        setup = self.scene.setup
        try:
            for sentence in sentences(self._sorry_text(), setup.voice.language):
                await speaker.say(sentence)
        except Fault as fault:
            self.account.fail(fault)

    def _apologise_prepared(self) -> bool:
        """Write the apology, and say it if that needs nobody. False when it has yet to be said."""
        setup = self.scene.setup
        text = self._write_apology()
        if setup.failure == "written":
            return True
        spoken = apology.prepared(text, setup.voice)
        for utterance in spoken:
            laid = self.track.begin(utterance.text)
            laid.phones, laid.said = [*utterance.phones], [*utterance.words]
            self.track.add(utterance.pcm)
            self.track.close()
        return bool(spoken)

    def _write_apology(self) -> str:
        text = self._sorry_text()
        self.account.wrote(self.account.space + text if self.account.text else text)
        return text

    def _sorry_text(self) -> str:
        setup = self.scene.setup
        return apology.apology(setup.persona.apology, setup.voice.language)

    async def _not_shown(self, failed: BaseExceptionGroup[BaseException]) -> None:
        """Nothing can be drawn: what is drawn already is played to its end, the rest is written."""
        faults, rest = failed.split(Fault)
        if faults is None or rest is not None:
            raise failed
        self.account.fail(_first(faults))
        self._write_apology()
        playout = self.scene.stage.playout
        while playout.epoch == self.epoch and playout.queued_frames():  # noqa: ASYNC110 - playout tells nobody
            await asyncio.sleep(POLL_SECONDS)
        if playout.epoch == self.epoch:
            playout.interrupt()
        self._finish()

    # --- Hearing of it --------------------------------------------------------------------------

    def started(self, utterance: int, frame: int) -> None:
        """Playout presents an utterance's first picture."""
        self.scene.phases.avatar(speaks=True)
        playing = self.account.began(self.track.utterances[utterance], frame)
        self.scene.monitor.started(utterance, playing)

    def ended(self, frame: int, samples: int, *, interrupted: bool) -> None:
        """Playout presented the last of an utterance, or was cut in it."""
        self.account.ended(frame, samples)
        if not interrupted:
            self._settle()

    def cut(self) -> str:
        """Stop, after playout dropped it; returns what was heard."""
        if self.task is not None:
            self.task.cancel()
        self.account.interrupted = True
        self._finish()
        return self.account.heard_text

    def _done(self) -> None:
        self._produced = True
        self._settle()

    def _settle(self) -> None:
        """Finish when all that was made was heard."""
        if self._produced and self.account.ended_utterances == len(self.track.utterances):
            self._finish()
        elif not self.account.over:
            self.account.save()

    def _finish(self) -> None:
        account = self.account
        if account.over:
            return
        if account.playing:
            self.scene.monitor.stopped(account.end_ms, cut=account.interrupted)
        account.close()
        self.finished(self)


def _first(group: BaseExceptionGroup[Fault]) -> Fault:
    found = group.exceptions[0]
    return found if isinstance(found, Fault) else _first(found)
