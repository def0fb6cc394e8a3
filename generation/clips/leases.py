"""The right to work on a row, for a while.

A lease is a random token in the row and the moment it lapses. Whoever takes a lapsed lease writes a
new token, and every write of the former holder asks for the old one: a worker that slept through its
lease can change nothing any more.
"""

import logging
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import DatabaseError, close_old_connections, connection
from django.db.models import F, Model, Q, QuerySet
from django.utils import timezone

from generation.clips.models import Clip, ClipFragment, ClipStream

LEASE = timedelta(seconds=12)
HEARTBEAT_SECONDS = 3.0

_log = logging.getLogger(__name__)


class LeaseLost(Exception):
    """Somebody else works on this row now."""


class StopWork(Exception):
    """The clip was cancelled, failed or deleted while it was being worked on."""


@dataclass(slots=True, eq=False)
class Lease:
    """Held by one worker. `stopped` is set by the keeper when going on makes no sense."""

    model: type[Model]
    pk: str | int
    clip_id: str
    token: str
    stopped: threading.Event = field(default_factory=threading.Event)
    lost: bool = False

    @property
    def rows(self) -> QuerySet[Any]:
        """The row while it is ours, else nothing: every write of the holder goes through this."""
        return self.model._default_manager.filter(pk=self.pk, lease_token=self.token)

    def check(self) -> None:
        """Raise `LeaseLost` or `StopWork` when the keeper has seen that we should stop."""
        if self.stopped.is_set():
            raise LeaseLost if self.lost else StopWork

    def write(self, **changes: Any) -> None:
        """Change the row. Raises `LeaseLost` when it is not ours any more."""
        if not self.rows.update(**changes):
            raise LeaseLost

    def renew(self) -> None:
        """Prolong, and look whether the clip is still wanted."""
        if not self.rows.update(lease_until=timezone.now() + LEASE):
            self.lost = True
            self.stopped.set()
        elif not self.wanted():
            self.stopped.set()

    def wanted(self) -> bool:
        """Say whether anybody still waits for what the row is for."""
        return is_wanted(self.clip_id)

    def release(self, **changes: Any) -> bool:
        """Give the row back, in order: this start does not count as an attempt that died."""
        changes = {"attempts": F("attempts") - 1} | changes
        return bool(self.rows.update(lease_token="", lease_until=None, **changes))


def is_wanted(clip_id: str) -> bool:
    """Say whether anybody still waits for this clip."""
    return Clip.objects.filter(pk=clip_id, status="running", cancel_requested_at=None).exists()


def free() -> Q:
    """Select rows that nobody holds and whose time has come."""
    now = timezone.now()
    unheld = Q(lease_until=None) | Q(lease_until__lt=now)
    return unheld & (Q(next_attempt_at=None) | Q(next_attempt_at__lte=now))


def take(
    model: type[Clip] | type[ClipFragment] | type[ClipStream],
    pk: str | int,
    clip_id: str,
    condition: Q,
    **changes: Any,
) -> Lease | None:
    """Take the lease on one row that also meets `condition`; None when it is not to be had."""
    token = secrets.token_hex(16)
    rows: QuerySet[Any] = model._default_manager.all()
    rows = rows.filter(free() & condition, pk=pk)
    taken = rows.update(
        lease_token=token, lease_until=timezone.now() + LEASE, attempts=F("attempts") + 1, **changes
    )
    return Lease(model, pk, clip_id, token) if taken else None


class Keeper:
    """One thread of this process that prolongs every lease held here."""

    def __init__(self) -> None:
        self._held: set[Lease] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextmanager
    def holding(self, lease: Lease) -> Iterator[Lease]:
        with self._lock:
            self._held.add(lease)
            if self._thread is None or not self._thread.is_alive():
                # Also after a fork, which copies this object but not its thread.
                self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
                self._thread.start()
        try:
            yield lease
        finally:
            with self._lock:
                self._held.discard(lease)

    def _run(self) -> None:
        while True:
            time.sleep(HEARTBEAT_SECONDS)
            with self._lock:
                held = list(self._held)
            for lease in held:
                self._renew(lease)
            if held:
                close_old_connections()
            else:
                connection.close()

    def _renew(self, lease: Lease) -> None:
        try:
            lease.renew()
        except DatabaseError as error:
            # The next heartbeat may get through; if none does, the lease lapses, as it should.
            _log.warning("A lease could not be prolonged: %s", error)
            connection.close()


keeper = Keeper()
