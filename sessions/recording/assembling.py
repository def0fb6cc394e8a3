"""The recording of a session: what was played and said, joined to one film by copying.

The parts that the hosts wrote down are the only source, so a session whose host was killed is
assembled like any other, up to the last part that was stored.
"""

import logging
import secrets
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from generation.clips.leases import LEASE, Lease, LeaseLost, free, keeper
from sessions import announcements, transcripts
from sessions.models import EndReason, Recording, RecordingStatus, Session
from sessions.recording import soundtrack
from sessions.recording.reel import Reel
from storage import keys, recordings
from storage.errors import StorageError
from storage.s3 import store
from workers.rendering.assemble import Assembled, AssemblyError, assemble

MAX_ATTEMPTS = 4
LONGEST_WAIT_SECONDS = 60
# The host stores its last part when a session ends, or a while later where storage was away.
PATIENCE = timedelta(seconds=130)
PATIENCE_WITH_THE_DEAD = timedelta(seconds=5)
LOOK_SECONDS = 0.25
LOOKS = 8
LOOK_AGAIN = timedelta(seconds=2)

_log = logging.getLogger(__name__)


class NotYet(Exception):
    """The host has not stored its last part."""


class NothingRecorded(Exception):
    """Nobody saw a single frame of this session."""


@dataclass(slots=True, eq=False)
class RecordingLease(Lease):
    """Erasing a recording takes the lease away, so it is always wanted by whoever holds it."""

    def wanted(self) -> bool:
        return True


def assemble_recording(recording_id: str) -> None:
    """Finish a recording whose session is over, unless somebody does or did."""
    lease = _take(recording_id)
    if lease is None:
        return
    recording = Recording.objects.select_related("session__avatar", "session__owner").get(pk=recording_id)
    if recording.attempts > MAX_ATTEMPTS:
        _fail(lease, "worker_lost", f"The worker was lost {MAX_ATTEMPTS} times while joining this recording.")
        return
    with keeper.holding(lease):
        try:
            _finish(recording, lease)
        except LeaseLost:
            _log.info("the assembly of %s was taken over, or it was erased", recording_id)
            _forget_if_erased(recording)
        except NotYet:
            lease.release(next_attempt_at=timezone.now() + LOOK_AGAIN)
        except NothingRecorded:
            _fail(lease, "nothing_recorded", "Nothing of this session was played.")
        except Exception as error:  # noqa: BLE001 - whatever it was, the row must say what comes next
            _failed_attempt(recording, lease, error)


def _take(recording_id: str) -> RecordingLease | None:
    token = secrets.token_hex(16)
    rows = Recording.objects.filter(free(), pk=recording_id, status=RecordingStatus.ASSEMBLING)
    taken = rows.update(lease_token=token, lease_until=timezone.now() + LEASE, attempts=F("attempts") + 1)
    return RecordingLease(Recording, recording_id, recording_id, token) if taken else None


def _finish(recording: Recording, lease: Lease) -> None:
    session = recording.session
    if session.media_origin_at is None:
        raise NothingRecorded
    _wait_for_host(session, lease)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="parley-recording-") as folder:
        reel = Reel.read(session.pk, Path(folder), lease.check)
        if not reel.frames:
            raise NothingRecorded
        made = _join(recording, reel, Path(folder), lease)
        lease.check()
        _put(session, Path(folder))
    _succeed(recording, lease, made)
    _log.info("%s was joined in %.1f s", recording.pk, time.monotonic() - begun)
    _delete_parts(session.pk)


def _wait_for_host(session: Session, lease: Lease) -> None:
    """Wait a moment for the last part. Raises `NotYet` where it takes longer."""
    ended = session.ended_at or timezone.now()
    died = session.end_reason == EndReason.HOST_LOST
    until = ended + (PATIENCE_WITH_THE_DEAD if died else PATIENCE)
    for _ in range(LOOKS):
        if timezone.now() >= until or Reel.is_whole(session.pk, session.fence):
            return
        lease.check()
        time.sleep(LOOK_SECONDS)
    raise NotYet


def _join(recording: Recording, reel: Reel, folder: Path, lease: Lease) -> Assembled:
    loop = store().get_bytes(recording.session.idle_key)
    sound = folder / "audio.m4a"
    soundtrack.encode(
        sound, reel.frames, reel.speech(), reel.strips(), layout=recording.layout, check=lease.check
    )
    pieces = reel.pieces(loop)
    return assemble(pieces, sound, folder / "video.mp4", progress=lambda _frames: lease.check())


def _put(session: Session, folder: Path) -> None:
    """Store the film and what was said; storing them twice is harmless."""
    vtt = transcripts.to_vtt(session).encode()
    store().put_bytes(keys.recording(session.pk, "session.vtt"), vtt, "text/vtt")
    store().put_file(keys.recording(session.pk, "video.mp4"), folder / "video.mp4", "video/mp4")


def _succeed(recording: Recording, lease: Lease, made: Assembled) -> None:
    now = timezone.now()
    with transaction.atomic():
        lease.write(
            status=RecordingStatus.READY,
            key=keys.recording(recording.session_id, "video.mp4"),
            duration_ms=made.duration_ms,
            bytes=made.bytes,
            width=made.width,
            height=made.height,
            ready_at=now,
            expires_at=now + timedelta(days=settings.RECORDING_DAYS),
            lease_token="",
            lease_until=None,
        )
        recording.refresh_from_db(fields=["status", "key", "duration_ms", "bytes", "expires_at"])
        announcements.recording_ready(recording)


def _fail(lease: Lease, code: str, message: str) -> None:
    _log.error("recording %s fails: %s", lease.pk, code)
    lease.rows.update(
        status=RecordingStatus.FAILED,
        failure_code=code[:60],
        failure_message=message[:500],
        expires_at=timezone.now() + timedelta(days=settings.RECORDING_DAYS),
        lease_token="",
        lease_until=None,
    )


def _failed_attempt(recording: Recording, lease: Lease, error: Exception) -> None:
    """Decide after an error: wait and try again, or give up."""
    tries = recording.attempts
    later = timezone.now() + timedelta(seconds=min(2**tries, LONGEST_WAIT_SECONDS))
    if isinstance(error, StorageError) and error.retryable:
        _log.warning("recording %s waits: %s", recording.pk, error)
        lease.release(next_attempt_at=later)
    elif isinstance(error, StorageError):
        _fail(lease, error.code, str(error))
    elif isinstance(error, AssemblyError):
        _fail(lease, "parts_unusable", str(error))
    elif tries < MAX_ATTEMPTS:
        _log.error("recording %s: unexpected error", recording.pk, exc_info=error)
        lease.release(attempts=tries, next_attempt_at=later)
    else:
        _log.error("recording %s fails: unexpected error", recording.pk, exc_info=error)
        _fail(lease, "internal_error", "Something went wrong on our side, several times.")


def _forget_if_erased(recording: Recording) -> None:
    """Leave nothing behind that was stored while somebody erased it."""
    rows = Recording.objects.filter(pk=recording.pk)
    if not rows.exists() or rows.filter(status=RecordingStatus.ERASED).exists():
        store().delete_prefix(keys.session(recording.session_id))


def _delete_parts(session_id: str) -> None:
    """What they hold is in the film now. Where storage is away they go with the recording."""
    try:
        recordings.delete_parts(session_id)
    except StorageError as error:
        _log.warning("The parts of %s stay: %s", session_id, error)
