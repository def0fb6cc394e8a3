"""Periodic work over old sessions: what expires, and what was erased."""

import logging
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from sessions import erasing
from sessions.models import Recording, RecordingStatus, Session, SessionStatus

AT_ONCE = 200
# The row of an erased session stays so long: a host that comes back from a long pause finds it.
TOMBSTONES_KEPT = timedelta(days=1)

_log = logging.getLogger(__name__)


def expire() -> None:
    """Remove what had its time. Each step can be cut short and goes on the next time."""
    erasing.sweep()
    purge_recordings()
    forget_sessions()
    forget_erased()


def purge_recordings() -> int:
    """Delete the videos of expired recordings; their rows answer 410 from then on."""
    due = Recording.objects.filter(
        status__in=(RecordingStatus.READY, RecordingStatus.FAILED),
        purged_at=None,
        expires_at__lte=timezone.now(),
    )
    purged = 0
    for recording in due.order_by("expires_at")[:AT_ONCE]:
        if erasing.remove_objects(recording.session_id):
            purged += Recording.objects.filter(pk=recording.pk).update(purged_at=timezone.now())
    return purged


def forget_sessions() -> int:
    """Delete sessions that ended long ago, with their transcripts and whatever else is left of them."""
    before = timezone.now() - timedelta(days=settings.SESSION_RETENTION_DAYS)
    old = Session.objects.filter(status=SessionStatus.ENDED, ended_at__lte=before)
    # A recording may be kept for longer than its transcript: then both stay.
    kept = Recording.objects.filter(expires_at__gt=timezone.now(), purged_at=None)
    recorded = kept.exclude(status=RecordingStatus.ERASED).values("session")
    return _forget(list(old.exclude(pk__in=recorded).values_list("pk", flat=True)[:AT_ONCE]))


def forget_erased() -> int:
    """Delete the empty rows of erased sessions once nobody can write to them any more."""
    before = timezone.now() - TOMBSTONES_KEPT
    swept = Session.objects.filter(erased_at__lte=before, swept_at__isnull=False)
    return _forget(list(swept.values_list("pk", flat=True)[:AT_ONCE]))


def _forget(session_ids: list[str]) -> int:
    forgotten = 0
    for session_id in session_ids:
        if erasing.remove_objects(session_id):
            Session.objects.filter(pk=session_id).delete()
            forgotten += 1
    if forgotten:
        _log.info("%d old sessions were forgotten", forgotten)
    return forgotten
