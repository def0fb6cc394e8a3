"""The cast of the session tests: Alice who owns things, Mallory who does not, and an avatar."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from generation.avatars.models import Avatar
from generation.uploads.models import Upload
from project.accounts.models import Role, User
from storage import keys
from tests.support.clips import Broker, ready_avatar
from tests.support.objects import MemoryStore
from workers import dispatch


@pytest.fixture
def objects(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    memory = MemoryStore()
    monkeypatch.setattr("storage.s3._store", lambda endpoint, pid: memory)
    return memory


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    made = Broker()
    monkeypatch.setattr(dispatch, "_publish", made.publish)
    monkeypatch.setattr(dispatch, "waiting", made.waiting)
    monkeypatch.setattr(dispatch, "depth", made.depth)
    return made


@pytest.fixture
def alice(transactional_db: None) -> User:
    return User.objects.create_user("alice@example.com", role=Role.CUSTOMER)


@pytest.fixture
def mallory(transactional_db: None) -> User:
    """Signed in, and entitled to nothing of Alice's."""
    return User.objects.create_user("mallory@example.com", role=Role.CUSTOMER)


@pytest.fixture
def avatar(objects: MemoryStore, broker: Broker, transactional_db: None) -> Avatar:
    """A test card in the shared catalogue."""
    return ready_avatar(objects)


@pytest.fixture
def api() -> Callable[[User], APIClient]:
    """A client that is signed in as somebody."""

    def signed_in(user: User) -> APIClient:
        client = APIClient()
        client.force_authenticate(user)
        return client

    return signed_in


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
