"""What a render process loads before its first fragment, so that no caller waits for it."""

import logging
from collections.abc import Collection

from django.db import Error

from generation.avatars import selectors
from generation.avatars.selectors import Prepared
from generation.clips import actors
from storage.errors import StorageError
from workers import profiles
from workers.adapters.errors import AdapterError

AVATARS = 4

_log = logging.getLogger(__name__)


def warm(queues: Collection[str]) -> None:
    """Load the renderers of these queues, and the avatars of the shared catalogue."""
    for profile in profiles.profiles():
        if profile.queue in queues and profiles.is_installed(profile.id):
            try:
                _warm(profile.id)
            except (AdapterError, StorageError, Error) as error:
                # A favour to the first clip; whatever is wrong will be said again then.
                _log.info("%s is not warm: %s", profile.id, error)


def _warm(model: str) -> None:
    renderer = actors.renderer(model)
    for avatar in newest(model):
        actors.avatar(renderer, avatar.bundle_key, avatar.bundle_sha256)


def newest(model: str) -> list[Prepared]:
    """Return the newest avatars of the shared catalogue: the likeliest to be asked for."""
    return selectors.newest(model, AVATARS)
