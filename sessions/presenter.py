"""A session, its recording and what was said, as JSON."""

import functools
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.utils import timezone

from generation.avatars.presenter import link
from project.accounts.models import User
from sessions import admission, ice, tokens
from sessions.knowledge.found import Passage
from sessions.knowledge.models import DocumentStatus, KnowledgeDocument
from sessions.models import Persona, Recording, RecordingStatus, Session, SessionStatus, Turn
from storage import keys
from storage.s3 import store

VIDEO_TYPE = "video/mp4"


def in_list() -> Callable[[Session], dict[str, Any]]:
    """Return `session` for the rows of one list: the queue is read once, and only if one of them waits."""
    positions = functools.cache(admission.positions)

    def row_of_list(row: Session) -> dict[str, Any]:
        return session(row, positions().get(row.pk) if row.status == SessionStatus.QUEUED else None)

    return row_of_list


def preview_url(row: Session) -> str | None:
    """The avatar as its model shows it: another one may cut its picture differently.

    After the end what the session began with may be gone; the avatar's own picture stays.
    """
    own = row.model == row.avatar.model or row.ended_at is not None
    return link(row.avatar.preview_key if own else keys.preview_beside(row.bundle_key))


def session(row: Session, position: int | None = None) -> dict[str, Any]:
    """Return the public view of a session; `turns` where the selector counted them.

    Its place in the queue is looked up where it is not given.
    """
    return {
        "id": row.pk,
        "status": row.status,
        "phase": row.phase,
        "position": position or admission.position(row),
        "end_reason": row.end_reason or None,
        "failure_message": row.failure_message or None,
        "avatar": row.avatar_id,
        "avatar_name": row.avatar.name,
        "preview_url": preview_url(row),
        "persona": row.persona_id,
        "persona_name": row.persona_snapshot.get("name") or None,
        "voice": row.voice,
        "model": row.model,
        "language": row.language,
        "providers": row.providers,
        "record": row.record,
        "may_say": row.may_say,
        "allowed_origins": row.allowed_origins,
        "max_duration_seconds": row.max_duration_seconds,
        "created_at": moment(row.created_at),
        "expires_at": moment(row.token_expires_at),
        "joined_at": moment(row.token_used_at),
        "started_at": moment(row.started_at),
        "ended_at": moment(row.ended_at),
        "duration_ms": duration_ms(row),
        "turns": getattr(row, "turn_count", 0),
        "recording": recording_brief(row),
        "warnings": row.warnings,
        "metrics": row.metrics,
        "metadata": row.metadata,
    }


def access(session_id: str, max_duration_seconds: int) -> dict[str, Any]:
    """What opens a session: told to whoever made it, and to nobody later."""
    token = tokens.make(session_id)
    return {
        "client_token": token,
        "ws_url": ws_url(session_id),
        "join_url": f"{settings.PUBLIC_URL}/live/{session_id}#{token}",
        "ice_servers": ice.servers(session_id),
        "limits": limits(max_duration_seconds),
    }


def limits(max_duration_seconds: int) -> dict[str, int]:
    return {
        "max_duration_seconds": max_duration_seconds,
        "warning_seconds": settings.LIVE_WARNING_SECONDS,
        "idle_timeout_seconds": settings.LIVE_IDLE_TIMEOUT_SECONDS,
        "connect_timeout_seconds": settings.LIVE_CONNECT_TIMEOUT_SECONDS,
        "reconnect_seconds": settings.LIVE_RECONNECT_SECONDS,
        "queue_timeout_seconds": settings.LIVE_QUEUE_TIMEOUT_SECONDS,
    }


def ws_url(session_id: str) -> str:
    parts = urlsplit(settings.PUBLIC_URL)
    scheme = "wss" if parts.scheme == "https" else "ws"
    return f"{scheme}://{parts.netloc}{parts.path}/ws/sessions/{session_id}/"


def duration_ms(row: Session) -> int | None:
    """How long it was active, so far or in all; None before."""
    if row.started_at is None:
        return None
    until = row.ended_at or timezone.now()
    return max(0, round((until - row.started_at).total_seconds() * 1000))


def turn(row: Turn) -> dict[str, Any]:
    return {
        "turn": row.number,
        "who": row.who,
        "source": row.source,
        "status": row.status,
        "text": row.text,
        "heard_text": row.heard_text if row.who == "avatar" else None,
        "start_ms": row.start_ms,
        "end_ms": row.end_ms,
        "interrupted": row.interrupted,
        "utterances": row.utterances,
        "sources": row.sources,
        "tools": row.metrics.get("tools", []),
    }


def recording_brief(row: Session) -> dict[str, Any] | None:
    found: Recording | None = getattr(row, "recording", None)
    return None if found is None else recording(found)


def recording(row: Recording) -> dict[str, Any]:
    failed = row.status == RecordingStatus.FAILED
    failure = {"code": row.failure_code, "message": row.failure_message} if failed else None
    return {
        "id": row.pk,
        "session": row.session_id,
        "status": row.status,
        "failure": failure,
        "layout": row.layout,
        "duration_ms": row.duration_ms,
        "bytes": row.bytes,
        "width": row.width,
        "height": row.height,
        "created_at": moment(row.created_at),
        "ready_at": moment(row.ready_at),
        "expires_at": moment(row.expires_at),
    }


def recording_link(row: Recording, *, inline: bool = True) -> str:
    """Sign a link to the video; its name tells which session it was."""
    name = f"{row.session_id}.mp4"
    return store().presign_get(row.key, settings.PRESIGNED_URL_SECONDS, name, VIDEO_TYPE, inline=inline)


def persona(row: Persona, reader: User) -> dict[str, Any]:
    """A persona as somebody may see it: where a shared one's tools call is for those who change it."""
    whole = row.owner_id == reader.pk or reader.is_staff
    return {
        "id": row.pk,
        "slug": row.slug,
        "name": row.name,
        "description": row.description,
        "language": row.language,
        "system_prompt": row.system_prompt,
        "greeting": row.greeting,
        "knowledge": row.knowledge,
        "apology": row.apology,
        "voice": row.voice or None,
        "max_tokens": row.max_tokens,
        "max_history_turns": row.max_history_turns,
        "max_answer_seconds": row.max_answer_seconds,
        "providers": row.providers,
        "tools": row.tools if whole else [{**one, "url": ""} if "url" in one else one for one in row.tools],
        "topics": row.topics,
        "shared": row.owner_id is None,
        "created_at": moment(row.created_at),
        "updated_at": moment(row.updated_at),
    }


def document(row: KnowledgeDocument) -> dict[str, Any]:
    failed = row.status == DocumentStatus.FAILED
    failure = {"code": row.failure_code, "message": row.failure_message} if failed else None
    return {
        "id": row.pk,
        "persona": row.persona_id,
        "name": row.name,
        "kind": row.kind,
        "bytes": row.bytes,
        "sha256": row.sha256,
        "status": row.status,
        "failure": failure,
        "pages": row.pages,
        "passages": row.passages if row.status == DocumentStatus.READY else 0,
        "embedding_model": row.embedding_model or None,
        "created_at": moment(row.created_at),
        "ready_at": moment(row.ready_at),
    }


def passage(found: Passage) -> dict[str, Any]:
    return {
        "document": found.document_id,
        "name": found.name,
        "page": found.page,
        "passage": found.index,
        "heading": found.heading or None,
        "text": found.text,
        "score": round(found.score, 4),
    }


def moment(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
