"""What is left of a clip for those who look after the service: a line in the log, a trace's root."""

import logging
from typing import Any

from django.conf import settings

from generation.clips.models import Clip, ClipStatus
from project import context, tracing

_log = logging.getLogger(__name__)


def tell(clip: Clip) -> None:
    """Tell of a clip that has just ended."""
    with context.about(clip=clip.pk):
        _log.info("A clip is over: %s", _outcome(clip), extra=context.facts(**_facts(clip), **_said(clip)))
        _trace(clip)


def _outcome(clip: Clip) -> str:
    return clip.failure_code or clip.status


def _facts(clip: Clip) -> dict[str, Any]:
    took = None if clip.finished_at is None else (clip.finished_at - clip.created_at).total_seconds()
    found = {
        "model": clip.model,
        "took_ms": None if took is None else round(took * 1000),
        "duration_ms": clip.duration_ms,
        "fragments": clip.fragments_total,
        "speech_ms": clip.timings.get("speech_ms"),
        "assembly_ms": clip.timings.get("assembly_ms"),
        "bytes": clip.bytes,
        "characters": len(clip.script) or None,
        "warnings": len(clip.warnings) or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _said(clip: Clip) -> dict[str, str]:
    return {"script": clip.script} if settings.LOG_SPOKEN_TEXT else {}


def _trace(clip: Clip) -> None:
    ended = clip.finished_at
    span = tracing.root(
        "clip",
        tracing.clip(clip.pk),
        at=clip.created_at.timestamp(),
        outcome=_outcome(clip),
        **_facts(clip),
    )
    if clip.status == ClipStatus.FAILED:
        span.fail(clip.failure_code)
    span.end(None if ended is None else ended.timestamp())
