"""Runs one network for all threads of a process: what they ask for at the same time goes through it together.

Whoever waits for a live session comes first, and shares its run with other live work alone: a run takes
longer with every row in it. Rows of a request that is larger than a run are done in several, so nothing live
ever waits for more than one run. Every row's result goes to who asked for that row, and to nobody else. Of a
run that does not end everybody hears after a while: the device is lost then.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from workers.adapters.avatar.runtime import Array, Forward
from workers.adapters.errors import AdapterError
from workers.gpu.devices import is_fatal, is_out_of_memory

GOOD_RUNS = 200  # after so many without a fault the batch may grow again
STUCK_SECONDS = 900.0  # the largest batch of the slowest CPU takes less
LOOK_SECONDS = 5.0

_log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Asked:
    """What one thread waits for."""

    arrays: tuple[Array, ...]
    live: bool
    taken: int = 0
    pieces: list[Array] = field(default_factory=list)
    error: AdapterError | None = None
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def rows(self) -> int:
        return len(self.arrays[0])

    @property
    def kind(self) -> tuple[tuple[tuple[int, ...], str], ...]:
        """Requests of one kind can share a run."""
        return tuple((array.shape[1:], array.dtype.str) for array in self.arrays)


@dataclass(frozen=True, slots=True)
class _Piece:
    """Rows `start` to `stop - 1` of a request."""

    asked: _Asked
    start: int
    stop: int

    @property
    def rows(self) -> int:
        return self.stop - self.start

    def arrays(self) -> tuple[Array, ...]:
        return tuple(array[self.start : self.stop] for array in self.asked.arrays)


class Batcher:
    """One network's queue, and the thread that runs it."""

    def __init__(
        self,
        name: str,
        forward: Forward,
        *,
        max_batch: int,
        rescue: Callable[[], None] = lambda: None,
        lost: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        """`rescue` makes room on the device; `lost` hears that it will not work again in this process."""
        if max_batch < 1:
            raise ValueError(f"{name}: a batch of {max_batch}")
        self._name, self._forward = name, forward
        self._most = self._limit = max_batch
        self._rescue, self._lost = rescue, lost
        self._good = 0
        self._changed = threading.Condition()
        self._live: deque[_Asked] = deque()
        self._others: deque[_Asked] = deque()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._running_since: float | None = None  # monotonic

    def run(self, *batch: Array, live: bool = False) -> Array:
        """Run a batch; see `Network.run`."""
        asked = _Asked(_checked(self._name, batch), live)
        with self._changed:
            if self._closed:
                raise AdapterError(
                    "The worker stops.", provider=self._name, retryable=True, code="model_busy"
                )
            (self._live if live else self._others).append(asked)
            self._begin()
            self._changed.notify()
        while not asked.over.wait(LOOK_SECONDS):
            if self._stuck():
                error = TimeoutError(f"a run of {self._name} does not end")
                self._lost(error)
                self._fail(asked, self._judged(error))
        if asked.error is not None:
            raise asked.error
        return asked.pieces[0] if len(asked.pieces) == 1 else np.concatenate(asked.pieces)

    def close(self) -> None:
        """Do what was asked for already, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        while self._thread is not None and self._thread.is_alive() and not self._stuck():
            self._thread.join(LOOK_SECONDS)

    def _begin(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=f"network {self._name}", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while pieces := self._next():
            try:
                self._do(pieces)
            except BaseException as error:  # noqa: BLE001 - without this thread everybody would wait for ever
                for piece in pieces:
                    self._fail(piece.asked, self._judged(error))

    def _stuck(self) -> bool:
        since = self._running_since
        return since is not None and time.monotonic() - since >= STUCK_SECONDS

    def _next(self) -> list[_Piece]:
        """Wait for work, and take as many rows of one kind as fit into a run; none at the end."""
        with self._changed:
            while not (self._live or self._others):
                if self._closed:
                    return []
                self._changed.wait()
            return self._take(self._live or self._others)

    def _take(self, queue: deque[_Asked]) -> list[_Piece]:
        kind, room = queue[0].kind, self._limit
        pieces: list[_Piece] = []
        for asked in [one for one in queue if one.kind == kind]:
            rows = min(room, asked.rows - asked.taken)
            pieces.append(_Piece(asked, asked.taken, asked.taken + rows))
            asked.taken += rows
            room -= rows
            if asked.taken == asked.rows:
                queue.remove(asked)
            if not room:
                break
        return pieces

    def _do(self, pieces: Sequence[_Piece]) -> None:
        """Run pieces together; where that fails, each alone, so that only the guilty one hears of it."""
        try:
            made = self._run(
                tuple(np.concatenate(same) for same in zip(*(p.arrays() for p in pieces), strict=True))
            )
        except Exception as error:  # noqa: BLE001 - whatever a network raises belongs to who asked
            if is_fatal(error):
                self._lost(error)
            elif len(pieces) > 1 and not isinstance(error, AdapterError):
                for piece in pieces:
                    self._do([piece])
                return
            for piece in pieces:
                self._fail(piece.asked, self._judged(error))
            return
        start = 0
        for piece in pieces:
            # A view would keep everybody's rows alive as long as one of them is.
            self._give(piece, made if len(pieces) == 1 else made[start : start + piece.rows].copy())
            start += piece.rows

    def _run(self, arrays: tuple[Array, ...]) -> Array:
        """Run rows, in halves where the device has too little memory. Raises what the network raises."""
        rows = len(arrays[0])
        for rescued in (False, True):
            if (made := self._tried(arrays)) is not None:
                self._grow()
                return made
            if rows > 1:
                self._limit, self._good = min(self._limit, (rows + 1) // 2), 0
                _log.warning("%s: no memory for %d rows; %d from now on", self._name, rows, self._limit)
                half = (rows + 1) // 2
                return np.concatenate(
                    [self._run(tuple(a[:half] for a in arrays)), self._run(tuple(a[half:] for a in arrays))]
                )
            if not rescued:
                self._rescue()
        raise _error(self._name, "The device has too little memory.", "out_of_memory")

    def _tried(self, arrays: tuple[Array, ...]) -> Array | None:
        """None for too little memory; by then the fault's own references to tensors are gone."""
        self._running_since = time.monotonic()
        try:
            made = self._forward(*arrays)
        except Exception as error:
            if is_out_of_memory(error):
                return None
            raise
        finally:
            self._running_since = None
        if len(made) != len(arrays[0]):
            raise _error(self._name, f"The model made {len(made)} of {len(arrays[0])}.", "model_error")
        return made

    def _grow(self) -> None:
        if self._limit < self._most:
            self._good += 1
            if self._good >= GOOD_RUNS:
                self._limit, self._good = min(self._most, self._limit * 2), 0

    def _give(self, piece: _Piece, made: Array) -> None:
        asked = piece.asked
        asked.pieces.append(made)
        if piece.stop == asked.rows:
            asked.over.set()

    def _judged(self, error: BaseException) -> AdapterError:
        if isinstance(error, AdapterError):
            return error
        _log.error("%s failed", self._name, exc_info=error)
        return _error(self._name, "The model failed.", "model_error")

    def _fail(self, asked: _Asked, error: AdapterError) -> None:
        with self._changed:
            for queue in (self._live, self._others):
                if asked in queue:
                    queue.remove(asked)
        asked.error = error
        asked.over.set()


def _checked(name: str, batch: tuple[Array, ...]) -> tuple[Array, ...]:
    if not batch or not len(batch[0]) or any(len(array) != len(batch[0]) for array in batch):
        raise ValueError(f"{name}: arrays of {[len(array) for array in batch]} rows")
    return batch


def _error(name: str, message: str, code: str) -> AdapterError:
    return AdapterError(message, provider=name, retryable=True, code=code)
