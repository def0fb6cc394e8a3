"""Telling the owner's servers what happened, in the transaction that made it happen."""

from typing import Any

from django.conf import settings
from django.db import transaction

from project.webhooks import services as webhooks
from sessions.models import EndReason, Recording, Session
from sessions.presenter import duration_ms, moment


def session_ended(session: Session) -> None:
    webhooks.publish(session.owner, "session.ended", session_payload(session))


@transaction.atomic
def session_handover(session_id: str, reason: str) -> None:
    """Tell the owner's servers that a customer wants a human, or needs one."""
    session = Session.objects.select_related("owner").get(pk=session_id)
    webhooks.publish(session.owner, "session.handover", handover_payload(session, reason))


def recording_ready(recording: Recording) -> None:
    webhooks.publish(recording.session.owner, "recording.ready", recording_payload(recording))


def session_payload(session: Session) -> dict[str, Any]:
    """Say what happened, thinly: the transcript and fresh links are asked for with a key."""
    recording = Recording.objects.filter(session=session).first()
    return {
        "id": session.pk,
        "status": session.status,
        "end_reason": session.end_reason,
        "url": f"{settings.PUBLIC_URL}/api/v1/sessions/{session.pk}",
        "avatar": session.avatar_id,
        "persona": session.persona_id,
        "created_at": moment(session.created_at),
        "started_at": moment(session.started_at),
        "ended_at": moment(session.ended_at),
        "duration_ms": duration_ms(session),
        "turns": session.turns.count(),
        "recording": recording.pk if recording is not None else None,
        # What is erased is not told to anybody on the way out.
        "metadata": {} if session.end_reason == EndReason.ERASED else session.metadata,
    }


def handover_payload(session: Session, reason: str) -> dict[str, Any]:
    url = f"{settings.PUBLIC_URL}/api/v1/sessions/{session.pk}"
    return {
        "id": session.pk,
        "status": session.status,
        "reason": reason,
        "url": url,
        "transcript_url": f"{url}/transcript",
        "avatar": session.avatar_id,
        "persona": session.persona_id,
        "started_at": moment(session.started_at),
        "turns": session.turns.count(),
        "metadata": session.metadata,
    }


def recording_payload(recording: Recording) -> dict[str, Any]:
    return {
        "id": recording.pk,
        "session": recording.session_id,
        "status": recording.status,
        "url": f"{settings.PUBLIC_URL}/api/v1/recordings/{recording.pk}",
        "duration_ms": recording.duration_ms,
        "bytes": recording.bytes,
        "expires_at": moment(recording.expires_at),
        "metadata": recording.session.metadata,
    }
