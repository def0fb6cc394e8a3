"""Writes that mean something to a clip's owner."""

import time
from collections.abc import Sequence

from django.db import transaction
from django.utils import timezone

from generation.clips import outcome, states, tracing, wishes
from generation.clips.models import Clip, ClipFragment, ClipStatus
from generation.clips.wishes import Order, Wish
from project.accounts import allowances
from project.accounts.models import User
from project.errors import Conflict, InvalidInput
from storage import keys
from storage.s3 import store
from workers import dispatch

MAX_BATCH = 100


def clip_create(owner: User, wish: Wish) -> Clip:
    """Accept one clip. Raises `InvalidInput` or `LimitReached`; once this commits, it will be made."""
    return clips_accept(owner, [wishes.check(owner, wish)])[0]


def clip_create_batch(owner: User, wanted: Sequence[Wish]) -> list[Clip]:
    """Accept all of these clips or none."""
    if not 1 <= len(wanted) <= MAX_BATCH:
        raise InvalidInput(f"A batch has 1 to {MAX_BATCH} clips.", code="invalid_batch", pointer="/clips")
    return clips_accept(owner, [wishes.check(owner, wish) for wish in wanted])


def clips_accept(owner: User, orders: Sequence[Order]) -> list[Clip]:
    """Write checked orders down, all or none, within the owner's allowance. Raises `LimitReached`."""
    began = time.time()
    with transaction.atomic():
        allowances.check_clips_in_flight(owner, count=lambda: in_flight(owner), adding=len(orders))
        seconds = sum(round(order.estimated_ms / 1000) for order in orders)
        day = allowances.use_video_seconds(owner, seconds)
        now = timezone.now()
        clips = [
            Clip(
                owner=owner,
                usage_day=day,
                enqueued_at=now,
                estimated_ms=order.estimated_ms,
                **order.columns,
            )
            for order in orders
        ]
        for clip in clips:
            clip.save(force_insert=True)
            dispatch.speak(clip.pk)
    for clip in clips:
        tracing.accepted(clip.pk, began)
    return clips


def in_flight(owner: User) -> int:
    """Count the clips of this owner that are not finished."""
    return Clip.objects.filter(owner=owner, status__in=states.UNFINISHED).count()


def clip_cancel(clip: Clip) -> bool:
    """Cancel: True when it is over at once, False while a worker still has to notice.

    Raises `Conflict` when the clip has ended in another way.
    """
    if clip.status in states.TERMINAL and clip.status != ClipStatus.CANCELED:
        raise Conflict(f"This clip has {clip.status}.", code="clip_finished")
    if clip.status == ClipStatus.CANCELED:
        return True
    rows = Clip.objects.filter(pk=clip.pk, status__in=states.UNFINISHED, cancel_requested_at=None)
    rows.update(cancel_requested_at=timezone.now())
    over = outcome.cancel_if_idle(clip.pk)
    clip.refresh_from_db()
    if not over and clip.status in states.TERMINAL and clip.status != ClipStatus.CANCELED:
        raise Conflict(f"This clip has {clip.status}.", code="clip_finished")
    return clip.status == ClipStatus.CANCELED


def clip_delete(clip: Clip) -> None:
    """Remove a clip and everything of it. Raises `Conflict` while it is being made."""
    if clip.status in states.UNFINISHED:
        raise Conflict("Cancel this clip before deleting it.", code="clip_running")
    store().delete_prefix(keys.clip(clip.pk))
    with transaction.atomic():
        ClipFragment.objects.filter(clip=clip).delete()
        clip.delete()
