"""How the providers do: figures of all processes, probes, and who may see what."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis
from rest_framework.test import APIClient

from generation.providers import probing, publishing
from project.accounts.models import Role, User
from project.metrics import instruments, page
from tests.generation.providers.conftest import SECRET
from tests.support.elevenlabs import ElevenLabsService
from workers.adapters import health
from workers.adapters.breaker import breaker
from workers.adapters.endpoint import Endpoint
from workers.adapters.errors import AdapterError

pytestmark = pytest.mark.django_db(transaction=True)
FAULT = AdapterError("away", provider="elevenlabs", retryable=True, code="provider_timeout")


@pytest.fixture
def staff(transactional_db: None) -> User:
    return User.objects.create_user("staff@example.com", role=Role.ADMIN)


def _of(answer: Any, provider: str) -> dict[str, Any]:
    return next(row for row in answer.json() if row["id"] == provider)


def _kind(row: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(one for one in row["kinds"] if one["kind"] == kind)


def _another_process(client: "redis.Redis", rows: list[dict[str, Any]], at: float | None = None) -> None:
    content = {"at": time.time() if at is None else at, "rows": rows}
    client.hset(publishing.KEY, "elsewhere:1", json.dumps(content))


def _figures(**changes: Any) -> dict[str, Any]:
    return {
        "kind": "tts",
        "provider": "elevenlabs",
        "served": 3,
        "failed": 1,
        "last_error_code": "provider_busy",
        "last_error_at": 50.0,
        "last_served_at": 60.0,
        "median_first_ms": 300.0,
        "breaker_open": False,
    } | changes


def test_the_figures_of_all_processes_are_merged(valkey: "redis.Redis") -> None:
    health.heard("tts", "elevenlabs", 100.0)
    health.failed("tts", "elevenlabs", FAULT)
    _another_process(valkey, [_figures(breaker_open=True)])
    merged = publishing.merged()["tts", "elevenlabs"]
    assert (merged.served, merged.failed) == (4, 2)
    assert merged.last_error_code == "provider_timeout"  # the later one
    assert merged.median_first_ms == 300.0  # three of four answers
    assert merged.breaker_open


def test_what_a_process_told_long_ago_is_forgotten(valkey: "redis.Redis") -> None:
    _another_process(valkey, [_figures()], at=time.time() - publishing.KEPT_SECONDS - 1)
    assert publishing.merged() == {}
    assert not valkey.hexists(publishing.KEY, "elsewhere:1")


def test_a_process_tells_small_expiring_figures_without_words(valkey: "redis.Redis") -> None:
    health.failed("tts", "elevenlabs", AdapterError(f"said {SECRET}", provider="elevenlabs", retryable=True))
    publishing.publish()
    told = b"".join(valkey.hvals(publishing.KEY))
    assert SECRET.encode() not in told
    assert 0 < valkey.ttl(publishing.KEY) <= publishing.KEPT_SECONDS
    publishing.publish()
    assert valkey.hlen(publishing.KEY) == 1
    assert publishing.merged()["tts", "elevenlabs"].failed == 1  # its own is not counted twice


def test_without_redis_a_process_still_knows_its_own(settings: Any) -> None:
    health.heard("llm", "llm", 20.0)
    publishing.client.cache_clear()
    assert publishing.merged()["llm", "llm"].served == 1


def test_a_probe_tells_who_can_be_reached(eleven: ElevenLabsService, valkey: "redis.Redis") -> None:
    found = probing.probe()
    assert found["elevenlabs"].reachable
    assert not found["local"].reachable  # nobody listens there in tests
    assert probing.known() == found


@pytest.mark.parametrize(
    ("address", "error"),
    [
        ("http://127.0.0.1:1", "unreachable"),
        ("nonsense", "unreachable"),
        ("https://127.0.0.1:1", "unreachable"),
    ],
)
def test_a_probe_never_raises(address: str, error: str) -> None:
    assert probing.try_to_reach(Endpoint(address), 1.0).error == error


def test_a_server_that_speaks_no_tls_is_told_apart(eleven: ElevenLabsService) -> None:
    reach = probing.try_to_reach(Endpoint(eleven.url.replace("http://", "https://")), 2.0)
    assert reach.error in ("tls_failed", "unreachable", "timeout")
    assert not reach.reachable


def test_customers_see_who_works_and_staff_sees_why_not(
    api: Callable[[User], APIClient],
    alice: User,
    staff: User,
    eleven: ElevenLabsService,
    valkey: "redis.Redis",
) -> None:
    health.failed("tts", "elevenlabs", FAULT)
    for _ in range(3):
        breaker("tts", "elevenlabs").failed(FAULT)
    probing.probe()
    seen = _of(api(alice).get("/api/v1/providers"), "elevenlabs")
    assert seen["configured"]
    assert seen["reachable"]
    assert _kind(seen, "tts")["breaker_open"]
    assert "last_error" not in _kind(seen, "tts")
    assert "credentials" not in seen
    full = _of(api(staff).get("/api/v1/providers"), "elevenlabs")
    assert _kind(full, "tts")["last_error"]["code"] == "provider_timeout"
    assert full["credentials"] == ["ELEVENLABS_API_KEY"]


def test_no_answer_holds_a_key(  # noqa: PLR0917 - fixtures
    api: Callable[[User], APIClient],
    staff: User,
    eleven: ElevenLabsService,
    valkey: "redis.Redis",
    settings: Any,
    logs: pytest.LogCaptureFixture,
) -> None:
    settings.SPEECH_API_KEY = settings.LLM_API_KEY = SECRET
    settings.LLM_BASE_URL = "http://127.0.0.1:1/v1"
    probing.probe()
    publishing.publish()
    client = api(staff)
    told = "".join(
        client.get(f"/api/v1/{what}").content.decode() for what in ("providers", "voices", "voices/consent")
    )
    kept = b"".join([*valkey.hvals(probing.KEY), *valkey.hvals(publishing.KEY)]).decode()
    everything = told + kept + logs.text + page.render().decode()
    for part in (SECRET, SECRET[:10], SECRET[-10:]):
        assert part not in everything


def test_unconfigured_providers_say_what_they_need(api: Callable[[User], APIClient], staff: User) -> None:
    row = _of(api(staff).get("/api/v1/providers"), "elevenlabs")
    assert not row["configured"]
    assert row["reachable"] is None
    assert row["credentials"] == ["ELEVENLABS_API_KEY"]


def test_prometheus_gets_families_with_labels() -> None:
    before = instruments.provider_requests.labels("tts", "local")._value.get()
    health.heard("tts", "local", 100.0)
    health.heard("tts", "elevenlabs", 200.0)
    lines = page.render().decode().splitlines()
    assert lines.count("# TYPE parley_provider_requests_total counter") == 1
    assert f'parley_provider_requests_total{{kind="tts",provider="local"}} {before + 1}' in lines
    assert 'parley_provider_breaker_open{kind="tts",provider="elevenlabs"} 0.0' in lines
    assert not any(line.startswith("#") and "{" in line for line in lines)
