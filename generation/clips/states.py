"""Where a clip may go from where it is. The database decides who moved it."""

from typing import Any

from django.db.models import F
from django.utils import timezone

from generation.clips.models import Clip, ClipStatus

_NEXT: dict[str, frozenset[str]] = {
    ClipStatus.QUEUED: frozenset({ClipStatus.RUNNING, ClipStatus.FAILED, ClipStatus.CANCELED}),
    ClipStatus.RUNNING: frozenset({ClipStatus.SUCCEEDED, ClipStatus.FAILED, ClipStatus.CANCELED}),
    ClipStatus.SUCCEEDED: frozenset(),
    ClipStatus.FAILED: frozenset(),
    ClipStatus.CANCELED: frozenset(),
}
UNFINISHED = frozenset(status for status, targets in _NEXT.items() if targets)
TERMINAL = frozenset(_NEXT) - UNFINISHED


def may_become(current: str, target: str) -> bool:
    return target in _NEXT[current]


def move(clip_id: str, target: ClipStatus, **changes: Any) -> bool:
    """Move a clip to `target` together with `changes`; False when it was not in a state to go there."""
    sources = [current for current in _NEXT if may_become(current, target)]
    if target in TERMINAL:
        changes.setdefault("finished_at", timezone.now())
        changes |= {"lease_token": "", "lease_until": None, "next_attempt_at": None}
    rows = Clip.objects.filter(pk=clip_id, status__in=sources)
    return rows.update(status=target, revision=F("revision") + 1, **changes) == 1
