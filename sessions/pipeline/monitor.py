"""What the avatar says, told to whoever listens for the customer, so that an echo is known for one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from sessions.pipeline.heard import Playing
from sessions.pipeline.track import FRAME_MS


class Hearer(Protocol):
    """The part of a `Listener` that hears of the avatar's own voice."""

    def avatar_audio(self, pcm: bytes, at_ms: int) -> None: ...

    def avatar_cut(self, at_ms: int) -> None: ...

    def set_avatar_speaking(self, speaking: bool) -> None: ...


@dataclass(slots=True)
class Monitor:
    """Keeps the sound of utterances that have yet to begin: only then is known when it is heard."""

    listener: Hearer | None = None
    _waiting: list[tuple[int, int, bytes]] = field(default_factory=list)

    def pushed(self, utterance: int, frame: int, pcm48k: bytes, playing: Playing | None) -> None:
        """Sound went to playout, `frame` frames into its utterance; `playing` where that has begun."""
        if playing is None:
            self._waiting.append((utterance, frame, pcm48k))
        elif self.listener is not None:
            self.listener.avatar_audio(pcm48k, playing.at_ms(frame * FRAME_MS))

    def started(self, utterance: int, playing: Playing) -> None:
        """An utterance is heard from now on."""
        if self.listener is not None:
            self.listener.set_avatar_speaking(True)
            for number, frame, pcm48k in self._waiting:
                if number == utterance:
                    self.listener.avatar_audio(pcm48k, playing.at_ms(frame * FRAME_MS))
        self._waiting = [kept for kept in self._waiting if kept[0] > utterance]

    def stopped(self, at_ms: int, *, cut: bool) -> None:
        """Nothing more is heard of the reply."""
        self._waiting.clear()
        if self.listener is not None:
            self.listener.set_avatar_speaking(False)
            if cut:
                self.listener.avatar_cut(at_ms)
