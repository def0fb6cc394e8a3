"""Makes the films of the FlashHead service: one at a time, live ones first, each session's going on."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from workers.adapters.avatar.base import I420
from workers.adapters.avatar.flashhead.native import Speaker
from workers.adapters.avatar.flashhead.portrait import Person
from workers.adapters.avatar.flashhead.wishes import Refused, Wish
from workers.adapters.errors import AdapterError

MAX_SESSIONS = 16
IDLE_SECONDS = 600.0
KEPT_SECONDS = 600.0
WAITING = 8

_log = logging.getLogger(__name__)

Encode = Callable[[Iterator[I420], int, int], bytes]
"""Pictures, width and height to an MP4."""


@dataclass(frozen=True, slots=True)
class Made:
    """A finished film in the folder of films."""

    path: Path
    frames: int
    continued: bool
    render_ms: int


@dataclass(slots=True)
class _Session:
    speaker: Speaker
    digest: str
    used_at: float


class Turns:
    """Lets one at a time pass, those who are in a hurry first."""

    def __init__(self, wait_seconds: float) -> None:
        self._wait_seconds = wait_seconds
        self._free = threading.Condition()
        self._taken = False
        self._hurried = 0
        self._waiting = 0

    @property
    def busy(self) -> bool:
        return self._taken

    @contextmanager
    def turn(self, *, live: bool) -> Iterator[None]:
        """Raises `Refused` (409) where the turn does not come in time, or too many wait."""
        self._take(live)
        try:
            yield
        finally:
            with self._free:
                self._taken = False
                self._free.notify_all()

    def _take(self, live: bool) -> None:
        with self._free:
            if self._waiting >= WAITING:
                raise _busy()
            self._waiting += 1
            self._hurried += live
            try:
                if not self._free.wait_for(lambda: self._may(live), self._wait_seconds):
                    raise _busy()
                self._taken = True
            finally:
                self._waiting -= 1
                self._hurried -= live

    def _may(self, live: bool) -> bool:
        return not self._taken and (live or not self._hurried)


class Studio:
    """`speaker` makes what draws one person; films are written into `folder`."""

    def __init__(
        self, speaker: Callable[[Person], Speaker], encode: Encode, folder: Path, wait_seconds: float
    ) -> None:
        self._speaker, self._encode, self.folder = speaker, encode, folder
        self._turns = Turns(wait_seconds)
        self._sessions: OrderedDict[str, _Session] = OrderedDict()

    @property
    def busy(self) -> bool:
        return self._turns.busy

    def make(self, wish: Wish) -> Made:
        """Raises `Refused`: 409 while others draw, 500 `generation_failed`."""
        with self._turns.turn(live=wish.live):
            begun = time.monotonic()
            self._clear()
            session, continued = self._session(wish)
            try:
                pictures = session.speaker.draw(wish.sound, live=wish.live)
                data = self._encode(pictures, wish.person.width, wish.person.height)
            except Exception as error:
                self._sessions.pop(wish.session, None)  # nobody knows what it remembers
                raise _failed(error) from error
            path = self.folder / f"{secrets.token_hex(12)}.mp4"
            part = path.with_suffix(".part")
            part.write_bytes(data)
            part.replace(path)
            return Made(path, wish.frames, continued, round((time.monotonic() - begun) * 1000))

    def _session(self, wish: Wish) -> tuple[_Session, bool]:
        """The session of the wish, and whether it goes on; another picture is another session."""
        known = self._sessions.get(wish.session) if wish.session else None
        if known is None or known.digest != wish.digest:
            known = _Session(self._speaker(wish.person), wish.digest, 0.0)
            if wish.session:
                self._sessions[wish.session] = known
            continued = False
        else:
            continued = wish.continues
            if not continued:
                known.speaker.begin()
        known.used_at = time.monotonic()
        if wish.session:
            self._sessions.move_to_end(wish.session)
        return known, continued

    def _clear(self) -> None:
        """Forget sessions and films that nobody asked for lately."""
        now = time.monotonic()
        while self._sessions:
            oldest = next(iter(self._sessions.values()))
            if len(self._sessions) <= MAX_SESSIONS and oldest.used_at > now - IDLE_SECONDS:
                break
            self._sessions.popitem(last=False)
        for path in (*self.folder.glob("*.mp4"), *self.folder.glob("*.part")):
            with suppress(OSError):
                if path.stat().st_mtime < time.time() - KEPT_SECONDS:
                    path.unlink()


def _busy() -> Refused:
    return Refused(HTTPStatus.CONFLICT, "busy", "Another film is being made.", retry_after=1)


def _failed(error: Exception) -> Refused:
    """What the model says is kept in the log: it may hold paths."""
    if isinstance(error, AdapterError):
        _log.error("No film: %s: %s", error.code, error)
        return Refused(HTTPStatus.INTERNAL_SERVER_ERROR, "generation_failed", str(error))
    _log.error("No film", exc_info=error)
    detail = f"The model failed ({type(error).__name__})."
    return Refused(HTTPStatus.INTERNAL_SERVER_ERROR, "generation_failed", detail)
