"""Commands of REST requests to the host of a session, wherever that is.

Requests run in threads. A session hosted by this very process is reached through its event loop,
so that a broker that is away does not matter; any other through the host's inbox.
"""

import asyncio
import json
import secrets
import time
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, Protocol, cast

import redis
from django.conf import settings
from django.utils import timezone

from project.errors import Conflict, NotFound, ParleyError, Unavailable
from sessions.models import Session, SessionStatus
from sessions.runtime.broker import INBOX_LIMIT, INBOX_SECONDS, inbox_key, reply_key
from sessions.runtime.relay import encode

SECONDS = 2.0
Reply = dict[str, Any]


class HostUnreachable(ParleyError):
    """The process that holds the session did not answer in time (504)."""

    code = "host_unreachable"
    status = 504


class Near(Protocol):
    """The sessions of this process, as a thread sees them."""

    process_id: str
    loop: asyncio.AbstractEventLoop

    async def command(self, session_id: str, kind: str, payload: Reply) -> Reply: ...


# The registry of this process, once it hosts anything.
_near: list[Near] = []


def serve(near: Near) -> None:
    _near.append(near)


def unserve(near: Near) -> None:
    if near in _near:
        _near.remove(near)


def send(session_id: str, kind: str, payload: Reply, timeout: float = SECONDS) -> Reply:
    """Have the session's host do something and return its answer.

    Raises Conflict (`session_not_active`), HostUnreachable after `timeout` seconds, and whatever
    the host refuses the command with. Called from threads, never on an event loop.
    """
    host = _host(session_id, kind)
    for near in _near:
        if near.process_id == host:
            return _ask_near(near, session_id, kind, payload, timeout)
    return _ask_far(host, session_id, kind, payload, timeout)


def _host(session_id: str, kind: str) -> str:
    row = Session.objects.filter(pk=session_id).values_list("status", "host", "host_lease_until").first()
    if row is None:
        raise NotFound("There is no such session.")
    status, host, until = row
    if status != SessionStatus.ACTIVE and not (kind == "end" and status == SessionStatus.QUEUED):
        raise Conflict(f"The session is {status}.", code="session_not_active")
    if not host or until is None:
        raise Conflict("Nobody is connected to the session.", code="session_not_active")
    if until < timezone.now():
        raise HostUnreachable("The process that holds the session is gone; it comes back with its client.")
    return str(host)


def _ask_near(near: Near, session_id: str, kind: str, payload: Reply, timeout: float) -> Reply:
    asked = asyncio.run_coroutine_threadsafe(near.command(session_id, kind, payload), near.loop)
    try:
        return asked.result(timeout)
    except FutureTimeoutError:
        asked.cancel()
        raise HostUnreachable("The session did not answer in time.") from None


def _ask_far(host: str, session_id: str, kind: str, payload: Reply, timeout: float) -> Reply:
    request = secrets.token_hex(12)
    payload = payload | {"deadline": time.time() + timeout}  # what comes later is not carried out
    message = encode(
        {"op": "command", "session": session_id, "type": kind, "payload": payload, "request": request}
    )
    try:
        answer = _exchange(host, request, message, timeout)
    except redis.RedisError as error:
        raise HostUnreachable("The process that holds the session cannot be reached.") from error
    if answer is None:
        raise HostUnreachable("The session did not answer in time.")
    return unwrap(json.loads(answer))


def _exchange(host: str, request: str, message: bytes, timeout: float) -> bytes | None:
    key = inbox_key(host)
    with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=timeout, socket_connect_timeout=1) as client:
        with client.pipeline(transaction=False) as pipe:
            pipe.rpush(key, message).ltrim(key, -INBOX_LIMIT, -1).expire(key, INBOX_SECONDS)
            pipe.execute()
        found = client.blpop([reply_key(request)], timeout)
    return None if found is None else cast("tuple[bytes, bytes]", found)[1]


# --- How an answer travels ------------------------------------------------------------------

_ERRORS: dict[int, type[ParleyError]] = {404: NotFound, 409: Conflict, 503: Unavailable, 504: HostUnreachable}


def wrap(answer: Reply | ParleyError) -> Reply:
    if isinstance(answer, ParleyError):
        return {"error": {"status": answer.status, "code": answer.code, "detail": str(answer)}}
    return {"ok": answer}


def unwrap(wrapped: Reply) -> Reply:
    """Return the answer, or raise the error that it is."""
    error = wrapped.get("error")
    if error is None:
        return cast("Reply", wrapped["ok"])
    kind = _ERRORS.get(error["status"], Conflict)
    raise kind(error["detail"], code=error["code"])
