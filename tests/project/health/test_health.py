import threading

import pytest

from project.health import checks
from storage.errors import StorageError
from tests.support.objects import MemoryStore
from tests.support.valkey import valkey_server


@pytest.fixture(scope="module")
def valkey():
    with valkey_server() as url:
        yield url


@pytest.fixture
def store(monkeypatch):
    memory = MemoryStore()
    monkeypatch.setattr(checks, "store", lambda: memory)
    return memory


@pytest.fixture
def all_there(transactional_db, valkey, settings, store):
    settings.REDIS_URL = valkey
    settings.HEALTH_TOKEN = "see-it-all"
    checks._redis.cache_clear()
    yield
    checks._redis.cache_clear()


def detailed(client):
    return client.get("/readyz", headers={"Authorization": "Bearer see-it-all"})


def test_alive_asks_nobody(client):
    answer = client.get("/livez")
    assert (answer.status_code, answer.content) == (200, b"ok\n")
    assert "no-store" in answer["Cache-Control"]


def test_ready_when_every_part_answers(client, all_there):
    answer = client.get("/readyz")
    assert answer.status_code == 200, detailed(client).json()
    assert answer.json() == {"status": "ready"}
    assert {name for name, check in detailed(client).json()["checks"].items() if check["ok"]} == {
        "database", "broker", "storage",
    }  # fmt: skip


def test_not_ready_without_the_broker_and_strangers_learn_no_more(client, all_there, settings):
    settings.REDIS_URL = "redis://:secret@127.0.0.1:1/0"
    checks._redis.cache_clear()
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "not_ready"}
    found = detailed(client).json()["checks"]
    assert [name for name, check in found.items() if not check["ok"]] == ["broker"]
    assert "secret" not in str(found)


def test_not_ready_without_storage(client, all_there, store):
    store.failure = StorageError("The bucket is away")
    assert detailed(client).json()["checks"]["storage"]["ok"] is False


def test_a_part_that_hangs_is_away(client, all_there, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(checks, "DEADLINE_SECONDS", 0.2)
    monkeypatch.setitem(checks.PROBES, "storage", lambda: release.wait(30))
    try:
        found = detailed(client).json()["checks"]
    finally:
        release.set()
    assert found["storage"]["error"] == "no answer in time"


@pytest.mark.parametrize("header", ["", "Bearer wrong", "Basic see-it-all", "Bearer "])
def test_metrics_need_their_token(client, settings, header):
    settings.METRICS_TOKEN = "count-it-all"
    assert client.get("/metrics", headers={"Authorization": header}).status_code == 401


def test_an_unset_token_opens_nothing(client, settings):
    settings.METRICS_TOKEN = ""
    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 401


def test_metrics_are_in_prometheus_format(client, settings):
    settings.METRICS_TOKEN = "count-it-all"
    answer = client.get("/metrics", headers={"Authorization": "Bearer count-it-all"})
    assert answer["Content-Type"].startswith("text/plain; version=0.0.4")
    figures = dict(line.rsplit(" ", 1) for line in answer.content.decode().splitlines() if line[0] != "#")
    name = f'{{process="{settings.PROCESS_NAME}"}}'
    assert float(figures[f"process_resident_memory_bytes{name}"]) > 10_000_000
    assert float(figures[f"process_cpu_seconds_total{name}"]) > 0


def test_health_cannot_be_posted_to(client):
    assert client.post("/livez").status_code == 405
