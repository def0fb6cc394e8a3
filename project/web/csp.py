"""The content security policy of the admin pages.

The admin's own toolkit (django-unfold) evaluates its Alpine expressions with `new Function` and
sets style attributes; its pages load no inline script all the same. So the admin, and nothing
else, may evaluate code that its own files contain, and may use inline styles. Scripts still come
from this origin alone, and nobody but staff sees these pages.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase

ADMIN_PREFIX = "/admin/"
ADMIN_DIRECTIVES = {"script-src": ["'unsafe-eval'"], "style-src": ["'unsafe-inline'"]}


class AdminCspMiddleware:
    """Goes right after `csp.middleware.CSPMiddleware`, which reads what this leaves on the answer."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if iscoroutinefunction(self.get_response):
            return self._later(request)
        return self._widen(request, self.get_response(request))

    async def _later(self, request: HttpRequest) -> HttpResponseBase:
        return self._widen(request, await self.get_response(request))

    def _widen(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if request.path.startswith(ADMIN_PREFIX):
            response._csp_update = ADMIN_DIRECTIVES  # type: ignore[attr-defined]  # noqa: SLF001 - django-csp's door
        return response
