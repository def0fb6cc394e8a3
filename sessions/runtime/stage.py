"""What a conversation is given by its host: the `Stage` of `sessions.pipeline.ports`."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Protocol

from project.metrics import instruments
from rtc.frames import PlayedRun
from rtc.playout import PlayoutListener
from sessions import services
from sessions.pipeline.ports import (
    AvatarSetup,
    Chunk,
    Journal,
    Phase,
    PlayoutPort,
    Rendered,
    Stage,
    TurnRecord,
)
from sessions.runtime.events import Event
from sessions.runtime.media import Media
from sessions.runtime.scribe import Scribe
from workers.live.client import RenderClient
from workers.rendering.encode import LIVE_CRF, LOW_CRF


class Recorder(Protocol):
    """Keeps what was played and said (`sessions.recording.recorder.Recorder`). No call waits."""

    def fragment(self, fragment: bytes, pcm48k: bytes, utterance: int) -> object: ...

    def played(self, run: PlayedRun) -> None: ...

    def microphone(self, pcm16k: bytes, at_ms: int) -> None: ...

    async def close(self) -> None: ...


class Talker(PlayoutListener, Protocol):
    """The part of `Conversation` that hears of playout."""


class RowJournal(Journal):
    """Turns become rows, written by the process's scribe."""

    def __init__(self, session_id: str, fence: int, scribe: Scribe) -> None:
        self._session_id, self._fence, self._scribe = session_id, fence, scribe

    def save(self, turn: TurnRecord) -> None:
        fields = cleaned(asdict(turn))
        number = fields.pop("number")
        session_id, fence = self._session_id, self._fence
        self._scribe.write(
            (session_id, "turn", number),
            lambda: services.turn_save(session_id, number, fence=fence, **fields),
        )


def cleaned(value: Any) -> Any:
    """Return a fact without what no database takes: NUL, and halves of characters."""
    if isinstance(value, str):
        return value.replace("\0", "").encode(errors="replace").decode()
    if isinstance(value, dict):
        return {name: cleaned(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [cleaned(part) for part in value]
    return value


class LiveStage(Stage):
    """Joins a conversation to this process's playout, workers, database and recorder."""

    def __init__(
        self,
        session_id: str,
        avatar: AvatarSetup,
        *,
        media: Media,
        journal: Journal,
        client: RenderClient,
        recorder: Recorder | None,
        emit: Callable[[Event], None],
        phase_changed: Callable[[Phase], None],
        render_moved: Callable[[], None] = lambda: None,
        account: str = "",
    ) -> None:
        self._session_id, self._avatar = session_id, avatar
        self._media, self._journal, self._client = media, journal, client
        self._recorder = recorder
        self._emit, self._phase_changed, self._render_moved = emit, phase_changed, render_moved
        self._account = account
        self.low = False  # the receiver's line is narrow: fragments are made smaller

    @property
    def playout(self) -> PlayoutPort:
        return self._media.playout

    @property
    def journal(self) -> Journal:
        return self._journal

    def frame(self) -> int:
        return self._media.frame()

    def emit(self, event: Event) -> None:
        self._emit(event)

    def phase_changed(self, phase: Phase) -> None:
        self._phase_changed(phase)

    def prepare(self) -> None:
        """Have what a stateful model needs ready before the first words. Returns at once."""
        avatar = self._avatar
        self._client.hold(
            self._session_id,
            model=avatar.model,
            bundle_key=avatar.bundle_key,
            bundle_sha256=avatar.bundle_sha256,
            width=avatar.width,
            height=avatar.height,
            start_frame=0,
        )

    async def render(self, chunk: Chunk) -> Rendered:
        avatar = self._avatar
        drawn = await self._client.render(
            session=self._session_id,
            epoch=chunk.epoch,
            number=chunk.number,
            model=avatar.model,
            bundle_key=avatar.bundle_key,
            bundle_sha256=avatar.bundle_sha256,
            width=avatar.width,
            height=avatar.height,
            start_frame=chunk.start_frame,
            frames=chunk.frames,
            pcm16k=chunk.pcm16k,
            lookback=chunk.lookback,
            lookahead=chunk.lookahead,
            phones=chunk.phones,
            crf=LOW_CRF if self.low else LIVE_CRF,
            first=chunk.first,
            last=chunk.last,
            account=self._account,
        )
        if drawn.seam:
            self._render_moved()
        return drawn

    def cancel_renders(self, epoch: int) -> None:
        self._client.cancel(self._session_id, epoch)

    def record(self, fragment: bytes, pcm48k: bytes, utterance: int) -> object:
        return None if self._recorder is None else self._recorder.fragment(fragment, pcm48k, utterance)

    def measures(self) -> Mapping[str, Any]:
        stats = self._media.stats()
        if stats is None:
            return {}
        found = {
            "av_drift_ms": stats.av_offset_ms,
            "rtt_ms": stats.rtt_ms,
            "loss": stats.loss,
            "codec": stats.codec,
        }
        return {name: value for name, value in found.items() if value is not None}


class Played(PlayoutListener):
    """Tells the conversation and the recorder what became of what was to be played."""

    def __init__(self) -> None:
        self.talker: Talker | None = None
        self.recorder: Recorder | None = None

    def started(self, epoch: int, utterance: int, frame: int) -> None:
        if self.talker is not None:
            self.talker.started(epoch, utterance, frame)

    def ended(self, epoch: int, utterance: int, frame: int, samples: int, *, interrupted: bool) -> None:
        instruments.live_interrupts.inc(interrupted)
        if self.talker is not None:
            self.talker.ended(epoch, utterance, frame, samples, interrupted=interrupted)

    def underrun(self, epoch: int, utterance: int, frame: int) -> None:
        instruments.live_underruns.inc()
        if self.talker is not None:
            self.talker.underrun(epoch, utterance, frame)

    def resumed(self, epoch: int, utterance: int, frame: int) -> None:
        if self.talker is not None:
            self.talker.resumed(epoch, utterance, frame)

    def run(self, run: PlayedRun) -> None:
        if self.talker is not None:
            self.talker.run(run)
        if self.recorder is not None:
            self.recorder.played(run)
