"""The spans of a clip's stages, in the one trace that it has."""

import time
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from project import tracing
from project.tracing import Span


def accepted(clip_id: str, began: float) -> None:
    """Note that the clip was written down, since `began` (Unix seconds)."""
    tracing.begin("accept", plan=tracing.clip(clip_id), at=began, clip=clip_id).end()


def stage(
    name: str, clip_id: str, enqueued_at: datetime | None, fragment: int | None = None
) -> AbstractContextManager[Span]:
    """One start of a stage, below the clip's root; it waited since `enqueued_at`."""
    waited = None if enqueued_at is None else max(0, round((time.time() - enqueued_at.timestamp()) * 1000))
    plan = tracing.clip(clip_id)
    return tracing.span(name, plan=plan, clip=clip_id, fragment=fragment, waited_ms=waited)


def part(name: str, **facts: Any) -> AbstractContextManager[Span]:
    """A part of the stage that is under way."""
    return tracing.span(name, **facts)
