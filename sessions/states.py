"""Where a session and a recording may go from where they are. The database decides who moved them."""

from typing import Any

from django.db.models import Q
from django.utils import timezone

from sessions.models import EndReason, Recording, RecordingStatus, Session, SessionStatus

_NEXT: dict[str, frozenset[str]] = {
    SessionStatus.CREATED: frozenset({SessionStatus.QUEUED, SessionStatus.ACTIVE, SessionStatus.ENDED}),
    SessionStatus.QUEUED: frozenset({SessionStatus.ACTIVE, SessionStatus.ENDED}),
    SessionStatus.ACTIVE: frozenset({SessionStatus.ENDED}),
    SessionStatus.ENDED: frozenset(),
}
UNFINISHED = frozenset(status for status, targets in _NEXT.items() if targets)

_RECORDING_NEXT: dict[str, frozenset[str]] = {
    RecordingStatus.RECORDING: frozenset(
        {RecordingStatus.ASSEMBLING, RecordingStatus.FAILED, RecordingStatus.ERASED}
    ),
    RecordingStatus.ASSEMBLING: frozenset(
        {RecordingStatus.READY, RecordingStatus.FAILED, RecordingStatus.ERASED}
    ),
    RecordingStatus.READY: frozenset({RecordingStatus.ERASED}),
    RecordingStatus.FAILED: frozenset({RecordingStatus.ASSEMBLING, RecordingStatus.ERASED}),
    RecordingStatus.ERASED: frozenset(),
}


def may_become(current: str, target: str) -> bool:
    return target in _NEXT[current]


def move(
    session_id: str,
    target: SessionStatus,
    *,
    fence: int | None = None,
    still: Q | None = None,
    **changes: Any,
) -> bool:
    """Move a session to `target` together with `changes`; False when it was not in a state to go there.

    With `fence`, only the host that holds this number moves it; with `still`, only while that is true.
    """
    sources = [current for current in _NEXT if may_become(current, target)]
    rows = Session.objects.filter(still or Q(), pk=session_id, status__in=sources)
    if fence is not None:
        rows = rows.filter(fence=fence)
    return rows.update(status=target, **changes) == 1


def end(session_id: str, reason: EndReason, **changes: Any) -> bool:
    """Move a session to its end, with the conditions of `move`; False when it had ended already."""
    over: dict[str, Any] = {
        "ended_at": timezone.now(),
        "end_reason": reason,
        "host": "",
        "host_lease_until": None,
    }
    return move(session_id, SessionStatus.ENDED, **over, **changes)


def recording_may_become(current: str, target: str) -> bool:
    return target in _RECORDING_NEXT[current]


def move_recording(recording_id: str, target: RecordingStatus, **changes: Any) -> bool:
    """Move a recording to `target`; False when it was not in a state to go there."""
    sources = [current for current in _RECORDING_NEXT if recording_may_become(current, target)]
    rows = Recording.objects.filter(pk=recording_id, status__in=sources)
    return rows.update(status=target, **changes) == 1
