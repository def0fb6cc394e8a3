"""Who prepares what: leases, and what is started again when a message or a worker was lost.

An avatar itself is prepared for its first model, each of its `AvatarPreparation`s for one more; the
rows are alike, and their ids tell them apart. Each claim takes the row's next version number and a
fresh lease token: what a version stores is never overwritten, and a worker that lost its lease can
change nothing any more. While a row is `ready`, its objects are those of `version`.
"""

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from generation.avatars.models import Avatar, AvatarPreparation, AvatarStatus, Preparable
from storage import keys
from workers import dispatch, profiles
from workers.adapters.avatar.models import ModelConfig

LEASE = timedelta(seconds=60)
MAX_ATTEMPTS = 3
# A message that has not led to a claim after this time is sent again.
RESEND_AFTER = timedelta(seconds=30)
# How long one is left alone before it is prepared for another backend: processes that were started
# with different settings must not have it prepared in turns.
SETTLED_AFTER = timedelta(minutes=10)
TABLES: tuple[type[Preparable], ...] = (Avatar, AvatarPreparation)


class LeaseLost(Exception):
    """Another worker prepares this avatar now, or nobody should."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to prepare one avatar for one model; every write asks for its token."""

    row: Avatar | AvatarPreparation
    token: str

    @property
    def avatar(self) -> Avatar:
        return self.row if isinstance(self.row, Avatar) else self.row.avatar

    @property
    def rows(self) -> QuerySet[Any]:
        return _wanted(type(self.row)).filter(pk=self.row.pk, lease_token=self.token)

    def key(self, name: str) -> str:
        """Where this claim's version keeps one of `keys.AVATAR_FILES`."""
        if isinstance(self.row, Avatar):
            return keys.avatar_file(self.row.pk, self.row.version, name)
        return keys.preparation_file(self.row.avatar_id, self.row.pk, self.row.version, name)

    def renew(self, **changes: Any) -> None:
        """Prolong the lease. Raises LeaseLost."""
        now = timezone.now()
        if not self.rows.update(lease_until=now + LEASE, updated_at=now, **changes):
            raise LeaseLost(self.row.pk)

    def succeed(self, **results: Any) -> bool:
        """Make it ready with these objects, unless the lease was lost."""
        return self._finish(AvatarStatus.READY, progress=100, **results)

    def fail(self, code: str, message: str) -> bool:
        return self._finish(AvatarStatus.FAILED, failure_code=code[:60], failure_message=message[:500])

    def release(self) -> None:
        """Give the work back: the reconciler starts it again in a while."""
        now = timezone.now()
        self.rows.update(lease_token="", lease_until=None, enqueued_at=now, updated_at=now)

    def _finish(self, status: AvatarStatus, **changes: Any) -> bool:
        now = timezone.now()
        return bool(
            self.rows.update(status=status, lease_token="", lease_until=None, updated_at=now, **changes)
        )


def claim(row_id: str) -> Claim | None:
    """Take the lease and the next version number; None when there is nothing to do.

    `row_id` is an avatar's id, or a preparation's.
    """
    now, token = timezone.now(), secrets.token_hex(16)
    table = _table(row_id)
    taken = (
        _wanted(table)
        .filter(_free(), pk=row_id, attempts__lt=MAX_ATTEMPTS)
        .update(
            lease_token=token,
            lease_until=now + LEASE,
            version=F("version") + 1,
            attempts=F("attempts") + 1,
            progress=0,
            updated_at=now,
        )
    )
    if not taken:
        return None
    # By its token: a row that was dropped meanwhile is nobody's work any more.
    row = table._default_manager.filter(pk=row_id, lease_token=token).first()
    return Claim(row, token) if isinstance(row, Avatar | AvatarPreparation) else None


def restart(rows: QuerySet[Any]) -> int:
    """Have these prepared (again). What is running is fenced off and its result dropped."""
    with transaction.atomic():
        wanted = list(rows.values_list("pk", flat=True))
        rows.model._default_manager.filter(pk__in=wanted).update(
            status=AvatarStatus.PREPARING,
            failure_code="",
            failure_message="",
            progress=0,
            attempts=0,
            lease_token="",
            lease_until=None,
            enqueued_at=timezone.now(),
            updated_at=timezone.now(),
        )
        for row_id in wanted:
            dispatch.prepare_avatar(row_id)
    return len(wanted)


def maker(config: ModelConfig) -> str:
    """What a preparation for a model depends on, beside the source."""
    size = f":{config.profile.width}x{config.profile.height}" if config.profile.width else ""
    return f"{config.preparer}{size}"


def reconcile() -> int:
    """Find preparations whose message or worker was lost, and start them again.

    One whose worker died `MAX_ATTEMPTS` times fails: the source itself may be what kills it. Those that
    were made for another backend than the one that is configured now are made anew.
    """
    return sum(_reconcile(table) + _renew_outdated(table) for table in TABLES if _any(table))


def _any(table: type[Preparable]) -> bool:
    """Whether there may be anything to do: one question, which is nearly always all there is."""
    wanted = Q(status=AvatarStatus.PREPARING) & _free() | _outdated()
    return table._default_manager.filter(wanted, _shown(table)).exists()


def _renew_outdated(table: type[Preparable]) -> int:
    rows = table._default_manager.filter(_outdated(), _shown(table))
    return restart(rows) if rows.exists() else 0


def _outdated() -> Q:
    """Ready, and made for another backend than the one that is configured now."""
    outdated = Q(pk__in=[])
    for config in profiles.configs().values():
        if profiles.is_installed(config.id):
            outdated |= Q(model=config.id) & ~Q(made_by__in=["", maker(config)])
    return outdated & Q(status=AvatarStatus.READY, updated_at__lt=timezone.now() - SETTLED_AFTER)


def _reconcile(table: type[Preparable]) -> int:
    now = timezone.now()
    waiting = _wanted(table).filter(_free())
    waiting.filter(attempts__gte=MAX_ATTEMPTS).update(
        status=AvatarStatus.FAILED,
        failure_code="preparation_interrupted",
        failure_message="The preparation was interrupted several times. Use another picture, or try again.",
        lease_token="",
        lease_until=None,
        updated_at=now,
    )
    stale = Q(enqueued_at=None) | Q(enqueued_at__lt=now - RESEND_AFTER)
    lapsed = Q(lease_until__isnull=False)  # a worker died: no need to wait
    started = 0
    for row_id in waiting.filter(stale | lapsed).values_list("pk", flat=True):
        with transaction.atomic():
            if waiting.filter(stale | lapsed, pk=row_id).update(lease_until=None, enqueued_at=now):
                dispatch.prepare_avatar(row_id)
                started += 1
    return started


def _wanted(table: type[Preparable]) -> QuerySet[Any]:
    """Rows that wait for their preparation; of an archived avatar none does."""
    return table._default_manager.filter(_shown(table), status=AvatarStatus.PREPARING)


def _shown(table: type[Preparable]) -> Q:
    """Of avatars that are not archived."""
    return Q(archived_at=None) if table is Avatar else Q(avatar__archived_at=None)


def _free() -> Q:
    return Q(lease_until=None) | Q(lease_until__lt=timezone.now())


def _table(row_id: str) -> type[Preparable]:
    return AvatarPreparation if row_id.startswith("prep_") else Avatar
