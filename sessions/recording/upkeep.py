"""Finds recordings whose message or worker was lost, and objects that lost their session."""

import logging
from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from generation.clips.leases import free
from sessions import states
from sessions.models import Recording, RecordingStatus, Session, SessionStatus
from storage import keys, orphans
from storage.s3 import store
from workers import dispatch

GRACE = timedelta(seconds=4)  # from sending a message to its claim, on a busy machine
ORPHAN_AGE = timedelta(days=1)
AT_ONCE = 500

_log = logging.getLogger(__name__)


def reconcile() -> int:
    """Enqueue again what has to be joined and waits in no queue; return how many messages were sent.

    Raises what the broker raises.
    """
    under_way = (RecordingStatus.RECORDING, RecordingStatus.ASSEMBLING)
    if not Recording.objects.filter(status__in=under_way).exists():
        return 0
    _settle()
    stale = Q(enqueued_at=None) | Q(enqueued_at__lt=timezone.now() - GRACE)
    rows = Recording.objects.filter(free() & stale, status=RecordingStatus.ASSEMBLING)
    if not rows.exists():
        return 0
    # The queue is asked before the rows are read: what is taken from it in between is seen as held.
    waiting = dispatch.waiting(dispatch.MEDIA_QUEUE)
    sent = 0
    for recording in rows.order_by("created_at")[:AT_ONCE]:
        if dispatch.identity(dispatch.RECORDING, recording.pk) not in waiting:
            sent += _send(recording)
    return sent


def _settle() -> None:
    """Go on with recordings whose session is over, though nobody moved them."""
    over = Recording.objects.filter(status=RecordingStatus.RECORDING, session__status=SessionStatus.ENDED)
    for recording_id in over.values_list("pk", flat=True)[:AT_ONCE]:
        states.move_recording(recording_id, RecordingStatus.ASSEMBLING)


def _send(recording: Recording) -> bool:
    with transaction.atomic():
        rows = Recording.objects.filter(free(), pk=recording.pk, enqueued_at=recording.enqueued_at)
        ours = rows.filter(status=RecordingStatus.ASSEMBLING).update(enqueued_at=timezone.now())
        if ours:
            dispatch.recording(recording.pk)
    return bool(ours)


def collect_orphans() -> int:
    """Delete objects of sessions that have no row any more; return how many there were."""
    found = 0
    for _, session_id, names in orphans.old_owners(timezone.now() - ORPHAN_AGE, below=(keys.SESSIONS,)):
        if Session.objects.filter(pk=session_id, erased_at=None).exists():
            continue
        found += len(names)
        _log.info("session %s has no row: %d objects", session_id, len(names))
        store().delete(names)
    return found
