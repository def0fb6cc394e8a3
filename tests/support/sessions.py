"""Sessions for tests: an owner, an avatar, and a session in whatever state is needed."""

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from generation.avatars.models import Avatar
from project.accounts.models import User
from sessions import services, wishes
from sessions.models import Session
from sessions.services import Created
from sessions.wishes import Wish

HOST = "web-1"


def create(owner: User, avatar: Avatar, **wanted: Any) -> Created:
    """Begin a session as the REST call does; `wanted` are more fields of `Wish`."""
    with transaction.atomic():
        return services.session_accept(owner, wishes.check(owner, Wish(avatar=avatar.pk, **wanted)))


def join(created: Created, host: str = HOST) -> int:
    """Let its client in and have `host` hold it; returns the fence."""
    services.session_open(created.session.pk, created.client_token)
    fence = services.host_claim(created.session.pk, host)
    assert fence is not None
    return fence


def started(owner: User, avatar: Avatar, host: str = HOST, **wanted: Any) -> tuple[Session, int]:
    """A session that has joined and asked for a place, with its fence."""
    created = create(owner, avatar, **wanted)
    fence = join(created, host)
    services.session_activate(created.session.pk, fence)
    created.session.refresh_from_db()
    return created.session, fence


def turn_back(session: Session, seconds: float, *fields: str) -> None:
    """Let `seconds` pass for these moments of a session."""
    row = Session.objects.get(pk=session.pk)
    past = timedelta(seconds=seconds)
    moved = {name: (getattr(row, name) or timezone.now()) - past for name in fields}
    Session.objects.filter(pk=session.pk).update(**moved)
