"""How the providers did in this process: who served, how fast, and what went wrong last."""

import os
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from workers.adapters.breaker import Kind
from workers.adapters.errors import AdapterError

REMEMBERED = 100
"""The median is that of so many last answers."""

# Called at each answer (with the milliseconds to its beginning) and each failure (with None).
TOLD: list[Callable[[Kind, str, float | None], None]] = []


@dataclass(frozen=True, slots=True)
class Health:
    """One provider at one kind of work. Moments are Unix seconds; 0 and None where nothing happened."""

    kind: Kind
    provider: str
    served: int
    failed: int
    last_error_code: str
    last_error_at: float
    last_served_at: float
    median_first_ms: float | None


@dataclass(slots=True)
class _Record:
    served: int = 0
    failed: int = 0
    last_error_code: str = ""
    last_error_at: float = 0.0
    last_served_at: float = 0.0
    first_ms: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))


class Ledger:
    """Counts for all providers; threads may share it. `clock` gives Unix seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Begin anew, also where a thread that is no more holds the lock."""
        self._lock = threading.Lock()
        self._records: dict[tuple[Kind, str], _Record] = {}

    def heard(self, kind: Kind, provider: str, first_ms: float) -> None:
        with self._lock:
            record = self._records.setdefault((kind, provider), _Record())
            record.served += 1
            record.last_served_at = self._clock()
            record.first_ms.append(first_ms)

    def failed(self, kind: Kind, provider: str, error: AdapterError) -> None:
        with self._lock:
            record = self._records.setdefault((kind, provider), _Record())
            record.failed += 1
            record.last_error_code, record.last_error_at = error.code, self._clock()

    def snapshot(self) -> list[Health]:
        with self._lock:
            return [_health(kind, provider, record) for (kind, provider), record in self._records.items()]


def _health(kind: Kind, provider: str, record: _Record) -> Health:
    return Health(
        kind=kind,
        provider=provider,
        served=record.served,
        failed=record.failed,
        last_error_code=record.last_error_code,
        last_error_at=record.last_error_at,
        last_served_at=record.last_served_at,
        median_first_ms=statistics.median(record.first_ms) if record.first_ms else None,
    )


_ledger = Ledger()


def heard(kind: Kind, provider: str, first_ms: float) -> None:
    """A provider answered; its first sound, word or token came after `first_ms`."""
    _ledger.heard(kind, provider, first_ms)
    for told in TOLD:
        told(kind, provider, first_ms)


def failed(kind: Kind, provider: str, error: AdapterError) -> None:
    """A provider did not do its part."""
    _ledger.failed(kind, provider, error)
    for told in TOLD:
        told(kind, provider, None)


def snapshot() -> list[Health]:
    """All that were asked in this process so far."""
    return _ledger.snapshot()


def reset() -> None:
    """Begin anew: in a child of a fork, and in tests."""
    _ledger.reset()


os.register_at_fork(after_in_child=reset)
