"""The pages; their scripts call the same REST API that customers use, with the login session."""

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from project.accounts.models import Role, User
from project.accounts.scopes import SCOPES, grantable


@require_safe
@never_cache
@login_required
@ensure_csrf_cookie
def home(request: HttpRequest) -> HttpResponse:
    context = {"page": "studio", "max_characters": settings.MAX_SCRIPT_CHARACTERS}
    return render(request, "studio/home.html", context)


@require_safe
@never_cache
@login_required
@ensure_csrf_cookie
def account(request: HttpRequest) -> HttpResponse:
    staff = isinstance(request.user, User) and request.user.is_staff
    scopes = [(scope, SCOPES[scope]) for scope in grantable(is_staff=staff)]
    role = Role(request.user.role).label if isinstance(request.user, User) else ""
    return render(request, "studio/account.html", {"page": "account", "scopes": scopes, "role": role})


@require_safe
@never_cache
@login_required
@ensure_csrf_cookie
def models(request: HttpRequest) -> HttpResponse:
    """What draws the pictures, and how busy it is."""
    return render(request, "studio/models.html", {"page": "models"})


@require_safe
@never_cache
@login_required
@ensure_csrf_cookie
def providers(request: HttpRequest) -> HttpResponse:
    """How the providers are: for staff."""
    if not (isinstance(request.user, User) and request.user.is_staff):
        raise PermissionDenied
    return render(request, "studio/providers.html", {"page": "providers"})
