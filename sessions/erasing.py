"""Erasing on request: what somebody said is gone, in rows and in objects.

The row of an erased session stays, empty and unseen, so that a process that still writes finds that it
may not; and once everybody has stopped, its objects are looked for again.
"""

import logging
from datetime import timedelta

import redis
from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from project.api.models import IdempotencyRecord
from project.errors import Conflict
from project.webhooks import services as webhooks
from sessions import states, steering
from sessions.models import EndReason, Recording, RecordingStatus, Session, SessionStatus, Turn
from sessions.runtime.events import stream_key
from storage import keys
from storage.errors import StorageError
from storage.s3 import store

# A host or an assembly that was at work when the session was erased has stopped by then.
SETTLED = timedelta(minutes=2)
AT_ONCE = 200

_log = logging.getLogger(__name__)


def session_erase(session: Session) -> None:
    """Erase a session: its transcript, its recording, the customer's sound. Ends it first.

    What was told of it by webhooks, or waits to be, loses its metadata.
    """
    steering.end(session, EndReason.ERASED)
    with transaction.atomic():
        Turn.objects.filter(session=session).delete()
        for recording in Recording.objects.filter(session=session):
            _erased(recording)
        Session.objects.filter(pk=session.pk).update(
            erased_at=timezone.now(), metadata={}, persona_snapshot={}, metrics={}, failure_message=""
        )
        # What was answered when it began, with its metadata; nobody repeats that request now.
        IdempotencyRecord.objects.filter(owner=session.owner_id, body__id=session.pk).delete()
        webhooks.redact(session.owner_id, session.pk)
    remove_objects(session.pk)
    _forget_events(session.pk)


def recording_erase(recording: Recording) -> None:
    """Erase a recording with all its sound. Raises `Conflict` while it is being made."""
    if recording.session.status != SessionStatus.ENDED:
        raise Conflict("End the session before erasing its recording.", code="session_running")
    _erased(recording)
    remove_objects(recording.session_id)


def sweep() -> int:
    """Look once more for objects of what was erased; called by the periodic clean-up."""
    settled = timezone.now() - SETTLED
    swept = 0
    erased = Session.objects.filter(erased_at__lt=settled, swept_at=None)
    for session_id in erased.values_list("pk", flat=True)[:AT_ONCE]:
        if remove_objects(session_id):
            _forget_events(session_id)
            swept += Session.objects.filter(pk=session_id).update(swept_at=timezone.now())
    recordings = Recording.objects.filter(
        Q(session__ended_at__lt=settled), status=RecordingStatus.ERASED, purged_at=None
    )
    for recording in recordings[:AT_ONCE]:
        if remove_objects(recording.session_id):
            swept += Recording.objects.filter(pk=recording.pk).update(purged_at=timezone.now())
    return swept


def _erased(recording: Recording) -> None:
    states.move_recording(
        recording.pk, RecordingStatus.ERASED, key="", bytes=None, lease_token="", lease_until=None
    )


def _forget_events(session_id: str) -> None:
    """Delete the events that are kept for a client that comes back: they hold what was said."""
    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=1) as client:
            client.delete(stream_key(session_id))
    except redis.RedisError as error:
        _log.warning("Events of %s go by themselves within the hour: %s", session_id, error)


def remove_objects(session_id: str) -> bool:
    """Remove every object of a session; False when the store is away, and `sweep` will try again."""
    try:
        store().delete_prefix(keys.session(session_id))
    except StorageError as error:
        _log.warning("Objects of %s are erased later: %s", session_id, error)
        return False
    return True
