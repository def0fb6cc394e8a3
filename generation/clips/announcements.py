"""Telling the owner that a clip ended: one event, in the transaction that ended it."""

from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction

from generation import figures
from generation.clips import over, presenter
from generation.clips.models import Clip, ClipStatus
from project.accounts import allowances
from project.webhooks import services as webhooks

_EVENTS = {
    ClipStatus.SUCCEEDED: "clip.succeeded",
    ClipStatus.FAILED: "clip.failed",
    ClipStatus.CANCELED: "clip.canceled",
}


def ended(clip_id: str) -> None:
    """Write the event of a clip that has just ended, and settle what its length cost."""
    clip = Clip.objects.select_related("owner").get(pk=clip_id)
    _settle(clip)
    transaction.on_commit(partial(figures.clip_ended, clip), robust=True)
    transaction.on_commit(partial(over.tell, clip), robust=True)
    webhooks.publish(
        clip.owner, _EVENTS[ClipStatus(clip.status)], payload(clip), callback_url=clip.callback_url or None
    )


def payload(clip: Clip) -> dict[str, Any]:
    """Say what happened, thinly: whoever wants links asks with a key and gets fresh ones."""
    return {
        "id": clip.pk,
        "status": clip.status,
        "url": f"{settings.PUBLIC_URL}/api/v1/clips/{clip.pk}",
        "avatar": clip.avatar_id,
        "voice": clip.voice or None,
        "model": clip.model,
        "failure": presenter.failure(clip),
        "duration_ms": clip.duration_ms,
        "expires_at": clip.expires_at.isoformat() if clip.expires_at else None,
        "metadata": clip.metadata,
    }


def _settle(clip: Clip) -> None:
    """Book the real length instead of the estimate; a clip that was not made costs nothing."""
    if clip.usage_day is None:
        return
    used_ms = clip.duration_ms or 0 if clip.status == ClipStatus.SUCCEEDED else 0
    difference = round(used_ms / 1000) - round(clip.estimated_ms / 1000)
    if difference:
        allowances.adjust_video_seconds(clip.owner, clip.usage_day, difference)
