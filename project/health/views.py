"""`/livez`, `/readyz`, `/metrics`."""

import hmac
import logging

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from project.health import checks
from project.metrics import page

_log = logging.getLogger(__name__)


@never_cache
@require_safe
def livez(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 - a view's signature
    """The process answers; nothing else is asked."""
    return HttpResponse("ok\n", content_type="text/plain")


@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """503 while a part is away. Which one, and why, only for whoever holds the token."""
    results = checks.run()
    ready = all(check.ok for check in results)
    body: dict[str, object] = {"status": "ready" if ready else "not_ready"}
    if _holds(request, settings.HEALTH_TOKEN):
        body["checks"] = {
            check.name: {"ok": check.ok, "took_ms": check.took_ms, "error": check.error or None}
            for check in results
        }
    return JsonResponse(body, status=200 if ready else 503)


@never_cache
@require_safe
def metrics_page(request: HttpRequest) -> HttpResponse:
    if not _holds(request, settings.METRICS_TOKEN):
        return HttpResponse(
            "A metrics token is needed.\n",
            status=401,
            content_type="text/plain",
            headers={"WWW-Authenticate": 'Bearer realm="metrics"'},
        )
    try:
        return HttpResponse(page.render(), content_type=page.MEDIA_TYPE)
    except OSError as error:
        # Half of the figures would look as if counters had begun anew.
        _log.warning("No figures: %s", error)
        return HttpResponse("The figures cannot be read now.\n", status=503, content_type="text/plain")


def _holds(request: HttpRequest, token: str) -> bool:
    """Whether the request bears `token`; an unset token opens nothing."""
    scheme, _, offered = request.headers.get("Authorization", "").partition(" ")
    if not token or scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(offered.strip().encode(), token.encode())
