"""How much an account may use, and the checks that keep it to that.

The checks belong inside the transaction that creates the thing they allow: they lock the account's
row first (on SQLite the transaction itself holds the only write lock), so two requests at the same
moment cannot both take the last place. `count` is called under that lock:

    with transaction.atomic():
        check_clips_in_flight(owner, count=lambda: in_flight(owner), adding=1)
        use_video_seconds(owner, estimate)
        Clip.objects.create(...)
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Greatest
from django.utils import timezone

from project.accounts.models import Allowance, DailyUsage, User
from project.errors import LimitReached


@dataclass(frozen=True, slots=True)
class Limits:
    """An account's allowance with the service's defaults filled in."""

    clips_in_flight: int
    video_seconds_a_day: int
    concurrent_sessions: int
    session_minutes_a_day: int
    requests_a_minute: int
    cloned_voices: int
    live_slots: int


def allowance_of(owner: User) -> Limits:
    """The allowance in force. Costs a query, once per `owner` object."""
    try:
        own: Allowance | None = owner.allowance
    except Allowance.DoesNotExist:
        own = None
    values = {name: getattr(own, name, None) for name in settings.DEFAULT_ALLOWANCE}
    return Limits(**{n: settings.DEFAULT_ALLOWANCE[n] if v is None else v for n, v in values.items()})


def usage_of(owner: User, *, day: date | None = None) -> DailyUsage:
    """What was used on a day, today (UTC) by default; an unsaved row of zeros when nothing was."""
    day = day or today()
    return DailyUsage.objects.filter(owner=owner, day=day).first() or DailyUsage(owner=owner, day=day)


def check_clips_in_flight(owner: User, *, count: Callable[[], int], adding: int = 1) -> None:
    """Raise LimitReached when `adding` more clips would be too many at once."""
    limit = _lock(owner).clips_in_flight
    used = count()
    if used + adding > limit:
        raise LimitReached(
            f"{used} of at most {limit} clips are being made. Wait for one to finish.",
            code="concurrency_limit_exceeded",
            limit=limit,
            used=used,
            retry_after=10,
        )


def use_video_seconds(owner: User, seconds: float) -> date:
    """Take seconds of video from today's allowance; returns the day they were taken from."""
    limit = _lock(owner).video_seconds_a_day
    used = usage_of(owner).video_seconds
    if used + seconds > limit:
        raise LimitReached(
            f"{used} of {limit} seconds of video are used up today, and this needs {round(seconds)}.",
            code="daily_video_limit_reached",
            limit=limit,
            used=used,
            retry_after=seconds_to_midnight(),
        )
    _add(owner, today(), "video_seconds", round(seconds))
    return today()


def adjust_video_seconds(owner: User, day: date, difference: float) -> None:
    """Correct what a clip took on `day` when its length is known, or give it back (negative)."""
    with transaction.atomic():
        _lock(owner)
        _add(owner, day, "video_seconds", round(difference))


def check_concurrent_sessions(owner: User, *, count: Callable[[], int]) -> None:
    """Raise LimitReached when one more live session would be too many."""
    limit = _lock(owner).concurrent_sessions
    used = count()
    if used >= limit:
        raise LimitReached(
            f"{used} of at most {limit} sessions are running. End one first.",
            code="concurrency_limit_exceeded",
            limit=limit,
            used=used,
            retry_after=10,
        )


def check_cloned_voices(owner: User, *, count: Callable[[], int]) -> None:
    """Raise LimitReached when one more copied voice would be too many."""
    limit = _lock(owner).cloned_voices
    used = count()
    if used >= limit:
        raise LimitReached(
            f"{used} of at most {limit} copied voices are kept. Delete one first.",
            code="cloned_voices_limit_reached",
            limit=limit,
            used=used,
        )


def check_session_minutes(owner: User) -> int:
    """Return the seconds of sessions left today; raise LimitReached when there are none."""
    limit = _lock(owner).session_minutes_a_day
    used = usage_of(owner).session_seconds
    if used >= limit * 60:
        raise LimitReached(
            f"All {limit} minutes of sessions are used up today.",
            code="daily_session_limit_reached",
            limit=limit,
            used=used // 60,
            retry_after=seconds_to_midnight(),
        )
    return limit * 60 - used


def add_session_seconds(owner: User, seconds: float) -> None:
    """Book what a session used. Never refused: the conversation has taken place."""
    with transaction.atomic():
        _lock(owner)
        _add(owner, today(), "session_seconds", round(seconds))


def today() -> date:
    return timezone.now().astimezone(UTC).date()


def seconds_to_midnight() -> int:
    midnight = datetime.combine(today() + timedelta(days=1), datetime.min.time(), UTC)
    return max(1, int((midnight - timezone.now()).total_seconds()))


def _lock(owner: User) -> Limits:
    """Hold the account's row until the transaction ends; read its allowance afresh."""
    locked = User.objects.select_for_update(no_key=True).get(pk=owner.pk)
    return allowance_of(locked)


def _add(owner: User, day: date, field: str, amount: int) -> None:
    DailyUsage.objects.get_or_create(owner=owner, day=day)
    rows = DailyUsage.objects.filter(owner=owner, day=day)
    rows.update(**{field: Greatest(F(field) + amount, 0)})
