"""One shape for everything that goes wrong: RFC 9457 `application/problem+json`.

`exception_handler` serves REST framework's views, `respond` everything else (middleware, plain
views, the handlers of project/urls.py), and both build the same body:

    type, title, status, detail, instance, code, request_id   and, where fields are to blame,
    errors: [{pointer, code, detail}]                         pointer is a JSON Pointer

`code` is the part that programs may rely on; texts may change.
"""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from django.core.exceptions import BadRequest, PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.http.request import UnreadablePostError
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import set_rollback

from project.errors import FieldError, InvalidInput, LimitReached, NotFound, ParleyError, Unavailable

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
# RFC 9110's names where Python's table still has older ones.
_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}
_CODES = {
    "parse_error": "malformed_body",
    "permission_denied": "not_allowed",
    "throttled": "rate_limited",
}

# Django's exceptions and ours; the first match counts.
_OURS: tuple[tuple[type[Exception], ParleyError], ...] = (
    (Http404, NotFound("There is no such thing.")),
    (RequestDataTooBig, InvalidInput("The body is too large.", code="body_too_large", status=413)),
    (UnreadablePostError, InvalidInput("The body ended early.", code="body_incomplete")),
    (SuspiciousOperation, InvalidInput("The request cannot be used.", code="bad_request")),
    (BadRequest, InvalidInput("The request cannot be used.", code="bad_request")),
)


def title(status: int) -> str:
    return _TITLES.get(status) or HTTPStatus(status).phrase


def body(
    status: int,
    code: str,
    detail: str,
    *,
    instance: str | None = None,
    request_id: str | None = None,
    errors: Sequence[FieldError] = (),
    **extra: Any,
) -> dict[str, Any]:
    """Build the members of a problem; None among `extra` is left out."""
    problem: dict[str, Any] = {
        "type": f"urn:parley:problem:{code}",
        "title": title(status),
        "status": status,
        "detail": detail or title(status),
        "instance": instance,
        "code": code,
        "request_id": request_id,
        **extra,
    }
    if errors:
        problem["errors"] = [asdict(error) for error in errors]
    return {name: value for name, value in problem.items() if value is not None}


def respond(
    request: HttpRequest,
    status: int,
    code: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    errors: Sequence[FieldError] = (),
    **extra: Any,
) -> HttpResponse:
    """Answer outside REST framework's views."""
    problem = body(status, code, detail, errors=errors, **{**extra, **_where(request)})
    return HttpResponse(json.dumps(problem), status=status, content_type=MEDIA_TYPE, headers=headers)


def respond_to(request: HttpRequest, error: ParleyError) -> HttpResponse:
    """Answer a plain view (sync or async) that met one of our own errors."""
    headers, extra = _extras(error)
    return respond(request, error.status, error.code, str(error), headers=headers, **extra)


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Turn an exception of a REST framework view into a problem; None leaves it a 500."""
    request: Request = context["request"]
    exc = _translate(exc)
    if isinstance(exc, ParleyError):
        headers, extra = _extras(exc)
        return _answer(request, exc.status, exc.code, str(exc), headers, **extra)
    if isinstance(exc, exceptions.ValidationError):
        errors = list(field_errors(exc.get_full_details()))
        detail = errors[0].detail if len(errors) == 1 else "Some fields cannot be used."
        return _answer(request, 400, "invalid", detail, errors=errors)
    if isinstance(exc, exceptions.APIException):
        return _api_exception(request, exc)
    return None


def field_errors(details: Any, pointer: str = "") -> Iterator[FieldError]:
    """Walk REST framework's nested details and name each wrong field by its JSON Pointer."""
    if isinstance(details, dict) and set(details) == {"message", "code"}:
        yield FieldError(pointer, str(details["code"]), str(details["message"]))
    elif isinstance(details, dict):
        for name, inner in details.items():
            own = name == "non_field_errors"
            yield from field_errors(inner, pointer if own else f"{pointer}/{_escape(str(name))}")
    elif isinstance(details, list):
        for index, inner in enumerate(details):
            leaf = isinstance(inner, dict) and set(inner) == {"message", "code"}
            yield from field_errors(inner, pointer if leaf else f"{pointer}/{index}")


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _translate(exc: Exception) -> Exception:
    """Give Django's own exceptions a place in our tree."""
    if isinstance(exc, OperationalError):
        logger.error("The database did not answer", exc_info=exc)
        return Unavailable("The database is busy or away. Please try again.")
    if isinstance(exc, PermissionDenied):
        return exceptions.PermissionDenied()
    return next((ours for theirs, ours in _OURS if isinstance(exc, theirs)), exc)


def _api_exception(request: Request, exc: exceptions.APIException) -> Response:
    code = exc.get_codes()
    name = code if isinstance(code, str) else "invalid"
    headers: dict[str, str] = {}
    extra: dict[str, Any] = {}
    if challenge := getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if isinstance(exc, exceptions.MethodNotAllowed):
        headers["Allow"] = ", ".join(_allowed(request))
    if isinstance(exc, exceptions.Throttled):
        headers["Retry-After"] = str(max(1, int(getattr(exc, "wait", None) or 1)))
        extra["violated-policies"] = ["requests"]
        detail = "Too many requests in a short time. Please wait a moment."
    else:
        detail = str(exc.detail)
    if detail.startswith("CSRF Failed"):
        name = "csrf_failed"
    return _answer(request, exc.status_code, _CODES.get(name, name), detail, headers, **extra)


def _allowed(request: Request) -> list[str]:
    view = request.parser_context.get("view") if request.parser_context else None
    return list(getattr(view, "allowed_methods", []))


def _extras(error: ParleyError) -> tuple[dict[str, str], dict[str, Any]]:
    """The headers and the additional members that an error of ours carries."""
    retry_after = getattr(error, "retry_after", None)
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    extra: dict[str, Any] = {}
    if isinstance(error, InvalidInput):
        extra["errors"] = error.errors
    if isinstance(error, LimitReached):
        extra |= {"limit": error.limit, "used": error.used}
    return headers, extra


def _answer(
    request: Request,
    status: int,
    code: str,
    detail: str,
    headers: Mapping[str, str] | None = None,
    **extra: Any,
) -> Response:
    set_rollback()
    where = _where(request._request)  # noqa: SLF001 - DRF's own door
    problem = body(status, code, detail, **{**extra, **where})
    return Response(problem, status=status, headers=dict(headers or {}), content_type=MEDIA_TYPE)


def _where(request: HttpRequest) -> dict[str, str | None]:
    return {"instance": request.path, "request_id": getattr(request, "request_id", None)}
