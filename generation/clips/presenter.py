"""A clip as JSON: for REST, for server-sent events and for the Studio page."""

import time
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import timezone

from generation.clips import tokens
from generation.clips.models import Clip, ClipStatus
from storage.s3 import store

# What a name in the result is called when it is saved.
FILES = {"video": "mp4", "poster": "jpg", "srt": "srt", "vtt": "vtt"}
TYPES = {"video": "video/mp4", "poster": "image/jpeg", "srt": "application/x-subrip", "vtt": "text/vtt"}


def clip(row: Clip) -> dict[str, Any]:
    """Return the public view of a clip. Links in it are good for an hour or so."""
    return {
        "id": row.pk,
        "status": row.status,
        "stage": row.stage or None,
        "progress": row.progress,
        "fragments": {"total": row.fragments_total, "done": row.fragments_done},
        "avatar": row.avatar_id,
        "voice": row.voice or None,
        "model": row.model,
        "script": row.script or None,
        "speed": row.speed,
        "aspect_ratio": row.aspect_ratio or None,
        "captions": row.captions,
        "providers": row.providers,
        "estimated_ms": row.estimated_ms,
        "created_at": _moment(row.created_at),
        "started_at": _moment(row.started_at),
        "finished_at": _moment(row.finished_at),
        "cancel_requested_at": _moment(row.cancel_requested_at),
        "failure": failure(row),
        "warnings": row.warnings,
        "result": _result(row),
        "preview_url": _preview_url(row),
        "metadata": row.metadata,
    }


def failure(row: Clip) -> dict[str, str] | None:
    if row.status != ClipStatus.FAILED:
        return None
    return {"code": row.failure_code, "message": row.failure_message}


def etag(row: Clip) -> str:
    """Change whenever the clip's JSON does; its links are renewed every quarter of their life."""
    age = int(time.time() // max(settings.PRESIGNED_URL_SECONDS // 4, 1)) if _has_links(row) else 0
    return f'"{row.revision}.{age}"'


def link(row: Clip, kind: str, *, inline: bool = True) -> str:
    """Sign a link to one file of a finished clip; `kind` is one of FILES."""
    key = {"video": row.video_key, "poster": row.poster_key, "srt": row.srt_key, "vtt": row.vtt_key}[kind]
    name = f"{row.pk}.{FILES[kind]}"
    return store().presign_get(key, settings.PRESIGNED_URL_SECONDS, name, TYPES[kind], inline=inline)


def _result(row: Clip) -> dict[str, Any] | None:
    if row.status != ClipStatus.SUCCEEDED:
        return None
    gone = is_expired(row)
    links = {f"{kind}_url": None if gone else link(row, kind) for kind in FILES}
    return links | {
        "duration_ms": row.duration_ms,
        "width": row.width,
        "height": row.height,
        "fps": 25,
        "bytes": row.bytes,
        "expires_at": _moment(row.expires_at),
    }


def is_expired(row: Clip) -> bool:
    return row.purged_at is not None or (row.expires_at is not None and row.expires_at <= timezone.now())


def _has_links(row: Clip) -> bool:
    return row.status == ClipStatus.SUCCEEDED or row.fragments_done > 0


def _preview_url(row: Clip) -> str | None:
    watchable = row.status in (ClipStatus.RUNNING, ClipStatus.SUCCEEDED) and row.fragments_done > 0
    if not watchable or is_expired(row):
        return None
    return f"{settings.PUBLIC_URL}/api/v1/clips/{row.pk}/preview.m3u8?token={tokens.preview(row.pk)}"


def _moment(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
