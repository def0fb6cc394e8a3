import pytest

from project.accounts.models import Allowance
from project.api import throttling
from project.api.throttling import Limiter
from tests.support.valkey import valkey_server


@pytest.fixture(scope="module")
def valkey():
    with valkey_server() as url:
        yield url


@pytest.fixture
def counted(valkey, settings):
    """The service counts in a real Valkey."""
    settings.REDIS_URL = valkey
    throttling.limiter.cache_clear()
    yield
    throttling.limiter.cache_clear()


def test_exactly_the_limit_passes_at_once(valkey):
    limiter = Limiter(valkey)
    decisions = [limiter.take("exact", limit=5, window_seconds=3600) for _ in range(7)]
    assert [decision.allowed for decision in decisions] == [True] * 5 + [False] * 2
    assert [decision.remaining for decision in decisions] == [4, 3, 2, 1, 0, 0, 0]
    assert 0 < decisions[-1].retry_after <= 720
    assert 3500 < decisions[-1].reset <= 3600


def test_a_refused_request_costs_nothing(valkey):
    limiter = Limiter(valkey)
    limiter.take("cost", limit=1, window_seconds=3600)
    waits = {limiter.take("cost", limit=1, window_seconds=3600).retry_after for _ in range(20)}
    assert max(waits) <= 3600


def test_keys_do_not_share(valkey):
    limiter = Limiter(valkey)
    assert limiter.take("one", limit=1, window_seconds=3600).allowed
    assert limiter.take("two", limit=1, window_seconds=3600).allowed


def test_a_limit_of_nothing_lets_nothing_through(valkey):
    assert not Limiter(valkey).take("none", limit=0).allowed


def test_requests_over_the_allowance_are_refused_and_say_so(counted, alice, as_user):
    Allowance.objects.create(owner=alice, requests_a_minute=2)
    api = as_user(alice)
    first = api.get("/api/v1/me")
    assert first["RateLimit-Policy"] == '"requests";q=2;w=60'
    assert first["RateLimit"].startswith('"requests";r=1;t=')
    api.get("/api/v1/me")
    refused = api.get("/api/v1/me")
    assert refused.status_code == 429
    body = refused.json()
    assert body["code"] == "rate_limited"
    assert body["violated-policies"] == ["requests"]
    assert 1 <= int(refused["Retry-After"]) <= 31
    assert refused["RateLimit"].startswith('"requests";r=0;t=')


def test_all_keys_of_an_account_count_together(counted, alice, mallory, as_user):
    Allowance.objects.create(owner=alice, requests_a_minute=1)
    assert as_user(alice).get("/api/v1/me").status_code == 200
    assert as_user(alice).get("/api/v1/me").status_code == 429
    assert as_user(mallory).get("/api/v1/me").status_code == 200


def test_requests_pass_while_nobody_can_count(alice, as_user, settings, caplog):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    throttling.limiter.cache_clear()
    Allowance.objects.create(owner=alice, requests_a_minute=1)
    api = as_user(alice)
    assert [api.get("/api/v1/me").status_code for _ in range(3)] == [200] * 3
    assert "not being counted" in caplog.text
    throttling.limiter.cache_clear()
