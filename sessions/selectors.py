"""Reads of sessions and recordings. Every one asks whose they are."""

from datetime import datetime

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from generation.uploads.models import Upload, UploadKind
from project.accounts.models import User
from project.errors import Conflict, Gone, InvalidInput, NotFound
from sessions.models import Recording, RecordingStatus, Session, SessionStatus, Turn


def visible_to(user: User) -> QuerySet[Session]:
    """One's own sessions; staff may look at everybody's. Erased ones are gone."""
    sessions = Session.objects.filter(erased_at=None)
    return sessions if user.is_staff else sessions.filter(owner=user)


def session_get(user: User, session_id: str) -> Session:
    """Find a session with all that is shown of it. Raises `NotFound`, for those of others too."""
    session = shown(visible_to(user)).filter(pk=session_id).first()
    if session is None:
        raise NotFound("There is no such session.", code="session_not_found")
    return session


def shown(sessions: QuerySet[Session]) -> QuerySet[Session]:
    """Add what the JSON of a session needs, so that a page of them costs one query."""
    counted = Turn.objects.filter(session=OuterRef("pk")).order_by().values("session")
    turns = Coalesce(Subquery(counted.annotate(n=Count("pk")).values("n")), 0)
    return sessions.select_related("avatar", "recording").annotate(turn_count=turns)


def session_list(
    owner: User,
    *,
    statuses: list[str] | None = None,
    avatar: str = "",
    persona: str = "",
    query: str = "",
    created_after: datetime | None = None,
    created_before: datetime | None = None,
) -> QuerySet[Session]:
    sessions = Session.objects.filter(owner=owner, erased_at=None)
    if statuses:
        sessions = sessions.filter(status__in=statuses)
    if avatar:
        sessions = sessions.filter(Q(avatar=avatar) | Q(avatar__slug=avatar))
    if persona:
        sessions = sessions.filter(Q(persona=persona) | Q(persona__slug=persona))
    if query:
        said = Turn.objects.filter(Q(text__icontains=query) | Q(heard_text__icontains=query))
        matching = said.filter(session__owner=owner).values("session")
        named = Q(avatar__name__icontains=query) | Q(persona__name__icontains=query) | Q(pk=query)
        sessions = sessions.filter(named | Q(pk__in=matching))
    if created_after:
        sessions = sessions.filter(created_at__gt=created_after)
    if created_before:
        sessions = sessions.filter(created_at__lt=created_before)
    return shown(sessions)


def not_ended(session: Session) -> Session:
    """Return the session if it can be steered. Raises `Conflict`."""
    if session.status != SessionStatus.ACTIVE:
        raise Conflict(f"This session is {session.status}.", code="session_not_active")
    return session


def sound_upload(owner_id: str, upload_id: str) -> Upload:
    """Find sound that the session's owner has uploaded. Raises `InvalidInput`."""
    rows = Upload.objects.filter(owner=owner_id, kind=UploadKind.AUDIO, expires_at__gt=timezone.now())
    upload = rows.filter(pk=upload_id).first()
    if upload is None:
        raise InvalidInput("There is no such audio upload.", code="upload_not_found", pointer="/upload")
    return upload


def recordings_visible_to(user: User) -> QuerySet[Recording]:
    recordings = Recording.objects.filter(session__erased_at=None).select_related("session")
    return recordings if user.is_staff else recordings.filter(session__owner=user)


def recording_list(
    owner: User, *, session: str = "", statuses: list[str] | None = None
) -> QuerySet[Recording]:
    """One's own recordings; those that were erased are left out unless asked for."""
    recordings = Recording.objects.filter(session__owner=owner, session__erased_at=None)
    if session:
        recordings = recordings.filter(session=session)
    if statuses:
        return recordings.filter(status__in=statuses)
    return recordings.exclude(status=RecordingStatus.ERASED)


def recording_get(user: User, recording_id: str) -> Recording:
    """Find a recording. Raises `NotFound`, for those of others too."""
    recording = recordings_visible_to(user).filter(pk=recording_id).first()
    if recording is None:
        raise NotFound("There is no such recording.", code="recording_not_found")
    return recording


def playable(recording: Recording) -> Recording:
    """Return the recording if its video can be had. Raises `Gone` or `Conflict`."""
    if recording.status == RecordingStatus.ERASED:
        raise Gone("This recording was erased.", code="recording_erased")
    if is_expired(recording):
        raise Gone("This recording has expired.", code="recording_expired")
    if recording.status != RecordingStatus.READY:
        raise Conflict(f"This recording is {recording.status}.", code="recording_not_ready")
    return recording


def is_expired(recording: Recording) -> bool:
    if recording.purged_at is not None:
        return True
    return recording.expires_at is not None and recording.expires_at <= timezone.now()
