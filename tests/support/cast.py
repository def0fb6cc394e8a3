"""The cast of tests that use the catalogue: Alice who owns things, Mallory who does not, and their world.

A conftest imports the fixtures that its tests ask for.
"""

from collections.abc import Callable

import pytest
from rest_framework.test import APIClient

from project.accounts.models import Role, User
from tests.support.clips import Broker
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
def api() -> Callable[[User], APIClient]:
    """A client that is signed in as somebody."""

    def signed_in(user: User) -> APIClient:
        client = APIClient()
        client.force_authenticate(user)
        return client

    return signed_in
