"""Leaves a provider alone for a while that fails one time after the other.

One per kind of work, provider and process. Three faults in a row that another try might have helped,
or one refused key, open it for 30 s, twice as long each time it happens again, up to 5 minutes. Then
one request is let through: its success closes the breaker, its failure opens it again.
"""

import os
import threading
import time
from collections.abc import Callable
from typing import Literal

from workers.adapters.errors import AdapterError

Kind = Literal["tts", "stt", "llm", "embedding"]

FAULTS = 3
FIRST_SECONDS = 30.0
LONGEST_SECONDS = 300.0
PROBE_SECONDS = 60.0
"""A request that was let through and never told how it went counts as lost after so long."""
_ACCOUNT = frozenset({"provider_unauthorized", "provider_quota"})
_BROKEN = "provider_error"
_SILENT = "no_audio"


class Breaker:
    """Whether a provider is worth asking. Threads may share it. `clock` gives seconds that only grow."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._faults = 0
        self._seconds = 0.0  # how long it is open; 0 while closed
        self._until = 0.0
        self._probing = False

    @property
    def open(self) -> bool:
        """Whether requests are held back now, for those who only look."""
        with self._lock:
            return self._held()

    def allows(self) -> bool:
        """Whether to ask. Whoever is let through tells `succeeded` or `failed`."""
        with self._lock:
            if self._held():
                return False
            if self._seconds:  # this one tries; the others wait for what it finds
                self._probing, self._until = True, self._clock() + PROBE_SECONDS
            return True

    def succeeded(self) -> None:
        with self._lock:
            self._close()

    def failed(self, error: AdapterError) -> None:
        """A fault. One of the request itself (an unknown voice, say) tells that the provider is well."""
        with self._lock:
            if self._held() and not self._probing:
                return  # a late answer to a question from before it opened
            if error.code in _ACCOUNT:
                self._open()
            elif error.code == _SILENT and not self._seconds:
                pass  # a text that a voice cannot say: one customer's must not silence it for all
            elif error.retryable or error.code == _BROKEN:
                self._faults += 1
                if self._seconds or self._faults >= FAULTS:
                    self._open()
            else:
                self._close()

    def _held(self) -> bool:
        return bool(self._seconds) and self._clock() < self._until

    def _open(self) -> None:
        self._seconds = min(max(self._seconds * 2, FIRST_SECONDS), LONGEST_SECONDS)
        self._until = self._clock() + self._seconds
        self._faults, self._probing = 0, False

    def _close(self) -> None:
        self._faults, self._seconds, self._until, self._probing = 0, 0.0, 0.0, False


_breakers: dict[tuple[Kind, str], Breaker] = {}


def breaker(kind: Kind, provider: str) -> Breaker:
    """The process's breaker of a provider for one kind of work."""
    return _breakers.setdefault((kind, provider), Breaker())


def reset() -> None:
    """Forget all that failed: for an operator who mended it, in a child of a fork, and in tests."""
    _breakers.clear()


os.register_at_fork(after_in_child=reset)
