"""Counts every request by its route, never by its address."""

import time

from django.http import HttpRequest, HttpResponseBase

from project.api.middleware import Middleware
from project.metrics import instruments

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NO_ROUTE = "none"


class CountingMiddleware(Middleware):
    """Stands first, so that it sees what all others answer. A stream is counted when it begins."""

    def before(self, request: HttpRequest) -> HttpResponseBase | None:
        request.began = time.perf_counter()  # type: ignore[attr-defined]
        return None

    def after(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        route = request.resolver_match.route if request.resolver_match is not None else NO_ROUTE
        method = request.method if request.method in METHODS else "other"
        instruments.http_requests.labels(method, route or "/", str(response.status_code)).inc()
        took = time.perf_counter() - request.began  # type: ignore[attr-defined]
        instruments.http_seconds.labels(route or "/").observe(took)
        return response
