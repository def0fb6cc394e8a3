"""Streams of stateful models between two tasks of their clip.

A clip whose sound has yet to come, or that lets live sessions go first, leaves its stream here for a
while. Who draws on in this process finds it where it was; if another process does, or nobody in time, it
is closed, and what it holds is given back.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import Any

KEPT_SECONDS = 20.0
LOOK_SECONDS = 0.5

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Place:
    """An open stream, and the number of the fragment that comes next in it."""

    renderer: Any
    stream: Any
    next: int
    since: float = 0.0

    @property
    def wanted(self) -> bool:
        """Whether a live session waits for what the stream holds."""
        asked = getattr(self.renderer, "wanted", None)
        return asked is not None and bool(asked(self.stream))

    def close(self) -> None:
        try:
            self.renderer.close_stream(self.stream)
        except Exception:  # noqa: BLE001 - it never raises; if it does, the worker goes on
            _log.exception("A clip's stream could not be closed")


class Parked:
    """Those of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places: dict[str, Place] = {}
        self._any = threading.Event()
        self._thread: threading.Thread | None = None

    def __len__(self) -> int:
        return len(self._places)

    def put(self, clip_id: str, place: Place) -> None:
        """Keep a stream for whoever goes on with the clip."""
        place.since = time.monotonic()
        with self._lock:
            before, self._places[clip_id] = self._places.get(clip_id), place
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._watch, name="parked streams", daemon=True)
                self._thread.start()
        self._any.set()
        if before is not None:
            before.close()

    def take(self, clip_id: str) -> Place | None:
        """Return the clip's stream if it is here; it is the caller's then."""
        with self._lock:
            return self._places.pop(clip_id, None)

    def look(self) -> None:
        """Close what was left too long, and what live sessions wait for."""
        now = time.monotonic()
        with self._lock:
            over = [
                name
                for name, place in self._places.items()
                if now - place.since >= KEPT_SECONDS or place.wanted
            ]
            gone = [self._places.pop(name) for name in over]
        for place in gone:
            place.close()

    def close_all(self) -> None:
        """The worker stops."""
        with self._lock:
            gone = list(self._places.values())
            self._places.clear()
        for place in gone:
            place.close()

    def _watch(self) -> None:
        while True:
            self._any.wait()
            time.sleep(LOOK_SECONDS)
            try:
                self.look()
            except Exception:  # noqa: BLE001 - whatever it was, the others are to be looked after
                _log.exception("Parked streams could not be looked after")
            with self._lock:
                if not self._places:
                    self._any.clear()


parked = Parked()
