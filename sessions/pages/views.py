"""The pages of live sessions. What they show comes over the public REST API and the WebSocket.

A call needs no login: its token is in the fragment of the address, which no server ever sees, and
`info` tells whoever holds it what they are about to join, before anything is joined or recorded.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt, ensure_csrf_cookie
from django.views.decorators.http import require_http_methods, require_safe

from project.api import problems
from project.errors import ParleyError
from sessions import presenter, services, wishes
from sessions.models import Session

View = Callable[..., HttpResponseBase]


def reaching_the_socket(view: View) -> View:
    """Let the page open its WebSocket: older browsers do not count ws: as 'self'."""

    @wraps(view)
    def widened(*args: Any, **kwargs: Any) -> HttpResponseBase:
        response = view(*args, **kwargs)
        address = presenter.ws_url("").partition("/ws/")[0]
        response._csp_update = {"connect-src": [address]}  # type: ignore[attr-defined]  # noqa: SLF001 - django-csp's door
        return response

    return widened


@require_safe
@never_cache
@login_required
@ensure_csrf_cookie
def gallery(request: HttpRequest) -> HttpResponse:
    return render(request, "live/gallery.html", {"page": "live", "consent": settings.RECORDING_CONSENT})


@require_safe
@never_cache
@reaching_the_socket
def call(request: HttpRequest, session_id: str) -> HttpResponse:
    """The same page for every session there is or is not: only a token can tell them apart."""
    return render(request, "live/call.html", {"session_id": session_id})


@csrf_exempt
@require_http_methods(["GET", "OPTIONS"])
@never_cache
def info(request: HttpRequest, session_id: str) -> HttpResponse:
    """What a client token opens. Does not use the token up; other sites may ask if they may join."""
    if request.method == "OPTIONS":
        # Says nothing about the session: the answer to the question itself decides.
        return _for_sites(HttpResponse(status=204), request.headers.get("Origin"))
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    try:
        session = services.session_of_token(session_id, token.strip() if scheme.lower() == "bearer" else "")
        services.check_origin(session, request.headers.get("Origin"))
    except ParleyError as error:
        # Sites may read why: it tells nothing about a session that they could not open.
        return _for_sites(problems.respond_to(request, error), request.headers.get("Origin"))
    answer = JsonResponse(facts(session) | {"yours": request.user.pk == session.owner_id})
    return _for_sites(answer, wishes.origin(request.headers.get("Origin", "")))


def facts(session: Session) -> dict[str, Any]:
    avatar = session.avatar
    return {
        "id": session.pk,
        "status": session.status,
        "avatar": {
            "name": avatar.name,
            "preview_url": presenter.preview_url(session),
            "width": session.width,
            "height": session.height,
        },
        "persona": session.persona_snapshot.get("name") or None,
        "language": session.language,
        "record": session.record,
        "consent": session.consent if session.record else "",
        "may_say": session.may_say,
        "limits": presenter.limits(session.max_duration_seconds),
    }


def _for_sites(response: HttpResponse, origin: str | None) -> HttpResponse:
    response.headers["Vary"] = "Origin"
    if origin:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Allow-Headers"] = "Authorization"
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


@require_safe
@never_cache
@login_required
@ensure_csrf_cookie
def history(request: HttpRequest) -> HttpResponse:
    return render(request, "live/history.html", {"page": "sessions"})


@require_safe
@never_cache
@login_required
@ensure_csrf_cookie
def detail(request: HttpRequest, session_id: str) -> HttpResponse:
    """The page asks the API for the session, and says so where there is none."""
    return render(request, "live/detail.html", {"page": "sessions", "session_id": session_id})


@require_safe
@never_cache
@login_required
@ensure_csrf_cookie
def latency(request: HttpRequest, session_id: str) -> HttpResponse:
    """As a conversation's page: whose it is, the API knows."""
    return render(request, "live/latency.html", {"page": "sessions", "session_id": session_id})


@require_safe
@never_cache
@login_required
@ensure_csrf_cookie
def personas(request: HttpRequest) -> HttpResponse:
    return render(request, "live/personas.html", {"page": "personas"})


@require_safe
@never_cache
@login_required
@ensure_csrf_cookie
def persona(request: HttpRequest, persona_id: str) -> HttpResponse:
    """As a conversation's page: it asks the API whether there is such a persona. `new` makes one."""
    return render(request, "live/persona.html", {"page": "personas", "persona_id": persona_id})
