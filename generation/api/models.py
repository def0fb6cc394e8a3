"""Models: what each needs, and how busy it is."""

from typing import Any

import redis
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from generation.api import schemas
from workers import dispatch, presence, profiles
from workers.adapters.avatar.base import Profile
from workers.live.slots import slots_held


class ModelsView(APIView):
    required_scopes = {"GET": "avatars:read"}

    @extend_schema(
        operation_id="models_list",
        summary="List models and how busy they are",
        responses=schemas.ModelOut(many=True),
        tags=["models"],
    )
    def get(self, request: Request) -> Response:
        try:
            slots: dict[str, int] | None = presence.slots()
        except redis.RedisError:
            slots = None
        return Response([model_json(profile, slots) for profile in profiles.profiles()])


def model_json(profile: Profile, slots: dict[str, int] | None) -> dict[str, Any]:
    """Describe one model; `slots` is None while the broker is away.

    The queue is that of clips. A slot is the right to speak in a live session.
    """
    total = 0 if slots is None else slots.get(profile.live_queue, 0)
    reason = _reason(profile, slots)
    return {
        "id": profile.id,
        "backend": profile.backend,
        "available": reason is None,
        "reason": reason,
        "queue": profile.queue,
        "queue_depth": None if slots is None else _depth(profile.queue),
        "slots": {"total": total, "free": max(total - _speaking(profile), 0)},
        "profile": {
            "fps": profile.fps,
            "width": profile.width,
            "height": profile.height,
            "sample_rate": profile.sample_rate,
            "fragment_ms": profile.fragment_frames * 1000 // profile.fps,
        },
    }


def _reason(profile: Profile, slots: dict[str, int] | None) -> str | None:
    if not profiles.is_installed(profile.id):
        return "It is not part of this installation."
    if slots is None:
        return "The broker is away; work waits until it is back."
    if not slots.get(profile.queue):
        return f"No worker serves the queue {profile.queue} at the moment; work waits until one does."
    return None


def _depth(queue: str) -> int | None:
    try:
        return dispatch.depth(queue)
    except redis.RedisError:
        return None


def _speaking(profile: Profile) -> int:
    try:
        return slots_held(profile.live_queue)
    except redis.RedisError:
        return 0
