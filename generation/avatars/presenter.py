"""An avatar as clients see it."""

from typing import Any

from django.conf import settings

from generation.avatars.models import Avatar, AvatarStatus
from generation.avatars.selectors import Prepared, models_of, preparations
from storage import s3


def avatar_json(avatar: Avatar) -> dict[str, Any]:
    """All fields of the contract. Links are signed afresh, which costs no round trip."""
    failed = avatar.status == AvatarStatus.FAILED
    failure = {"code": avatar.failure_code, "message": avatar.failure_message} if failed else None
    return {
        "id": avatar.pk,
        "slug": avatar.slug,
        "name": avatar.name,
        "description": avatar.description,
        "status": avatar.status,
        "progress": avatar.progress,
        "failure": failure,
        "models": models_of(avatar),
        "preparations": [_preparation(made) for made in preparations(avatar)],
        "default_voice": avatar.default_voice or None,
        "preview_url": link(avatar.preview_key),
        "idle_url": link(avatar.idle_key),
        "width": avatar.width,
        "height": avatar.height,
        "fps": avatar.fps,
        "has_alpha": avatar.has_alpha,
        "ai_disclosure": avatar.ai_disclosure,
        "shared": avatar.owner_id is None,
        "mouth_box": avatar.mouth_box or avatar.findings.get("mouth_box"),
        "mouth_box_corrected": avatar.mouth_box is not None,
        "warnings": avatar.findings.get("warnings", []),
        "consent": _consent(avatar),
        "metadata": {
            name: value for name, value in avatar.metadata.items() if name not in ("imported", "builtin")
        },
        "version": avatar.version,
        "created_at": _moment(avatar.created_at),
        "updated_at": _moment(avatar.updated_at),
    }


def _preparation(made: Prepared) -> dict[str, Any]:
    failed = made.status == AvatarStatus.FAILED
    return {
        "model": made.model,
        "status": made.status,
        "progress": made.progress,
        "failure": {"code": made.failure_code, "message": made.failure_message} if failed else None,
        "width": made.width,
        "height": made.height,
        "has_alpha": made.has_alpha,
    }


def link(key: str) -> str | None:
    return s3.store().presign_get(key, settings.PRESIGNED_URL_SECONDS) if key else None


def _consent(avatar: Avatar) -> dict[str, Any] | None:
    if not avatar.consent_by:
        return None
    at = _moment(avatar.consent_at) if avatar.consent_at else None
    return {"by": avatar.consent_by, "text": avatar.consent_text, "at": at}


def _moment(at: Any) -> str:
    return str(at.isoformat().replace("+00:00", "Z"))
