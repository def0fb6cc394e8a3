"""The cast: Alice owns things, Mallory is entitled to nothing of hers, Olga runs the service."""

import socket

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from project.accounts import keys
from project.accounts.models import Role, User
from project.api import addresses


@pytest.fixture
def alice(db):
    return User.objects.create_user("alice@example.org", "correct horse battery", name="Alice")


@pytest.fixture
def mallory(db):
    return User.objects.create_user("mallory@example.org", "also a long password")


@pytest.fixture
def olga(db):
    return User.objects.create_user("olga@example.org", "the operator's own", role=Role.OPERATOR)


@pytest.fixture
def admin(db):
    return User.objects.create_user("ada@example.org", "the admin's own word", role=Role.ADMIN)


@pytest.fixture
def as_user(db):
    """A REST client with a fresh key of this user: `as_user(alice, scopes=[...])`."""

    def client_of(user, scopes=None, **kwargs):
        _, text = keys.create(user, name="Test key", scopes=scopes)
        client = APIClient(**kwargs)
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
        return client

    return client_of


@pytest.fixture
def later(monkeypatch):
    """Move Django's clock: `later(timedelta(hours=25))`."""

    real = timezone.now

    def move(by):
        monkeypatch.setattr(timezone, "now", lambda: real() + by)

    return move


@pytest.fixture
def dns(monkeypatch):
    """A made-up DNS: `dns["host"] = ["address", ...]`. Numeric hosts resolve to themselves."""
    names: dict[str, list[str]] = {}

    def resolve(host, port):
        try:
            socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
        except OSError:
            return names.get(host, [])
        return [host]

    monkeypatch.setattr(addresses, "resolve", resolve)
    return names
