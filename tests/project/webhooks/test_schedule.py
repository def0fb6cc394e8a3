from datetime import UTC, datetime, timedelta

import pytest

from project.webhooks.schedule import DELAYS_SECONDS, MAX_ATTEMPTS, Outcome, next_attempt, retry_after

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FAILED = Outcome(status=500)


def test_ten_attempts_over_about_three_days():
    assert MAX_ATTEMPTS == 10
    assert 74 * 3600 < sum(DELAYS_SECONDS) < 77 * 3600


@pytest.mark.parametrize("attempts", range(1, 10))
def test_each_failure_waits_longer(attempts):
    base = timedelta(seconds=DELAYS_SECONDS[attempts])
    assert next_attempt(FAILED, attempts=attempts, now=NOW, spread=0) == NOW + base
    assert next_attempt(FAILED, attempts=attempts, now=NOW, spread=1) == NOW + base * 1.1


def test_the_tenth_failure_is_the_last():
    assert next_attempt(FAILED, attempts=10, now=NOW) is None


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_any_2xx_is_success(status):
    assert Outcome(status=status).succeeded
    assert next_attempt(Outcome(status=status), attempts=1, now=NOW) is None


@pytest.mark.parametrize("status", [None, 100, 301, 302, 307, 400, 404, 500])
def test_everything_else_is_tried_again(status):
    assert not Outcome(status=status).succeeded
    assert next_attempt(Outcome(status=status), attempts=1, now=NOW) is not None


def test_gone_is_over():
    assert next_attempt(Outcome(status=410), attempts=1, now=NOW) is None


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_who_asks_for_patience_gets_it_within_a_day(status):
    def wait(seconds):
        outcome = Outcome(status=status, retry_after=timedelta(seconds=seconds))
        return next_attempt(outcome, attempts=1, now=NOW, spread=0) - NOW

    assert wait(600) == timedelta(seconds=600)
    assert wait(1) == timedelta(seconds=5)
    assert wait(10**8) == timedelta(days=1)


def test_other_answers_have_no_say():
    outcome = Outcome(status=500, retry_after=timedelta(seconds=600))
    assert next_attempt(outcome, attempts=1, now=NOW, spread=0) == NOW + timedelta(seconds=5)


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [
        ("120", 120), ("0", 0), (" 7 ", 7), ("Fri, 02 Jan 2026 03:05:05 GMT", 60),
        ("Fri, 02 Jan 2026 03:00:00 GMT", 0), ("", None), ("soon", None), ("-5", None), ("1" * 30, None),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(raw, seconds):
    found = retry_after({"Retry-After": raw}, now=NOW)
    assert found == (None if seconds is None else timedelta(seconds=seconds))
