"""The console of staff: every conversation that is going on, how it fares, and a way to end it."""

import logging
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, Subquery
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_POST, require_safe

from project.accounts.models import User
from project.errors import ParleyError
from sessions import presenter, services, states
from sessions.models import EndReason, Session, Turn
from sessions.runtime import commands

logger = logging.getLogger(__name__)

MOST = 200


@require_safe
@never_cache
@login_required
@ensure_csrf_cookie
def page(request: HttpRequest) -> HttpResponse:
    _staff(request)
    return render(request, "live/console.html", {"page": "console", "places": settings.LIVE_MAX_SESSIONS})


@require_safe
@never_cache
@login_required
def running(request: HttpRequest) -> HttpResponse:
    """The conversations that are not over, oldest first."""
    _staff(request)
    rows = Session.objects.filter(status__in=states.UNFINISHED).select_related("avatar", "owner")
    measured = Turn.objects.filter(session=OuterRef("pk")).exclude(metrics={}).order_by("-number")
    # The figures of the last measured turn come along: of a long conversation one row is read.
    shown = rows.annotate(figures=Subquery(measured.values("metrics")[:1])).order_by("created_at")[:MOST]
    return JsonResponse({"results": [_row(row, row.figures or {}) for row in shown]})


@require_POST
@login_required
def end(request: HttpRequest, session_id: str) -> HttpResponse:
    """End a conversation through its host; where that does not answer, in the database."""
    user = _staff(request)
    try:
        commands.send(session_id, "end", {"reason": EndReason.ADMIN_ENDED})
    except ParleyError:
        services.session_end(session_id, EndReason.ADMIN_ENDED)
    logger.info("%s was ended by %s", session_id, user.pk)
    return HttpResponse(status=204)


def _staff(request: HttpRequest) -> User:
    if not isinstance(request.user, User) or not request.user.is_staff:
        raise PermissionDenied
    return request.user


def _row(session: Session, metrics: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": session.pk,
        "owner": session.owner.email,
        "avatar_name": session.avatar.name,
        "status": session.status,
        "phase": session.phase,
        "created_at": presenter.moment(session.created_at),
        "started_at": presenter.moment(session.started_at),
        "seen_at": presenter.moment(session.last_seen_at),
        "host": session.host,
        "warnings": session.warnings,
        "metrics": {name: figure for name, figure in metrics.items() if name != "stages"},
    }
