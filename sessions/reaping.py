"""Ends sessions that nobody ends: a page that was closed, a host that died, a place that came too late.

A host watches over its sessions itself; this is for those that have none, and for a host that forgot.
One pass looks at every state a session can be stuck in, and each end is conditional on what was seen
still being so.
"""

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from sessions import admission, states
from sessions.models import EndReason, Session, SessionStatus
from sessions.services import session_end

AT_ONCE = 500

_log = logging.getLogger(__name__)


def reap() -> int:
    """Do one pass; return how many sessions were ended."""
    if not Session.objects.filter(status__in=states.UNFINISHED).exists():
        return 0
    ended = 0
    for reason, stuck in _stuck(timezone.now()):
        rows = Session.objects.filter(stuck, status__in=states.UNFINISHED)
        for session_id in rows.values_list("pk", flat=True)[:AT_ONCE]:
            ended += session_end(session_id, reason, still=stuck)
    ended += _reap_too_long()
    admission.admit()
    if ended:
        _log.info("%d sessions were reaped", ended)
    return ended


def _stuck(now: datetime) -> Iterator[tuple[EndReason, Q]]:
    """Every state that nobody would leave, and the reason it ends for."""
    patience = now - timedelta(seconds=settings.LIVE_RECONNECT_SECONDS)
    # A host acts first; we only come when it did not.
    grace = timedelta(seconds=settings.LIVE_LEASE_SECONDS)
    never_joined = Q(token_used_at=None, token_expires_at__lt=now)
    yield EndReason.CONNECT_TIMEOUT, never_joined
    # Let in, and never taken by a host: the socket broke between the two.
    yield EndReason.CONNECT_TIMEOUT, Q(token_used_at__lt=patience, host_lease_until=None)
    # The host gave it up in order and nobody came back, or it died.
    yield EndReason.DISCONNECTED, Q(host="", host_lease_until__lt=patience)
    yield EndReason.HOST_LOST, ~Q(host="") & Q(host_lease_until__lt=patience)
    queued = now - timedelta(seconds=settings.LIVE_QUEUE_TIMEOUT_SECONDS)
    yield EndReason.QUEUE_TIMEOUT, Q(status=SessionStatus.QUEUED, queued_at__lt=queued)
    connecting = now - timedelta(seconds=settings.LIVE_CONNECT_TIMEOUT_SECONDS) - grace
    no_media = Q(status=SessionStatus.ACTIVE, media_origin_at=None, started_at__lt=connecting)
    yield EndReason.CONNECT_TIMEOUT, no_media


def _reap_too_long() -> int:
    """End what talks longer than it may; each session has a limit of its own."""
    now = timezone.now()
    grace = timedelta(seconds=settings.LIVE_LEASE_SECONDS)
    active = Session.objects.filter(status=SessionStatus.ACTIVE, started_at__lt=now - grace)
    ended = 0
    for session in active.only("pk", "started_at", "max_duration_seconds"):
        if session.started_at is None:
            continue
        if session.started_at + timedelta(seconds=session.max_duration_seconds) + grace < now:
            ended += session_end(session.pk, EndReason.MAX_DURATION)
    return ended
