"""Reads of the catalogue."""

from dataclasses import dataclass, field
from typing import Any

from django.db.models import Q, QuerySet

from generation.avatars.models import Avatar, AvatarPreparation, AvatarStatus, Preparable
from project.accounts.models import User
from project.errors import NotFound


@dataclass(frozen=True, slots=True)
class Prepared:
    """An avatar as it was made ready for one model; `status` says whether it can be used."""

    model: str
    version: int
    bundle_key: str
    bundle_sha256: str
    idle_key: str
    width: int | None
    height: int | None
    status: str
    progress: int = 0
    failure_code: str = ""
    failure_message: str = ""
    preview_key: str = ""
    has_alpha: bool = False
    findings: dict[str, Any] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """Whether clips and sessions may begin with it."""
        return self.status == AvatarStatus.READY and bool(self.bundle_key)


def prepared(avatar: Avatar, model: str) -> Prepared | None:
    """How the avatar was made ready for a model; None when nobody asked for that."""
    return next((one for one in preparations(avatar) if one.model == model), None)


def preparations(avatar: Avatar) -> list[Prepared]:
    """For its first model, then for the others by name."""
    others = [row for row in avatar.preparations.all() if row.model != avatar.model]
    return [_prepared(avatar), *map(_prepared, sorted(others, key=lambda row: row.model))]


def models_of(avatar: Avatar) -> list[str]:
    """The models it is ready for, its first one first."""
    return [one.model for one in preparations(avatar) if one.ready]


def newest(model: str, most: int) -> list[Prepared]:
    """The newest avatars of the shared catalogue that are ready for a model."""
    own = Avatar.objects.filter(_drawable(), model=model, owner=None, archived_at=None)
    others = AvatarPreparation.objects.filter(
        _drawable(), model=model, avatar__owner=None, avatar__archived_at=None
    )
    rows: list[tuple[Any, Preparable]] = [(row.created_at, row) for row in own.order_by("-created_at")[:most]]
    dated = others.select_related("avatar").order_by("-avatar__created_at")[:most]
    rows += [(row.avatar.created_at, row) for row in dated]
    rows.sort(key=lambda dated: dated[0], reverse=True)
    return [_prepared(row) for _, row in rows[:most]]


def visible_to(user: User) -> QuerySet[Avatar]:
    """The shared catalogue and one's own; staff see everybody's. Archived ones are left out."""
    avatars = Avatar.objects.filter(archived_at=None).prefetch_related("preparations")
    return avatars if user.is_staff else avatars.filter(Q(owner=None) | Q(owner=user))


def usable_by(user: User) -> QuerySet[Avatar]:
    """Avatars that a clip or session may begin with now."""
    return visible_to(user).filter(status=AvatarStatus.READY)


def avatar_get(user: User, reference: str) -> Avatar:
    """Find a visible avatar by its id or its slug. Raises NotFound."""
    found = visible_to(user).filter(Q(id=reference) | Q(slug=reference)).first()
    if found is None:
        raise NotFound("There is no such avatar.", code="avatar_not_found")
    return found


def avatar_list(user: User, *, status: str = "", query: str = "", model: str = "") -> QuerySet[Avatar]:
    """Those of a status, with a part of the name or description, or ready for a model."""
    avatars = visible_to(user)
    if status:
        avatars = avatars.filter(status=status)
    if query:
        avatars = avatars.filter(
            Q(name__icontains=query) | Q(slug__icontains=query) | Q(description__icontains=query)
        )
    if model:
        others = AvatarPreparation.objects.filter(_drawable(), model=model).values("avatar")
        avatars = avatars.filter((_drawable() & Q(model=model)) | Q(pk__in=others))
    return avatars


def _drawable() -> Q:
    return Q(status=AvatarStatus.READY) & ~Q(bundle_key="")


def _prepared(row: Preparable) -> Prepared:
    return Prepared(
        model=row.model,
        version=row.version,
        bundle_key=row.bundle_key,
        bundle_sha256=row.bundle_sha256,
        idle_key=row.idle_key,
        width=row.width,
        height=row.height,
        status=row.status,
        progress=row.progress,
        failure_code=row.failure_code,
        failure_message=row.failure_message,
        preview_key=row.preview_key,
        has_alpha=row.has_alpha,
        findings=row.findings,
    )
