"""The OpenAPI document, and the page that shows it."""

import functools
import hashlib
import json
import threading

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer

MEDIA_TYPE = "application/vnd.oai.openapi+json"
# Swagger UI writes a few style attributes; the page loads no inline script, and nothing from afar.
_STYLES = {"style-src": ["'unsafe-inline'"]}
_MAKING = threading.Lock()


@require_safe
def schema(request: HttpRequest) -> HttpResponse:
    """Answer with OpenAPI 3.1 as JSON; made once per process."""
    raw, etag = document()
    if request.headers.get("If-None-Match") == etag:
        return HttpResponse(status=304, headers={"ETag": etag})
    return HttpResponse(raw, content_type=MEDIA_TYPE, headers={"ETag": etag, "Cache-Control": "no-cache"})


def document() -> tuple[bytes, str]:
    """The document and its entity tag."""
    # Its generator loads extensions at first use: two threads that do so at once break each other.
    with _MAKING:
        return _made()


@functools.cache
def _made() -> tuple[bytes, str]:
    described = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    raw: bytes = OpenApiJsonRenderer().render(described, renderer_context={})
    return raw, f'"{hashlib.sha256(raw).hexdigest()[:32]}"'


@require_safe
def docs(request: HttpRequest) -> HttpResponseBase:
    response = render(request, "api/docs.html")
    response._csp_update = _STYLES  # type: ignore[attr-defined]  # noqa: SLF001 - django-csp's own door
    return response


def as_dict() -> dict[str, object]:
    """The document as a value, for tests and tools."""
    described: dict[str, object] = json.loads(document()[0])
    return described
