"""Guessing passwords is slow, and does not lock everybody out."""

import pytest
from django.test import Client

from project.api import throttling
from project.web import attempts
from tests.support.valkey import valkey_server

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def valkey():
    with valkey_server() as url:
        yield url


@pytest.fixture
def counted(valkey, settings, monkeypatch):
    """The service counts in a Valkey of its own, from nothing."""
    settings.REDIS_URL = valkey
    throttling.limiter.cache_clear()
    throttling.limiter()._redis.flushall()
    monkeypatch.setattr(attempts, "PER_ADDRESS", 5)
    monkeypatch.setattr(attempts, "PER_ACCOUNT", 3)
    yield
    throttling.limiter.cache_clear()


def sign_in(name="alice@example.org", password="wrong", address="192.0.2.1", path="/login/"):
    form = {"username": name, "password": password}
    return Client(REMOTE_ADDR=address).post(path, form)


@pytest.mark.parametrize("path", ["/login/", "/admin/login/"])
def test_an_account_is_guessed_at_a_few_times_from_wherever(counted, alice, path) -> None:
    answers = [sign_in(address=f"192.0.2.{n}", path=path).status_code for n in range(5)]
    assert answers == [200, 200, 200, 429, 429]
    right = sign_in(password=PASSWORD, address="192.0.2.9", path=path)
    assert right.status_code == 429, "the right password is not told apart"


def test_the_two_doors_count_together(counted, alice) -> None:
    for path in ("/login/", "/admin/login/", "/login/"):
        sign_in(path=path)
    assert sign_in(path="/admin/login/", address="192.0.2.7").status_code == 429


def test_the_spelling_of_a_name_does_not_matter(counted, alice) -> None:
    for name in ("Alice@example.org", " alice@example.org", "ALICE@EXAMPLE.ORG "):
        sign_in(name, address=f"192.0.2.{len(name)}")
    assert sign_in(address="192.0.2.200").status_code == 429


def test_an_address_guesses_at_a_few_accounts(counted, alice) -> None:
    answers = [sign_in(f"user{n}@example.org").status_code for n in range(7)]
    assert answers == [200] * 5 + [429] * 2
    elsewhere = sign_in(password=PASSWORD, address="198.51.100.1")
    assert (elsewhere.status_code, elsewhere["Location"]) == (302, "/")


def test_the_page_says_for_how_long_to_wait(counted, alice) -> None:
    for _ in range(3):
        sign_in()
    answer = sign_in()
    assert answer.status_code == 429
    assert 1 <= int(answer["Retry-After"]) <= attempts.ACCOUNT_SECONDS
    assert "Too many attempts to sign in" in answer.content.decode()
    assert "minutes" in answer.content.decode()


def test_whoever_gets_in_starts_anew(counted, alice) -> None:
    for n in range(6):
        assert sign_in(address=f"192.0.2.{n}").status_code == 200
        assert sign_in(password=PASSWORD, address=f"198.51.100.{n}").status_code == 302


def test_looking_at_the_page_is_no_attempt(counted, alice) -> None:
    for _ in range(8):
        assert Client(REMOTE_ADDR="192.0.2.1").get("/login/").status_code == 200
    assert sign_in(password=PASSWORD).status_code == 302


def test_somebody_can_sign_in_while_nobody_can_count(alice, settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    throttling.limiter.cache_clear()
    for _ in range(12):
        answer = sign_in(password=PASSWORD)
    assert answer.status_code == 302
    throttling.limiter.cache_clear()
