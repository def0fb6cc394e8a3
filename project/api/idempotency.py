"""`Idempotency-Key`: a POST that is sent twice is done once.

For a view whose whole work is a short transaction, decorate the method:

    class KeysView(APIView):
        @idempotent
        def post(self, request: Request) -> Response: ...

A view that first does something slow (resolves a name, decodes a file) keeps that out of the
transaction, and answers a repeated request before it:

    def post(self, request: Request) -> Response:
        if (answer := replay(request)) is not None:
            return answer
        body = self.validated(request)                              # slow
        return once(request, lambda: self.create(request, body))    # short, in one transaction

What callers are promised (docs/api.md):

* The key counts per account and address, for 24 hours. `"quoted"` and bare keys are the same.
* The answer is stored in the transaction that does the work: after a crash there is both or neither.
* The same key with another body: 422 `idempotency_key_reused`.
* The same key while the first request is still at work: 409 `idempotency_in_progress`.
* A replay carries `Idempotency-Replayed: true`.
* Only answers below 500 are kept, and none of 401, 403, 409, 429. A request that failed by an
  exception did nothing, so its key may be used again, also with a corrected body.

PostgreSQL serialises by an advisory lock on the key. On SQLite only one transaction writes at a
time: another process's request waits for the first one and then replays its answer; one in this
process is told 409 at once.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from django.db import connection, transaction
from django.http import QueryDict
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from project.accounts.permissions import caller
from project.api.models import IdempotencyRecord
from project.errors import Conflict, InvalidInput

KEEP = timedelta(hours=24)
MAX_KEY_LENGTH = 255
_NOT_KEPT = frozenset({401, 403, 409, 429})
_KEPT_HEADERS = ("Location", "Retry-After", "ETag")

P = ParamSpec("P")
V = TypeVar("V")
_at_work: set[str] = set()
_at_work_lock = threading.Lock()


def idempotent(
    method: Callable[Concatenate[V, Request, P], Response],
) -> Callable[Concatenate[V, Request, P], Response]:
    """Run a view's method at most once per key, in one transaction."""

    @wraps(method)
    def wrapped(view: V, request: Request, /, *args: P.args, **kwargs: P.kwargs) -> Response:
        return once(request, lambda: method(view, request, *args, **kwargs))

    return wrapped


def replay(request: Request) -> Response | None:
    """The answer that this request got before; None when it is new or has no key."""
    key = _key(request)
    if key is None:
        return None
    record = _records(request, key).filter(expires_at__gt=timezone.now()).first()
    return None if record is None else _replayed(record, fingerprint(request))


def once(request: Request, work: Callable[[], Response]) -> Response:
    """Do `work` in a transaction and keep its answer, unless it was done before."""
    key = _key(request)
    if key is None:
        with transaction.atomic():
            return work()
    with _alone(f"{request.user.pk} {_route(request)} {key}"), transaction.atomic():
        _lock(request, key)
        if (answer := replay(request)) is not None:
            return answer
        response = work()
        if response.status_code < 500 and response.status_code not in _NOT_KEPT:
            _keep(request, key, response)
        return response


def fingerprint(request: Request) -> str:
    """A hash of what was asked; two spellings of the same JSON have the same one."""
    digest = hashlib.sha256()
    if isinstance(request.data, QueryDict):
        for name, values in sorted(request.data.lists()):
            digest.update(json.dumps([name, [_of_value(value) for value in values]]).encode())
    else:
        digest.update(json.dumps(request.data, sort_keys=True).encode())
    return digest.hexdigest()


def expire() -> int:
    """Forget old answers; called by the periodic clean-up."""
    return IdempotencyRecord.objects.filter(expires_at__lte=timezone.now()).delete()[0]


def _of_value(value: Any) -> str:
    """A form's text, or the hash of an uploaded file."""
    if isinstance(value, str):
        return value
    digest = hashlib.sha256()
    for chunk in value.chunks():
        digest.update(chunk)
    value.seek(0)
    return digest.hexdigest()


def _key(request: Request) -> str | None:
    raw = request.headers.get("Idempotency-Key")
    if raw is None:
        return None
    key = raw.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if not key or len(key) > MAX_KEY_LENGTH or not (key.isascii() and key.isprintable()):
        raise InvalidInput(
            f"Idempotency-Key must be 1 to {MAX_KEY_LENGTH} printable ASCII characters.",
            code="invalid_idempotency_key",
        )
    return key


def _route(request: Request) -> str:
    return f"{request.method} {request.path}"


def _records(request: Request, key: str) -> Any:
    return IdempotencyRecord.objects.filter(owner_id=request.user.pk, route=_route(request), key=key)


def _replayed(record: IdempotencyRecord, asked: str) -> Response:
    if record.fingerprint != asked:
        raise InvalidInput(
            "This idempotency key was used for another request.", code="idempotency_key_reused", status=422
        )
    headers = {**record.headers, "Idempotency-Replayed": "true"}
    return Response(record.body, status=record.status, headers=headers)


def _keep(request: Request, key: str, response: Response) -> None:
    # Rendered and read back, so that a replay has the very same JSON (dates as text, and so on).
    renderer = request.accepted_renderer
    body = None if response.data is None else json.loads(renderer.render(response.data))
    _records(request, key).delete()  # an expired one
    IdempotencyRecord.objects.create(
        owner=caller(request),
        route=_route(request),
        key=key,
        fingerprint=fingerprint(request),
        status=response.status_code,
        body=body,
        headers={name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers},
        expires_at=timezone.now() + KEEP,
    )


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Refuse a second request with this name inside this process."""
    with _at_work_lock:
        if name in _at_work:
            raise _in_progress()
        _at_work.add(name)
    try:
        yield
    finally:
        with _at_work_lock:
            _at_work.discard(name)


def _lock(request: Request, key: str) -> None:
    """On PostgreSQL, hold the key until the transaction ends, or refuse."""
    if connection.vendor != "postgresql":
        return
    digest = hashlib.sha256(f"{request.user.pk} {_route(request)} {key}".encode()).digest()
    number = int.from_bytes(digest[:8], "big", signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [number])
        (taken,) = cursor.fetchone()
    if not taken:
        raise _in_progress()


def _in_progress() -> Conflict:
    return Conflict("The first request with this key is still at work.", code="idempotency_in_progress")
