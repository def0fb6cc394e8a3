"""API keys: making, finding, rotating and revoking them.

A key looks like `parley_<prefix>_<secret>`. The prefix finds the row and is shown in lists; the
secret has 256 random bits, so one round of SHA-256 keeps it as well as any slow hash would.
"""

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from project.accounts.models import ApiKey, User
from project.accounts.scopes import SCOPES, grantable
from project.errors import Conflict, InvalidInput

USED_EVERY = timedelta(minutes=1)  # `last_used_at` is written at most this often
ROTATION_OVERLAP = timedelta(hours=24)


def create(
    owner: User, *, name: str, scopes: list[str] | None = None, expires_at: datetime | None = None
) -> tuple[ApiKey, str]:
    """Make a key; the returned text is the only time that its secret is seen."""
    scopes = grantable(is_staff=owner.is_staff) if scopes is None else list(dict.fromkeys(scopes))
    check(owner, scopes, expires_at)
    prefix, secret = secrets.token_hex(5), secrets.token_hex(32)
    key = ApiKey.objects.create(
        owner=owner, name=name, prefix=prefix, digest=_digest(secret), scopes=scopes, expires_at=expires_at
    )
    return key, f"parley_{prefix}_{secret}"


def check(owner: User, scopes: list[str], expires_at: datetime | None) -> None:
    """Raise InvalidInput unless this account may have such a key."""
    allowed = grantable(is_staff=owner.is_staff)
    for index, scope in enumerate(scopes):
        _check_scope(scope, allowed, pointer=f"/scopes/{index}")
    if expires_at is not None and expires_at <= timezone.now():
        raise InvalidInput("The expiry lies in the past.", code="expiry_in_past", pointer="/expires_at")


def find(text: str) -> ApiKey | None:
    """The usable key of an active account that this text belongs to."""
    parts = text.split("_")
    if len(parts) != 3 or parts[0] != "parley":
        return None
    key = ApiKey.objects.select_related("owner").filter(prefix=parts[1]).first()
    if key is None or not hmac.compare_digest(key.digest, _digest(parts[2])):
        return None
    if not (key.is_usable and key.owner.is_active):
        return None
    _touch(key)
    return key


@transaction.atomic
def rotate(key: ApiKey, *, overlap: timedelta = ROTATION_OVERLAP) -> tuple[ApiKey, str]:
    """Replace a key; the old one works on for `overlap`, and never longer than it would have."""
    key = ApiKey.objects.select_for_update().select_related(None).get(pk=key.pk)
    if not key.is_usable:
        raise Conflict("This key has expired or was revoked.", code="api_key_not_usable")
    if key.replaced_by_id is not None:
        raise Conflict("This key was rotated already.", code="api_key_already_rotated")
    fresh, text = create(key.owner, name=key.name, scopes=key.scopes, expires_at=key.expires_at)
    end = timezone.now() + overlap
    key.expires_at = min(key.expires_at, end) if key.expires_at else end
    key.replaced_by = fresh
    key.save(update_fields=["expires_at", "replaced_by"])
    return fresh, text


def revoke(key: ApiKey) -> None:
    ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now())


def _touch(key: ApiKey) -> None:
    now = timezone.now()
    if key.last_used_at and now - key.last_used_at < USED_EVERY:
        return
    stale = Q(last_used_at=None) | Q(last_used_at__lte=now - USED_EVERY)
    ApiKey.objects.filter(stale, pk=key.pk).update(last_used_at=now)
    key.last_used_at = now


def _check_scope(scope: str, allowed: list[str], *, pointer: str) -> None:
    if scope not in SCOPES:
        raise InvalidInput(f"There is no scope {scope!r}.", code="unknown_scope", pointer=pointer)
    if scope not in allowed:
        raise InvalidInput(
            f"The scope {scope} is for staff accounts.", code="scope_not_allowed", pointer=pointer
        )


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
