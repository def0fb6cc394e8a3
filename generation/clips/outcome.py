"""How a clip's work goes on: the next stage, another try later, or one of the three ends.

Every end is a compare-and-set in the same transaction as its webhook event, so each clip ends once
and is told once, however many workers believe that they finished it.
"""

import errno
import logging
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from generation.clips import announcements, states
from generation.clips.leases import Lease
from generation.clips.models import Clip, ClipFragment, ClipStage, ClipStatus, ClipStream, FragmentStatus
from project import tracing
from storage.errors import StorageError
from workers import dispatch
from workers.adapters.errors import AdapterError

MAX_ATTEMPTS = 5  # starts that killed their worker, or ended in an error nobody expected
MAX_RETRIES = 60  # orderly waits for a part that is away; about a quarter of an hour
LONGEST_WAIT_SECONDS = 15
BUSY = "model_busy"
MODEL_NOT_AVAILABLE = "model_not_available"
BUSY_TRIES = 2  # what is waited for then, as after so many tries
LONGEST_BUSY = timedelta(hours=24)  # after that it counts as being away

_log = logging.getLogger(__name__)


class ClipFailure(Exception):
    """The clip cannot be made, and trying again would not help. `code` becomes `failure.code`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def advance(clip_id: str) -> None:
    """Go on to assembly if the speech is complete and every fragment is there.

    Called inside the transaction that made it so; whoever moves the stage enqueues the assembly.
    """
    rows = Clip.objects.filter(
        pk=clip_id,
        status=ClipStatus.RUNNING,
        stage=ClipStage.RENDERING,
        fragments_done=F("fragments_total"),
        cancel_requested_at=None,
    )
    if rows.update(stage=ClipStage.ASSEMBLING, **_fresh_stage(progress=95)):
        dispatch.assemble(clip_id)


def _fresh_stage(**changes: Any) -> dict[str, Any]:
    """What the row says when a stage begins: enqueued just now, never tried."""
    return changes | {
        "revision": F("revision") + 1,
        "enqueued_at": timezone.now(),
        "attempts": 0,
        "retries": 0,
        "next_attempt_at": None,
    }


def speech_finished(lease: Lease, *, fragments_total: int, **changes: Any) -> None:
    """Record that the whole timeline is known. Raises `LeaseLost`."""
    with transaction.atomic():
        lease.write(
            stage=ClipStage.RENDERING,
            fragments_total=fragments_total,
            lease_token="",
            lease_until=None,
            **_fresh_stage(**changes),
        )
        advance(lease.clip_id)


def succeed(lease: Lease, **result: Any) -> bool:
    """End well. False when somebody else ended this clip first."""
    expires_at = timezone.now() + timedelta(days=settings.CLIP_RETENTION_DAYS)
    with transaction.atomic():
        if not lease.rows.exists():
            return False
        moved = states.move(
            lease.clip_id, ClipStatus.SUCCEEDED, stage="", progress=100, expires_at=expires_at, **result
        )
        if moved:
            announcements.ended(lease.clip_id)
    return moved


def fail(clip_id: str, code: str, message: str) -> bool:
    """End badly, with a code from docs/clips.md. False when the clip had ended already."""
    expires_at = timezone.now() + timedelta(days=settings.CLIP_RETENTION_DAYS)
    with transaction.atomic():
        moved = states.move(
            clip_id,
            ClipStatus.FAILED,
            stage="",
            failure_code=code[:60],
            failure_message=message[:500],
            expires_at=expires_at,
        )
        if moved:
            announcements.ended(clip_id)
    return moved


def cancel_if_idle(clip_id: str) -> bool:
    """End a clip whose cancellation was asked for, once nobody is at work on it any more."""
    now = timezone.now()
    expires_at = now + timedelta(days=settings.CLIP_RETENTION_DAYS)
    with transaction.atomic():
        asked = Clip.objects.filter(pk=clip_id, cancel_requested_at__isnull=False)
        held = asked.filter(lease_until__gt=now).exists() or _held_fragments(clip_id).exists()
        held = held or ClipStream.objects.filter(clip_id=clip_id, lease_until__gt=now).exists()
        if held or not asked.exists():
            return False
        moved = states.move(clip_id, ClipStatus.CANCELED, stage="", expires_at=expires_at)
        if moved:
            announcements.ended(clip_id)
    return moved


def _held_fragments(clip_id: str) -> Any:
    return ClipFragment.objects.filter(
        clip_id=clip_id, status=FragmentStatus.RUNNING, lease_until__gt=timezone.now()
    )


def failed_attempt(lease: Lease, error: Exception, *, retries: int, attempts: int) -> None:
    """Decide after an error: wait and try again, or end the clip.

    `retries` and `attempts` are the row's when this start took it, this start included.
    """
    tracing.current().fail(tracing.code_of(error))
    back = {"status": FragmentStatus.PENDING} if lease.model is ClipFragment else {}
    if isinstance(error, AdapterError) and error.code == BUSY and not _old(lease.clip_id):
        # Somebody else has the model's one server, perhaps for an hour: that is no failure.
        lease.release(next_attempt_at=_in(BUSY_TRIES), **back)
        return
    if isinstance(error, StorageError | AdapterError):
        if error.retryable and retries < MAX_RETRIES:
            _log.warning("clip %s waits: %s", lease.clip_id, error)
            lease.release(retries=F("retries") + 1, next_attempt_at=_in(retries), **back)
            return
        code, message = error.code, str(error)
    elif isinstance(error, ClipFailure):
        code, message = error.code, str(error)
    elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        code, message = "storage_full", "A disk of the service has no room left."
    elif attempts < MAX_ATTEMPTS:
        _log.error("clip %s: unexpected error", lease.clip_id, exc_info=error)
        lease.release(attempts=attempts, next_attempt_at=_in(attempts), **back)
        return
    else:
        _log.error("clip %s fails: unexpected error", lease.clip_id, exc_info=error)
        code, message = "internal_error", "Something went wrong on our side, several times."
    if lease.rows.exists():
        fail(lease.clip_id, code, message)


def _old(clip_id: str) -> bool:
    """Whether a clip has waited for so long that it has to end one day."""
    return Clip.objects.filter(pk=clip_id, created_at__lt=timezone.now() - LONGEST_BUSY).exists()


def worn_out(lease: Lease, attempts: int) -> bool:
    """End a clip whose work took down its worker again and again."""
    if attempts <= MAX_ATTEMPTS:
        return False
    fail(lease.clip_id, "worker_lost", f"The worker was lost {MAX_ATTEMPTS} times while making this clip.")
    return True


def _in(tries: int) -> Any:
    return timezone.now() + timedelta(seconds=min(2**tries, LONGEST_WAIT_SECONDS))
