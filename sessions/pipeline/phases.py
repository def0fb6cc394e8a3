"""What a session is doing, as everybody is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sessions.pipeline.ports import Phase


class Phases:
    """Joins what the two parties do into one word, and tells when that changes.

    The avatar speaks until its last sound was played. Somebody who talks over it is listened to
    once it has stopped.
    """

    def __init__(self, changed: Callable[[Phase], None]) -> None:
        self._changed = changed
        self._user_speaks = self._avatar_thinks = self._avatar_speaks = False
        self._changing = 0
        self.phase: Phase = "idle"

    @contextmanager
    def together(self) -> Iterator[None]:
        """What happens inside is one change."""
        self._changing += 1
        try:
            yield
        finally:
            self._changing -= 1
            self._tell()

    def user(self, *, speaks: bool) -> None:
        self._user_speaks = speaks
        self._tell()

    def avatar(self, *, thinks: bool = False, speaks: bool = False) -> None:
        self._avatar_thinks, self._avatar_speaks = thinks, speaks
        self._tell()

    def _tell(self) -> None:
        phase = self._now()
        if phase != self.phase and not self._changing:
            self.phase = phase
            self._changed(phase)

    def _now(self) -> Phase:
        if self._avatar_speaks:
            return "speaking"
        if self._user_speaks:
            return "listening"
        return "thinking" if self._avatar_thinks else "idle"
