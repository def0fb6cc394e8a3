"""Models: what each needs, whether it can be used, and how busy it is."""

from collections.abc import Sequence
from statistics import median
from typing import Any

import redis
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from generation import availability
from generation.api import schemas
from project.accounts.permissions import caller
from workers import dispatch, profiles
from workers.adapters.avatar.base import Profile
from workers.adapters.avatar.models import ModelConfig
from workers.live.slots import slots_held
from workers.presence import Worker

USES: tuple[availability.Use, ...] = ("clips", "sessions")


class ModelsView(APIView):
    required_scopes = {"GET": "avatars:read"}

    @extend_schema(
        operation_id="models_list",
        summary="List models, whether they can be used, and how busy they are",
        responses=schemas.ModelOut(many=True),
        tags=["models"],
    )
    def get(self, request: Request) -> Response:
        here, staff = availability.workers(), caller(request).is_staff
        return Response([model_json(made, here, staff=staff) for made in profiles.configs().values()])


def model_json(config: ModelConfig, here: Sequence[Worker] | None, *, staff: bool) -> dict[str, Any]:
    """Describe one model; `here` are the workers, None while the broker is away.

    The queue is that of clips. A slot is the right to speak in a live session. Single workers and
    what they say of their trouble are told to staff alone.
    """
    profile = config.profile
    reasons = {use: _reason(config, here, use, told=staff) for use in USES}
    total = sum(worker.slots.get(profile.live_queue, 0) for worker in here or ())
    serving = [] if here is None else [worker for worker in here if _serves(worker, profile)]
    return {
        "id": config.id,
        "name": config.name or config.id,
        "summary": config.summary,
        "licence": config.licence,
        "backend": config.backend,
        "configured": availability.not_configured(config.id) is None,
        "available": reasons["clips"] is None,
        "reason": reasons["clips"],
        "reasons": reasons,
        "queue": profile.queue,
        "queue_depth": None if here is None else _depth(profile.queue),
        "slots": {"total": total, "free": max(total - _speaking(profile), 0)},
        "workers": [_worker(worker, profile.id) for worker in serving] if staff else [],
        "measured": _measured(serving, profile.id),
        "profile": {
            "fps": profile.fps,
            "width": profile.width,
            "height": profile.height,
            "sample_rate": profile.sample_rate,
            "fragment_ms": profile.fragment_frames * 1000 // profile.fps,
        },
    }


def _reason(
    config: ModelConfig, here: Sequence[Worker] | None, use: availability.Use, *, told: bool
) -> str | None:
    if (reason := availability.not_configured(config.id)) is not None:
        return reason
    if here is None:
        return availability.BROKER_AWAY
    return availability.absence(config.profile, here, use, told=told)


def _serves(worker: Worker, profile: Profile) -> bool:
    return profile.id in worker.models or bool({profile.queue, profile.live_queue} & set(worker.slots))


def _worker(worker: Worker, model: str) -> dict[str, Any]:
    said = worker.models.get(model) or {}
    return {
        "name": worker.name,
        "device": worker.title or worker.device,
        "memory_mb": worker.memory_mb,
        "free_mb": worker.free_mb,
        "fps": _rounded(said.get("fps")),
        "first_frame_ms": _rounded(said.get("first_frame_ms")),
        "problem": availability.problem_of(worker, model),
    }


def _measured(serving: Sequence[Worker], model: str) -> dict[str, float | None]:
    """What one worker does, as the middle one of those that drew lately."""
    said = [worker.models.get(model) or {} for worker in serving]
    fps = [float(one["fps"]) for one in said if one.get("fps")]
    first = [float(one["first_frame_ms"]) for one in said if one.get("first_frame_ms")]
    return {
        "render_fps": round(median(fps), 1) if fps else None,
        "first_frame_ms": round(median(first), 1) if first else None,
    }


def _rounded(figure: Any) -> float | None:
    return round(float(figure), 1) if figure else None


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
