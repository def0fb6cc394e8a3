"""Reads of the catalogue."""

from django.db.models import Q, QuerySet

from generation.avatars.models import Avatar, AvatarStatus
from project.accounts.models import User
from project.errors import NotFound


def visible_to(user: User) -> QuerySet[Avatar]:
    """The shared catalogue and one's own; staff see everybody's. Archived ones are left out."""
    avatars = Avatar.objects.filter(archived_at=None)
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


def avatar_list(user: User, *, status: str = "", query: str = "") -> QuerySet[Avatar]:
    avatars = visible_to(user)
    if status:
        avatars = avatars.filter(status=status)
    if query:
        avatars = avatars.filter(
            Q(name__icontains=query) | Q(slug__icontains=query) | Q(description__icontains=query)
        )
    return avatars
