"""What a stack holds when all is over: rows, objects, and what lies in the broker, as one JSON text.

Runs inside the service's own environment (`manage.py shell`), so that it reads whatever database, storage and
broker the service uses. It writes nothing.
"""

import json
import sys
from typing import Any

import redis
from django.apps import apps
from django.conf import settings
from django.db.models import CharField, Model

from generation.clips.models import Clip, ClipFragment
from project import celery
from project.webhooks.models import Delivery
from sessions.models import Recording, Session, Turn
from storage.s3 import store
from workers import dispatch

MARK = "FACTS "
# The states in which somebody has to be at work on a row, or will have to be.
UNFINISHED = frozenset(
    (
        *("queued", "running", "preparing", "pending", "created", "active", "open"),
        *("recording", "assembling", "deleting"),
    )
)
KEYS_AT_ONCE = 1000
SIZES = {"list": "llen", "stream": "xlen", "hash": "hlen", "zset": "zcard", "set": "scard"}

CLIP = (
    *("id", "status", "stage", "failure_code", "fragments_total", "fragments_done", "attempts", "retries"),
    *("duration_ms", "video_key", "poster_key", "srt_key", "vtt_key"),
)
FRAGMENT = ("clip_id", "index", "start_frame", "frames", "status", "key", "bytes", "attempts")
DELIVERY = ("id", "event_id", "event_type", "status", "attempts", "error", "url")
SESSION = ("id", "status", "end_reason", "host", "record", "fence", "warnings", "metrics")
TURN = (
    *("session_id", "number", "who", "source", "status", "text", "heard_text", "start_ms", "end_ms"),
    "interrupted",
)
RECORDING = ("id", "session_id", "status", "failure_code", "duration_ms", "bytes", "key", "attempts")


def tell() -> None:
    """Print everything as one line."""
    sys.stdout.write(MARK + json.dumps(facts(), default=str) + "\n")


def facts() -> dict[str, Any]:
    return {
        "clips": _rows(Clip, CLIP, "created_at"),
        "fragments": _rows(ClipFragment, FRAGMENT, "clip_id", "index"),
        "deliveries": [
            {**row, "subject": json.loads(body)["data"]["id"]}
            for row, body in zip(
                _rows(Delivery, DELIVERY, "id"),
                Delivery.objects.order_by("id").values_list("body", flat=True),
                strict=True,
            )
        ],
        "sessions": _sessions(),
        "turns": _rows(Turn, TURN, "session_id", "number"),
        "recordings": _rows(Recording, RECORDING, "created_at"),
        "unfinished": unfinished(),
        "leases": leases(),
        "ids": _ids(),
        "objects": {found.key: found.size for found in store().list("")},
        **_broker(),
    }


def _rows(model: type[Model], names: tuple[str, ...], *order: str) -> list[dict[str, Any]]:
    return list(model._default_manager.order_by(*order).values(*names))


def _sessions() -> list[dict[str, Any]]:
    rows = _rows(Session, SESSION, "created_at")
    origins = dict(Session.objects.values_list("pk", "media_origin_at"))
    return [{**row, "origin": origin.timestamp() if (origin := origins[row["id"]]) else None} for row in rows]


def unfinished() -> list[list[str]]:
    """Every row of any table whose state somebody should be working on: [table, id, state]."""
    found = []
    for model in apps.get_models():
        # Of an answer that is kept, the status is a number.
        if not any(each.name == "status" and isinstance(each, CharField) for each in model._meta.fields):
            continue
        rows = model._default_manager.filter(status__in=UNFINISHED)
        if model is ClipFragment:  # of a cancelled clip they are nobody's work any more
            rows = rows.filter(clip__status__in=UNFINISHED)
        found += [[model._meta.label, str(pk), str(state)] for pk, state in rows.values_list("pk", "status")]
    return found


def leases() -> list[list[str]]:
    """Every row that somebody holds: [table, id]."""
    found = []
    for model in apps.get_models():
        names = {each.name for each in model._meta.get_fields()}
        if "lease_token" in names:
            rows = model._default_manager.exclude(lease_token="")
            found += [[model._meta.label, str(pk)] for pk in rows.values_list("pk", flat=True)]
    hosted = Session.objects.exclude(host="").values_list("pk", flat=True)
    return found + [["host of", pk] for pk in hosted]


def _ids() -> dict[str, list[str]]:
    """The ids of rows that own objects, by the prefix of their keys."""
    owners = {
        "clips": "generation.Clip",
        "uploads": "generation.Upload",
        "avatars": "generation.Avatar",
        "sessions": "live.Session",
        "clones": "generation.ClonedVoice",
        "documents": "live.KnowledgeDocument",
    }
    return {
        prefix: [str(pk) for pk in apps.get_model(label)._default_manager.values_list("pk", flat=True)]
        for prefix, label in owners.items()
    }


def _broker() -> dict[str, Any]:
    with redis.Redis.from_url(settings.REDIS_URL) as broker:
        keys = []
        for name in broker.scan_iter(count=KEYS_AT_ONCE):
            kind = broker.type(name).decode()
            size = SIZES.get(kind)
            length = getattr(broker, size)(name) if size else 1
            keys.append([name.decode(errors="replace"), kind, length, broker.ttl(name)])
    return {"keys": keys, "queues": {queue: dispatch.depth(queue) for queue in celery.queues()}}
