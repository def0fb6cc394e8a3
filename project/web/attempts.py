"""Sign-in attempts: so many from an address, so many for an account, and then a pause.

Many guesses at one account, from wherever, are slowed down by its name; guesses at many accounts by the
address they come from. Whoever gets in leaves no guesses behind at the account.
"""

import hashlib
import math
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render

from project.api import throttling

PER_ADDRESS = 60
ADDRESS_SECONDS = 300
PER_ACCOUNT = 10
ACCOUNT_SECONDS = 600

View = Callable[..., HttpResponseBase]


def limited(view: View) -> View:
    """Refuse further attempts at this sign-in page, with 429 and a page that says for how long."""

    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method != "POST":
            return view(request, *args, **kwargs)
        if seconds := wait_seconds(request):
            return refused(request, seconds)
        answer = view(request, *args, **kwargs)
        if answer.status_code == 302:  # signed in, and sent on
            throttling.limiter().forget(_account(request))
        return answer

    return wrapped


def wait_seconds(request: HttpRequest) -> int:
    """Count this attempt; return for how long to wait before the next, 0 where it may go on."""
    address = f"sign-in:address:{request.META.get('REMOTE_ADDR') or 'unknown'}"
    counters = ((address, PER_ADDRESS, ADDRESS_SECONDS), (_account(request), PER_ACCOUNT, ACCOUNT_SECONDS))
    for key, limit, window in counters:
        decision = throttling.limiter().take(key, limit=limit, window_seconds=window)
        if decision is not None and not decision.allowed:
            return max(1, decision.retry_after)
    return 0


def refused(request: HttpRequest, seconds: int) -> HttpResponse:
    words = f"{seconds} seconds" if seconds < 90 else f"{math.ceil(seconds / 60)} minutes"
    answer = render(
        request, "web/429.html", {"status": 429, "title": "Too many attempts", "wait": words}, status=429
    )
    answer["Retry-After"] = str(seconds)
    return answer


def _account(request: HttpRequest) -> str:
    """The counter of an account, whether or not there is one; hashed, to be short and nobody's address."""
    name = request.POST.get("username", "").strip().lower()
    return f"sign-in:account:{hashlib.sha256(name.encode()).hexdigest()[:32]}"
