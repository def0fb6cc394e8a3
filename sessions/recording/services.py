"""What happens to recordings outside their assembly."""

from django.utils import timezone

from sessions.models import Recording, RecordingStatus, Session
from workers import dispatch


def session_ended(session: Session) -> None:
    """Have the recording joined; called in the transaction that ends the session."""
    rows = Recording.objects.filter(session=session, status=RecordingStatus.ASSEMBLING)
    for recording_id in rows.values_list("pk", flat=True):
        rows.update(enqueued_at=timezone.now())
        dispatch.recording(recording_id)
