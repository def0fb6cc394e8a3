"""Who may talk now, and who waits: first come, first served.

Everybody passes through the queue, and places are given under one lock to those who wait longest, so
nobody overtakes, and two processes at the same moment cannot give one place away twice. Those whose
page or host is away keep their place in the queue and are passed over until they are back.
"""

from datetime import timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max
from django.utils import timezone

from sessions import states
from sessions.models import Recording, Session, SessionStatus

_LOCK = 0x7061726C65790001  # one number for PostgreSQL's advisory locks: "parley", admission


def enter(session_id: str, fence: int) -> bool:
    """Join the queue, and leave it at once if there is room. False when the fence is an old one."""
    with transaction.atomic():
        _lock()
        rows = Session.objects.filter(pk=session_id, fence=fence)
        if not rows.exists():
            return False
        rows.filter(status=SessionStatus.CREATED).update(
            status=SessionStatus.QUEUED, queued_at=_next_moment()
        )
        _admit()
    return True


def admit() -> int:
    """Give free places to those who wait; returns how many."""
    with transaction.atomic():
        _lock()
        return _admit()


def position(session: Session) -> int | None:
    """Return the place of a waiting session, from 1; None when it does not wait."""
    if session.status != SessionStatus.QUEUED:
        return None
    earlier = Session.objects.filter(status=SessionStatus.QUEUED, queued_at__lt=session.queued_at)
    return earlier.count() + 1


def positions() -> dict[str, int]:
    """Return the place of everybody who waits, from 1."""
    waiting = Session.objects.filter(status=SessionStatus.QUEUED).order_by("queued_at", "pk")
    return {session_id: place for place, session_id in enumerate(waiting.values_list("pk", flat=True), 1)}


def active_count() -> int:
    return Session.objects.filter(status=SessionStatus.ACTIVE).count()


def _admit() -> int:
    free = settings.LIVE_MAX_SESSIONS - active_count()
    if free <= 0:
        return 0
    now = timezone.now()
    waiting = Session.objects.filter(status=SessionStatus.QUEUED, host_lease_until__gt=now)
    admitted = 0
    for session in waiting.order_by("queued_at", "pk")[:free]:
        if states.move(session.pk, SessionStatus.ACTIVE, started_at=now):
            admitted += 1
            if session.record:
                Recording.objects.get_or_create(
                    session=session, defaults={"layout": settings.RECORDING_LAYOUT}
                )
    return admitted


def _next_moment() -> object:
    """A moment after everybody's in the queue, also where the clocks of two machines differ."""
    waiting = Session.objects.filter(status=SessionStatus.QUEUED)
    last = waiting.aggregate(last=Max("queued_at"))["last"]
    now = timezone.now()
    return now if last is None or last < now else last + timedelta(microseconds=1)


def _lock() -> None:
    """Be the only one who gives places away, until the transaction ends.

    On SQLite the transaction itself holds the only write lock.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
