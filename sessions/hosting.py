"""Which web process hosts a session: a lease of a few seconds, fenced by a number that grows.

A host renews all its sessions with one call. Whoever claims a session whose lease has lapsed gets the
next number; every write of the former host names an older one and changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Case, F, Q, When
from django.utils import timezone

from sessions import admission, states
from sessions.models import Session, SessionStatus, Speaker, Turn, TurnStatus


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a session stands; `position` is its place in the queue, from 1, while it waits."""

    status: str
    position: int | None = None
    end_reason: str = ""
    started_at: datetime | None = None
    max_duration_seconds: int = 0


def standing(session_id: str) -> Standing | None:
    """Read where a session stands; None when there is none."""
    session = Session.objects.filter(pk=session_id).first()
    return None if session is None else standing_of(session)


def standing_of(session: Session, position: int | None = None) -> Standing:
    """Say where a session stands; its place in the queue is looked up where it is not given."""
    return Standing(
        session.status,
        position or admission.position(session),
        session.end_reason,
        session.started_at,
        session.max_duration_seconds,
    )


def host_claim(session_id: str, host: str) -> int | None:
    """Become the host of a session that has none; returns the fence, or None when it is not to be had.

    The same host may claim again, and gets a new number.
    """
    free = Q(host="") | Q(host=host) | Q(host_lease_until__lt=timezone.now())
    with transaction.atomic():
        rows = Session.objects.filter(free, pk=session_id, status__in=states.UNFINISHED)
        if not rows.update(host=host, host_lease_until=_until(), fence=F("fence") + 1, last_seen_at=_now()):
            return None
        close_turns(session_id)
        return Session.objects.values_list("fence", flat=True).get(pk=session_id)


def close_turns(session_id: str) -> None:
    """Close what nobody goes on with; what the avatar had not finished saying was interrupted."""
    interrupted = Case(When(who=Speaker.AVATAR, then=True), default=F("interrupted"))
    open_turns = Turn.objects.filter(session=session_id, status=TurnStatus.OPEN)
    open_turns.update(status=TurnStatus.DONE, interrupted=interrupted)


def hosts_renew(host: str, fences: Mapping[str, int]) -> dict[str, Standing]:
    """Go on hosting all of these at once (session id -> fence).

    Returns where each stands that is still ours; one that is missing has another host, or has ended.
    """
    ours = Session.objects.filter(pk__in=fences, host=host, status__in=states.UNFINISHED)
    ours.update(host_lease_until=_until(), last_seen_at=_now())
    kept = [session for session in ours if session.fence == fences[session.pk]]
    waiting = any(session.status == SessionStatus.QUEUED for session in kept)
    positions = admission.positions() if waiting else {}
    return {session.pk: standing_of(session, positions.get(session.pk)) for session in kept}


def host_release(session_id: str, host: str, fence: int) -> bool:
    """Give a session up in order, so that another process can take it at once."""
    rows = Session.objects.filter(pk=session_id, host=host, fence=fence, status__in=states.UNFINISHED)
    # The moment stays: from it on, the reaper counts how long nobody has come back.
    return rows.update(host="", host_lease_until=_now()) == 1


def host_of(session_id: str) -> str | None:
    """Return the process that hosts a session now; None when none does."""
    rows = Session.objects.filter(pk=session_id, host_lease_until__gt=_now(), status__in=states.UNFINISHED)
    return rows.exclude(host="").values_list("host", flat=True).first()


def _now() -> datetime:
    return timezone.now()


def _until() -> datetime:
    return timezone.now() + timedelta(seconds=settings.LIVE_LEASE_SECONDS)
