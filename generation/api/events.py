"""Progress of a clip as server-sent events."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import cast

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException, NotAuthenticated
from rest_framework.request import Request
from rest_framework.settings import api_settings

from generation.clips import presenter, selectors, states
from generation.clips.models import Clip
from generation.clips.watching import hub, in_database
from project.accounts.models import User
from project.accounts.permissions import holds
from project.api import problems
from project.errors import NotAllowed, ParleyError

HEARTBEAT_SECONDS = 12.0
RETRY_MS = 1000
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@csrf_exempt  # it changes nothing, and other methods shall hear 405 as everywhere in the API
async def clip_events(request: HttpRequest, clip_id: str) -> HttpResponseBase:
    """Stream `clip.progress` and then how the clip ended; the id of an event is the clip's revision.

    A browser that reconnects says the last id it saw, and gets what is new since, if anything is.
    """
    if request.method != "GET":
        return problems.respond(request, 405, "method_not_allowed", "Only GET.", headers={"Allow": "GET"})
    try:
        clip = await in_database(lambda: selectors.clip_get(_caller(request), clip_id))
    except ParleyError as error:
        return problems.respond_to(request, error)
    except APIException as error:
        challenge = {"WWW-Authenticate": 'Bearer realm="Parley"'} if error.status_code == 401 else {}
        code = str(error.get_codes())
        return problems.respond(request, error.status_code, code, str(error.detail), headers=challenge)
    seen = _last_seen(request)
    if clip.status in states.TERMINAL and seen >= clip.revision:
        # The end was told; 204 is how a server tells an EventSource not to come back.
        return HttpResponse(status=204, headers=HEADERS)
    stream = _events(clip, seen)
    return StreamingHttpResponse(stream, content_type="text/event-stream", headers=HEADERS)


def _authenticators() -> list[BaseAuthentication]:
    # Settings name classes; REST framework has imported them, which its types do not tell.
    classes = cast("list[type[BaseAuthentication]]", api_settings.DEFAULT_AUTHENTICATION_CLASSES)
    return [authentication() for authentication in classes]


def _caller(request: HttpRequest) -> User:
    """Authenticate as REST framework's views do; this one cannot be one of them, being async."""
    asked = Request(request, authenticators=_authenticators())
    if not asked.user.is_authenticated:
        raise NotAuthenticated
    if not holds(asked, "clips:read"):
        raise NotAllowed("This API key lacks the scope clips:read.", code="missing_scope")
    return asked.user


async def _events(clip: Clip, seen: int) -> AsyncIterator[bytes]:
    yield f"retry: {RETRY_MS}\n\n".encode()
    current: Clip | None = clip
    with hub().watching(clip.pk) as changed:
        while current is not None:
            if current.revision > seen:
                seen = current.revision
                yield _event(current)
            if current.status in states.TERMINAL:
                return
            while not await _set_within(changed, HEARTBEAT_SECONDS):
                yield b": still here\n\n"
            changed.clear()
            current = await in_database(lambda: Clip.objects.filter(pk=clip.pk).first())


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


def _event(clip: Clip) -> bytes:
    kind = clip.status if clip.status in states.TERMINAL else "progress"
    data = json.dumps(presenter.clip(clip), ensure_ascii=False, separators=(",", ":"))
    return f"id: {clip.revision}\nevent: clip.{kind}\ndata: {data}\n\n".encode()


def _last_seen(request: HttpRequest) -> int:
    raw = request.headers.get("Last-Event-ID") or request.GET.get("last_event_id", "")
    return int(raw) if raw.isascii() and raw.isdigit() and len(raw) < 19 else -1
