"""The first account and the first key of a fresh service."""

import secrets
from dataclasses import dataclass

from django.db import transaction

from project.accounts import keys
from project.accounts.models import ApiKey, Role, User

EMAIL = "admin@parley.local"
KEY_NAME = "Made at the first start"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What can be told; None for what exists but is not known any more."""

    admin_user: str
    admin_password: str | None
    api_key: str | None


@transaction.atomic
def bootstrap(*, email: str = EMAIL, known: Credentials | None = None, reset: bool = False) -> Credentials:
    """Make sure that an admin and a key with every scope exist; running it again changes nothing.

    `known` are the credentials of an earlier run: those that still work are returned again, and a
    key that does not is replaced. `reset` gives the admin a new password and makes a new key.
    """
    admin = User.objects.filter(role=Role.ADMIN, is_active=True).order_by("created_at").first()
    password: str | None = None
    if admin is None:
        admin, password = _make_admin(email)
    elif reset:
        password = _set_password(admin)
    elif known and known.admin_password and admin.check_password(known.admin_password):
        password = known.admin_password
    return Credentials(admin.email, password, _key(admin, known, reset=reset))


def _make_admin(email: str) -> tuple[User, str]:
    admin, _ = User.objects.get_or_create(email=email, defaults={"name": "Admin"})
    admin.role, admin.is_active = Role.ADMIN, True
    return admin, _set_password(admin)


def _set_password(user: User) -> str:
    password = secrets.token_urlsafe(15)
    user.set_password(password)
    user.save()
    return password


def _key(admin: User, known: Credentials | None, *, reset: bool) -> str | None:
    """The key to tell; None when one exists and nobody asked for another."""
    if not reset and known and known.api_key and keys.find(known.api_key):
        return known.api_key
    existing = [key for key in ApiKey.objects.filter(owner=admin, name=KEY_NAME) if key.is_usable]
    if existing and known is None and not reset:
        return None
    for key in existing:
        keys.revoke(key)
    return keys.create(admin, name=KEY_NAME)[1]
