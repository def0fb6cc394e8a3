"""The cast of the session tests: Alice who owns things, Mallory who does not, and an avatar."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from generation.avatars.models import Avatar
from generation.uploads.models import Upload
from project.accounts.models import User
from storage import keys
from tests.support.cast import alice, api, broker, mallory, objects  # noqa: F401 - fixtures
from tests.support.clips import Broker, ready_avatar
from tests.support.objects import MemoryStore


@pytest.fixture
def avatar(objects: MemoryStore, broker: Broker, transactional_db: None) -> Avatar:
    """A test card in the shared catalogue."""
    return ready_avatar(objects)


@pytest.fixture
def upload() -> Callable[..., Upload]:
    """Make an upload as if somebody had handed it in."""

    def make(owner: User, kind: str = "audio", duration_ms: int = 1500) -> Upload:
        made = Upload(
            owner=owner, kind=kind, duration_ms=duration_ms, expires_at=timezone.now() + timedelta(days=1)
        )
        made.original_key, made.pcm_key = keys.upload_original(made.pk, "wav"), keys.upload_audio(made.pk)
        made.save(force_insert=True)
        return made

    return make
