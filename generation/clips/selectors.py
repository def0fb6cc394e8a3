"""Reads of clips. Every one asks whose they are."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import Avg, Max, Min, Q, QuerySet, Sum

from generation.clips import presenter
from generation.clips.models import Clip, ClipFragment, ClipStatus, FragmentStatus
from project.accounts.models import User
from project.errors import Conflict, Gone, NotFound


def visible_to(user: User) -> QuerySet[Clip]:
    """One's own clips; staff may look at everybody's."""
    return Clip.objects.all() if user.is_staff else Clip.objects.filter(owner=user)


def clip_get(user: User, clip_id: str) -> Clip:
    """Find a clip. Raises `NotFound`, for those of others too."""
    clip = visible_to(user).filter(pk=clip_id).first()
    if clip is None:
        raise NotFound("There is no such clip.", code="clip_not_found")
    return clip


def clip_list(
    owner: User,
    *,
    ids: Sequence[str] = (),
    statuses: Sequence[str] = (),
    avatar: str = "",
    query: str = "",
    created_after: datetime | None = None,
    created_before: datetime | None = None,
) -> QuerySet[Clip]:
    clips = Clip.objects.filter(owner=owner)
    if ids:
        clips = clips.filter(pk__in=ids)
    if statuses:
        clips = clips.filter(status__in=statuses)
    if avatar:
        clips = clips.filter(Q(avatar=avatar) | Q(avatar__slug=avatar))
    if query:
        clips = clips.filter(Q(script__icontains=query) | Q(avatar__name__icontains=query) | Q(pk=query))
    if created_after:
        clips = clips.filter(created_at__gt=created_after)
    if created_before:
        clips = clips.filter(created_at__lt=created_before)
    return clips


def finished(clip: Clip) -> Clip:
    """Return the clip if its files can be had. Raises `Gone` or `Conflict`."""
    if presenter.is_expired(clip) and clip.status == ClipStatus.SUCCEEDED:
        raise Gone("The files of this clip have expired.", code="clip_expired")
    if clip.status != ClipStatus.SUCCEEDED:
        raise Conflict(f"This clip is {clip.status}.", code="clip_not_finished")
    return clip


def timings(clip: Clip) -> dict[str, Any]:
    """Say where the time went, in milliseconds since the clip was accepted, and of work."""
    done = ClipFragment.objects.filter(clip=clip, status=FragmentStatus.DONE)
    seen = done.aggregate(
        first=Min("done_at"), last=Max("done_at"), work=Sum("render_ms"), mean=Avg("render_ms")
    )
    known = {
        "started_ms": clip.started_at,
        "first_fragment_ms": seen["first"],
        "rendered_ms": seen["last"],
        "finished_ms": clip.finished_at,
    }
    since = {
        name: round((moment - clip.created_at).total_seconds() * 1000)
        for name, moment in known.items()
        if moment is not None
    }
    told: dict[str, Any] = clip.timings
    return since | {"render_work_ms": seen["work"]} | told
