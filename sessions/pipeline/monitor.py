"""What the avatar says, told to whoever listens for the customer, so that an echo is known for one."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from sessions.pipeline.heard import Playing
from sessions.pipeline.track import FRAME_MS


class Hearer(Protocol):
    """The part of a `Listener` that hears of the avatar's own voice."""

    def avatar_audio(self, pcm: bytes, at_ms: int) -> None: ...

    def avatar_cut(self, at_ms: int) -> None: ...

    def set_avatar_speaking(self, speaking: bool) -> None: ...


KEPT_MS = 8_000  # of sound, for who begins to listen in the middle of a reply: what may still come back


@dataclass(slots=True)
class Monitor:
    """Keeps the sound of utterances that have yet to begin: only then is known when it is heard."""

    _listener: Hearer | None = None
    _speaking: bool = False
    _waiting: list[tuple[int, int, bytes]] = field(default_factory=list)
    _told: deque[tuple[int, bytes]] = field(default_factory=deque)

    def listens(self, listener: Hearer) -> None:
        """Somebody listens from now on: in the middle of a reply, where a microphone is switched on then."""
        self._listener = listener
        for at_ms, pcm48k in self._told:
            listener.avatar_audio(pcm48k, at_ms)
        self._told.clear()
        if self._speaking:
            listener.set_avatar_speaking(True)

    def pushed(self, utterance: int, frame: int, pcm48k: bytes, playing: Playing | None) -> None:
        """Sound went to playout, `frame` frames into its utterance; `playing` where that has begun."""
        if playing is None:
            self._waiting.append((utterance, frame, pcm48k))
        else:
            self._tell(pcm48k, playing.at_ms(frame * FRAME_MS))

    def started(self, utterance: int, playing: Playing) -> None:
        """An utterance is heard from now on."""
        self._speaking = True
        if self._listener is not None:
            self._listener.set_avatar_speaking(True)
        for number, frame, pcm48k in self._waiting:
            if number == utterance:
                self._tell(pcm48k, playing.at_ms(frame * FRAME_MS))
        self._waiting = [kept for kept in self._waiting if kept[0] > utterance]

    def stopped(self, at_ms: int, *, cut: bool) -> None:
        """Nothing more is heard of the reply."""
        self._speaking = False
        self._waiting.clear()
        self._told.clear()
        if self._listener is not None:
            self._listener.set_avatar_speaking(False)
            if cut:
                self._listener.avatar_cut(at_ms)

    def _tell(self, pcm48k: bytes, at_ms: int) -> None:
        if self._listener is not None:
            self._listener.avatar_audio(pcm48k, at_ms)
            return
        self._told.append((at_ms, pcm48k))
        while self._told[0][0] < at_ms - KEPT_MS:
            self._told.popleft()
