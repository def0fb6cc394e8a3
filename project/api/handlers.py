"""Answers for what no view answered: problems under /api/, pages elsewhere."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template import loader
from django.template.exceptions import TemplateDoesNotExist

from project.api import problems
from project.api.middleware import API_PREFIX

_DETAILS = {
    400: ("bad_request", "The request cannot be used."),
    403: ("not_allowed", "You may not do this."),
    404: ("not_found", "There is no such thing."),
    500: ("internal_error", "Something went wrong on our side. It was logged under this request id."),
}


def bad_request(request: HttpRequest, exception: Any = None) -> HttpResponse:  # noqa: ARG001 - Django's signature
    return _answer(request, 400)


def forbidden(request: HttpRequest, exception: Any = None) -> HttpResponse:  # noqa: ARG001 - Django's signature
    return _answer(request, 403)


def not_found(request: HttpRequest, exception: Any = None) -> HttpResponse:  # noqa: ARG001 - Django's signature
    return _answer(request, 404)


def server_error(request: HttpRequest) -> HttpResponse:
    return _answer(request, 500)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001
    return _answer(
        request, 403, ("csrf_failed", "The form was open for too long. Go back, reload, try again.")
    )


def _answer(request: HttpRequest, status: int, words: tuple[str, str] | None = None) -> HttpResponse:
    code, detail = words or _DETAILS[status]
    if request.path.startswith(API_PREFIX):
        return problems.respond(request, status, code, detail)
    context = {"status": status, "title": problems.title(status), "detail": detail}
    try:
        page = loader.render_to_string(f"{status}.html", context)
    except TemplateDoesNotExist:
        return HttpResponse(f"{problems.title(status)}. {detail}\n", status=status, content_type="text/plain")
    return HttpResponse(page, status=status)
