"""What is known of the providers."""

from workers.adapters import health
from workers.adapters.errors import AdapterError
from workers.adapters.health import Health, Ledger

AWAY = AdapterError("away", provider="acme", retryable=True, code="provider_unreachable")


def test_it_tells_who_served_and_what_failed_last():
    now = [100.0]
    ledger = Ledger(lambda: now[0])
    ledger.heard("tts", "acme", 80.0)
    ledger.heard("tts", "acme", 100.0)
    now[0] = 160.0
    ledger.heard("tts", "acme", 240.0)
    now[0] = 170.0
    ledger.failed("tts", "acme", AWAY)
    assert ledger.snapshot() == [Health("tts", "acme", 3, 1, "provider_unreachable", 170.0, 160.0, 100.0)]


def test_kinds_are_told_apart():
    ledger = Ledger(lambda: 1.0)
    ledger.heard("tts", "acme", 80.0)
    ledger.failed("llm", "acme", AWAY)
    assert {(one.kind, one.served, one.failed) for one in ledger.snapshot()} == {("tts", 1, 0), ("llm", 0, 1)}


def test_the_median_is_that_of_the_last_answers():
    ledger = Ledger()
    for _ in range(health.REMEMBERED):
        ledger.heard("tts", "acme", 5000.0)
    for _ in range(health.REMEMBERED):
        ledger.heard("tts", "acme", 70.0)
    (one,) = ledger.snapshot()
    assert (one.served, one.median_first_ms) == (2 * health.REMEMBERED, 70.0)


def test_who_never_answered_has_no_median():
    ledger = Ledger()
    ledger.failed("stt", "acme", AWAY)
    assert ledger.snapshot()[0].median_first_ms is None


def test_whoever_counts_is_told_of_every_answer_and_failure(monkeypatch):
    told = []
    monkeypatch.setattr(health, "TOLD", [lambda *what: told.append(what)])
    health.heard("tts", "acme", 80.0)
    health.failed("llm", "acme", AWAY)
    assert told == [("tts", "acme", 80.0), ("llm", "acme", None)]
    health.reset()
    assert health.snapshot() == []
