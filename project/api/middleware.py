"""What every request gets: an id, and the API's manners on every path under /api/."""

import re
import uuid
from collections.abc import Awaitable, Callable
from typing import cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponseBase
from django.utils import translation

from project import context
from project.api import problems
from project.errors import ParleyError

API_PREFIX = "/api/"
_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._-]{8,128}")

GetResponse = Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]


class Middleware:
    """A middleware for sync and async requests alike: `before`, then the rest, then `after`."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self._is_async:
            return self._call_async(request)
        early = self.before(request)
        response = early or cast("HttpResponseBase", self.get_response(request))
        return self.after(request, response)

    async def _call_async(self, request: HttpRequest) -> HttpResponseBase:
        early = self.before(request)
        response = early or await cast("Awaitable[HttpResponseBase]", self.get_response(request))
        return self.after(request, response)

    def before(self, request: HttpRequest) -> HttpResponseBase | None:
        """Prepare the request, or answer it at once."""

    def after(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:  # noqa: ARG002
        return response


class RequestIdMiddleware(Middleware):
    """Gives every request an id (the caller's own where it is decent) and returns it.

    It also refuses NUL characters in addresses: PostgreSQL cannot compare with them, and nothing
    of ours has one in its name.
    """

    def before(self, request: HttpRequest) -> HttpResponseBase | None:
        offered = request.headers.get("X-Request-Id", "")
        request_id = offered if _ACCEPTABLE_ID.fullmatch(offered) else uuid.uuid4().hex
        request.request_id = request_id  # type: ignore[attr-defined]
        context.note(request_id=request_id)
        if "\x00" in request.path_info or "%00" in request.META.get("QUERY_STRING", ""):
            return problems.respond(request, 400, "bad_request", "The address holds a NUL character.")
        return None

    def after(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        response.headers["X-Request-Id"] = request.request_id  # type: ignore[attr-defined]
        return response


class ApiMiddleware(Middleware):
    """Under /api/: texts are English, answers are not stored, our errors become problems."""

    def before(self, request: HttpRequest) -> HttpResponseBase | None:
        if request.path_info.startswith(API_PREFIX):
            translation.activate("en")
        return None

    def after(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if request.path_info.startswith(API_PREFIX):
            response.headers.setdefault("Cache-Control", "no-store")
            for name, value in getattr(request, "rate_limit_headers", {}).items():
                response.headers[name] = value
        return response

    def process_exception(self, request: HttpRequest, exc: Exception) -> HttpResponseBase | None:
        """Answer for plain views; those of REST framework never get here."""
        if isinstance(exc, ParleyError) and request.path_info.startswith(API_PREFIX):
            return problems.respond_to(request, exc)
        return None
