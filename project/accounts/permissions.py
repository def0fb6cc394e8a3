"""Who may call a view.

A view declares the scope that each method needs:

    required_scopes = {"GET": "clips:read", "POST": "clips:write"}

None as the scope means "any signed-in caller". A view that declares nothing is closed, so that a
forgotten line is seen at once. Login sessions have every scope of their account; API keys have
theirs. Staff-only views add `IsStaff` (or the function `require_staff` inside one method).
"""

from typing import TYPE_CHECKING

from rest_framework.exceptions import NotAuthenticated
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from project.accounts.models import ApiKey, User
from project.accounts.scopes import STAFF_SCOPES
from project.errors import NotAllowed

if TYPE_CHECKING:  # REST framework imports this module while its views are being made
    from rest_framework.views import APIView


class HasScope(BasePermission):
    """The caller is signed in, and the key (if it is one) holds the scope of this method."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        if not request.user.is_authenticated:
            return False
        method = "GET" if request.method == "HEAD" else request.method or ""
        if method == "OPTIONS" or not hasattr(view, method.lower()):
            return True  # the view will say which methods it has
        scopes: dict[str, str | None] = getattr(view, "required_scopes", {})
        if method not in scopes:
            raise NotAllowed("This call is not open to anybody.", code="not_allowed")
        scope = scopes[method]
        if scope in STAFF_SCOPES:
            require_staff(request)
        if not holds(request, scope):
            raise NotAllowed(f"This API key lacks the scope {scope}.", code="missing_scope")
        return True


class IsStaff(HasScope):
    """As `HasScope`, and the account is an operator's or an admin's."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        if not request.user.is_authenticated:
            return False
        require_staff(request)
        return super().has_permission(request, view)


def require_staff(request: Request) -> None:
    """Raise NotAllowed unless an operator or an admin is calling."""
    if not getattr(request.user, "is_staff", False):
        raise NotAllowed("Only staff accounts may do this.", code="staff_only")


def caller(request: Request) -> User:
    """The signed-in user, as a type that is no visitor."""
    if not isinstance(request.user, User):
        raise NotAuthenticated
    return request.user


def holds(request: Request, scope: str | None) -> bool:
    """Whether the caller's key holds `scope`; a login session holds all of them."""
    return scope is None or not isinstance(request.auth, ApiKey) or scope in request.auth.scopes
