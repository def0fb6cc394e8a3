"""Writes that mean something to a session: beginning, joining, ending, what was said.

Everything here is synchronous and short; the runtime calls it from its own threads. What belongs to
hosting and to the queue is in `sessions.hosting` and `sessions.admission`, and can be had from here.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import Error, transaction
from django.db.models import Q
from django.http.request import validate_host
from django.utils import timezone

from project import context
from project.accounts import allowances
from project.accounts.models import User
from project.errors import Conflict, Gone, NotAllowed
from project.ids import new_id
from sessions import admission, announcements, hooks, states, tokens, wishes
from sessions.hosting import (
    Standing,
    close_turns,
    host_claim,
    host_of,
    host_release,
    hosts_renew,
    standing,
    standing_of,
)
from sessions.models import (
    EndReason,
    Phase,
    Recording,
    RecordingStatus,
    Session,
    SessionStatus,
    Turn,
)
from sessions.wishes import Order

__all__ = [
    "Created",
    "Standing",
    "host_claim",
    "host_of",
    "host_release",
    "hosts_renew",
    "session_accept",
    "session_activate",
    "session_end",
    "session_media_started",
    "session_note",
    "session_of_token",
    "session_open",
    "session_phase",
    "standing",
    "turn_save",
]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Created:
    """A new session and the token that opens it."""

    session: Session
    client_token: str


def session_accept(owner: User, order: Order) -> Created:
    """Write a checked order down, within the owner's allowance. Raises `LimitReached`.

    Called in a transaction.
    """
    allowances.check_concurrent_sessions(owner, count=lambda: running(owner))
    left = allowances.check_session_minutes(owner)
    columns = order.columns | {"max_duration_seconds": min(order.columns["max_duration_seconds"], left)}
    session = Session(id=new_id("ses"), owner=owner, **columns)
    token = tokens.make(session.pk)
    session.token_hash = tokens.digest(token)
    session.token_expires_at = timezone.now() + timedelta(seconds=settings.LIVE_TOKEN_SECONDS)
    session.save(force_insert=True)
    return Created(session, token)


def running(owner: User) -> int:
    """Count the sessions of this owner that are not over."""
    return Session.objects.filter(owner=owner, status__in=states.UNFINISHED).count()


def session_of_token(session_id: str, token: str) -> Session:
    """Find the session that a token opens, without using the token. Raises `NotAllowed` or `Gone`."""
    session = Session.objects.filter(pk=session_id, erased_at=None).select_related("avatar").first()
    if not tokens.opens(token, session) or session is None:
        raise NotAllowed("This token does not open this session.", code="token_invalid")
    if session.status == SessionStatus.ENDED:
        raise Gone("This session has ended.", code="session_ended")
    if session.token_used_at is None and session.token_expires_at <= timezone.now():
        raise Gone("This token was not used in time.", code="token_expired")
    return session


def session_open(session_id: str, token: str, origin: str | None = None) -> Session:
    """Let a client in, and mark its token as used. Raises `NotAllowed` or `Gone`.

    `origin` is what a browser says where its page comes from; other programs say nothing.
    """
    session = session_of_token(session_id, token)
    check_origin(session, origin)
    if session.token_used_at is None:
        now = timezone.now()
        fresh = Session.objects.filter(pk=session_id, token_used_at=None, token_expires_at__gt=now)
        fresh.update(token_used_at=now)
        return session_of_token(session_id, token)
    return session


def check_origin(session: Session, origin: str | None) -> None:
    """Raise `NotAllowed` where a page of this origin may not use the session."""
    if origin is None:
        return
    asking = wishes.origin(origin)
    if asking is None or not (asking in session.allowed_origins or _is_ours(asking)):
        raise NotAllowed("Pages of this origin may not use this session.", code="forbidden_origin")


def _is_ours(origin: str) -> bool:
    """Say whether this is our own page, under whichever of the names that it is served by."""
    public = urlsplit(settings.PUBLIC_URL)
    ours = urlsplit(wishes.origin(f"{public.scheme}://{public.netloc}") or "")
    asking = urlsplit(origin)
    if (asking.scheme, asking.port) != (ours.scheme, ours.port):
        return False
    names = [name for name in settings.ALLOWED_HOSTS if name != "*"]
    host = f"[{asking.hostname}]" if ":" in (asking.hostname or "") else asking.hostname or ""
    return host == ours.hostname or validate_host(host, names)


def session_activate(session_id: str, fence: int) -> Standing:
    """Ask for a place: the answer is `active`, or `queued` with a position, or `ended`.

    May be asked again at any time. Raises `Conflict` (`lease_lost`) where another host has it.
    """
    if not admission.enter(session_id, fence):
        raise Conflict("Another process hosts this session.", code="lease_lost")
    return standing_of(Session.objects.get(pk=session_id))


def session_media_started(session_id: str, fence: int, at: datetime) -> datetime | None:
    """Fix zero of the timeline, once; returns what it is. None when the fence is an old one."""
    rows = Session.objects.filter(pk=session_id, fence=fence)
    rows.filter(media_origin_at=None).update(media_origin_at=at)
    return rows.values_list("media_origin_at", flat=True).first()


def session_phase(session_id: str, fence: int, phase: Phase | str) -> bool:
    """Say what the session is doing. False when the fence is an old one, or when it has ended."""
    rows = Session.objects.filter(pk=session_id, fence=fence, status__in=states.UNFINISHED)
    return rows.update(phase=phase) == 1


def session_note(session_id: str, fence: int, **notes: Any) -> bool:
    """Write down `last_seq`, `warnings` or `metrics`, also of a session that has just ended."""
    unknown = set(notes) - {"last_seq", "warnings", "metrics"}
    if unknown:
        raise TypeError(f"Not a note: {', '.join(sorted(unknown))}")
    return Session.objects.filter(pk=session_id, fence=fence, erased_at=None).update(**notes) == 1


def session_end(
    session_id: str,
    reason: EndReason | str,
    *,
    fence: int | None = None,
    failure_message: str = "",
    still: Q | None = None,
) -> bool:
    """End a session, once: books what it used, tells the owner's webhooks, frees its place.

    With `fence` only the host that holds this number ends it; with `still` only while that is true.
    False when it had ended already.
    """
    with transaction.atomic():
        told = {"phase": Phase.IDLE, "failure_message": failure_message[:500]}
        if not states.end(session_id, EndReason(reason), fence=fence, still=still, **told):
            return False
        session = Session.objects.select_related("owner").get(pk=session_id)
        close_turns(session_id)
        seconds = used_seconds(session)
        if seconds:
            allowances.add_session_seconds(session.owner, seconds)
        recording = Recording.objects.filter(session=session).first()
        if recording is not None:
            states.move_recording(recording.pk, RecordingStatus.ASSEMBLING)
        hooks.session_ended(session)
        announcements.session_ended(session)
        admission.admit()
    with context.about(session=session_id):
        _tell(session)
    return True


def _tell(session: Session) -> None:
    """Log that it is over. That is so also where the database is away by now and its turns are unknown."""
    try:
        facts = _facts(session)
    except Error as error:
        facts = {"reason": session.end_reason}
        _log.warning("The facts of a session cannot be told: %s", type(error).__name__)
    _log.info("The session is over", extra=context.facts(**facts))


def _facts(session: Session) -> dict[str, Any]:
    """What its line in the log tells of a session that is over."""
    turns = Turn.objects.filter(session=session).values_list("who", flat=True)
    told = {name: session.metrics.get(name) for name in ("webrtc_first_frame_ms", "av_drift_ms")}
    return {
        "reason": session.end_reason,
        "model": session.model,
        "seconds": used_seconds(session),
        "turns": len(turns),
        "answers": sum(who == "avatar" for who in turns),
        "warnings": ",".join(session.warnings) or None,
        **told,
    }


def used_seconds(session: Session) -> int:
    """Return for how long there was a conversation. What a lost host left behind does not count."""
    if session.started_at is None or session.ended_at is None:
        return 0
    until = session.ended_at
    if session.end_reason == EndReason.HOST_LOST and session.last_seen_at is not None:
        until = min(until, session.last_seen_at)
    return max(0, round((until - session.started_at).total_seconds()))


def turn_save(session_id: str, number: int, *, fence: int | None = None, **fields: Any) -> bool:
    """Write a turn down, or more of it. The first time `who` has to be told.

    False when nothing may be written any more: another host has the session, or it was erased.
    """
    with transaction.atomic():
        rows = Session.objects.filter(pk=session_id, erased_at=None)
        if fence is not None:
            rows = rows.filter(fence=fence)
        if not rows.exists():
            return False
        if not Turn.objects.filter(session=session_id, number=number).update(**fields):
            Turn.objects.create(session_id=session_id, number=number, **fields)
    return True
