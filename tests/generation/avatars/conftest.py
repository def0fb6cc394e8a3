import pytest

from generation.avatars import preparation, services
from project.accounts.models import Role, User
from tests.support import pictures
from workers import dispatch


@pytest.fixture
def operator(transactional_db: None) -> User:
    return User.objects.create_user("operator@example.com", role=Role.OPERATOR)


@pytest.fixture
def workshop(monkeypatch, broker, objects):
    """A broker that also runs preparations; everything stays in memory."""
    monkeypatch.setitem(
        __import__("tests.support.clips", fromlist=["TASKS"]).TASKS,
        dispatch.PREPARE_AVATAR,
        preparation.prepare,
    )
    return broker


@pytest.fixture
def new_avatar(transactional_db, workshop):
    """A test card that waits for its preparation."""

    def create(**facts):
        facts = {"image": pictures.plain(), "model": "mock"} | facts
        return services.avatar_create(None, facts.pop("name", "Test card"), **facts)

    return create
