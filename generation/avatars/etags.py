"""Entity tags of avatars: a digest of what is stored, how its preparations are, and the time slot of
the links in the answer.

Links expire and preparations go on, so an earlier tag no longer says "unchanged" to a reader; a writer
who sends it with If-Match is still right as long as the digest is.
"""

import hashlib
import json
import time
from typing import Any

from django.conf import settings
from rest_framework.request import Request

from generation.avatars.models import Avatar
from project.errors import InvalidInput

_STORED = [f.attname for f in Avatar._meta.concrete_fields if not f.name.startswith("lease")]


def etag(avatar: Avatar) -> str:
    return f'"{_digest(avatar)}-{_states(avatar)}-{_slot()}"'


def unchanged(request: Request, avatar: Avatar) -> bool:
    """Whether If-None-Match names what we would send."""
    return etag(avatar) in _tags(request.headers.get("If-None-Match", "").replace("W/", ""))


def check_match(request: Request, avatar: Avatar) -> None:
    """Refuse (412) when If-Match is given and somebody else has changed the avatar since."""
    told = request.headers.get("If-Match")
    if told is None or told.strip() == "*":
        return
    if _digest(avatar) not in {tag.strip('"').partition("-")[0] for tag in _tags(told)}:
        raise InvalidInput(
            "Somebody changed this avatar since you read it. Read it again.",
            code="precondition_failed",
            status=412,
        )


def require_match(request: Request, avatar: Avatar) -> None:
    """As `check_match`, and If-Match must be there (428)."""
    if "If-Match" not in request.headers:
        raise InvalidInput(
            "Send the ETag you read as If-Match (or *).", code="precondition_required", status=428
        )
    check_match(request, avatar)


def _digest(avatar: Avatar) -> str:
    values = {name: getattr(avatar, name) for name in _STORED}
    values["models"] = sorted(row.model for row in avatar.preparations.all())
    return _hash(values)[:24]


def _states(avatar: Avatar) -> str:
    """What changes by itself: how far the preparations for further models are."""
    rows = [[r.model, r.status, r.progress, r.version, r.failure_code] for r in avatar.preparations.all()]
    return _hash(sorted(rows))[:8]


def _hash(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, default=str, sort_keys=True).encode()).hexdigest()


def _slot() -> int:
    return int(time.time() // (settings.PRESIGNED_URL_SECONDS / 2))


def _tags(header: str) -> set[str]:
    return {tag.strip() for tag in header.split(",")}
