"""A provider that fails is left alone for a while."""

import os

import pytest

from workers.adapters import breaker
from workers.adapters.breaker import FAULTS, FIRST_SECONDS, LONGEST_SECONDS, PROBE_SECONDS, Breaker
from workers.adapters.errors import AdapterError
from workers.adapters.refusals import refusal

AWAY = AdapterError("away", provider="acme", retryable=True, code="provider_unreachable")
NO_KEY = AdapterError("no", provider="acme", retryable=False, code="provider_unauthorized")
NO_MONEY = AdapterError("no", provider="acme", retryable=False, code="provider_quota")
NO_VOICE = AdapterError("no", provider="acme", retryable=False, code="voice_not_found")
NONSENSE = AdapterError("no", provider="acme", retryable=False)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def opened(clock: Clock) -> Breaker:
    made = Breaker(clock)
    for _ in range(FAULTS):
        assert made.allows()
        made.failed(AWAY)
    return made


def test_it_opens_after_some_faults_in_a_row(clock: Clock):
    made = opened(clock)
    assert made.open
    assert not made.allows()


def test_a_success_in_between_begins_the_count_anew(clock: Clock):
    made = Breaker(clock)
    for _ in range(FAULTS):
        made.failed(AWAY)
        made.failed(AWAY)
        made.succeeded()
    assert made.allows()


@pytest.mark.parametrize("error", [NO_KEY, NO_MONEY])
def test_a_fault_of_the_account_opens_it_at_once(clock: Clock, error: AdapterError):
    made = Breaker(clock)
    made.failed(error)
    assert not made.allows()


def test_a_fault_of_the_request_tells_that_the_provider_is_well(clock: Clock):
    made = Breaker(clock)
    made.failed(AWAY)
    made.failed(AWAY)
    for _ in range(10):
        made.failed(NO_VOICE)
    made.failed(AWAY)
    assert made.allows()


def test_texts_that_a_voice_cannot_say_do_not_open_it(clock: Clock):
    silent = AdapterError("no", provider="acme", retryable=True, code="no_audio")
    made = Breaker(clock)
    for _ in range(3 * FAULTS):
        made.failed(silent)
    assert made.allows()
    made = opened(clock)
    clock.now += FIRST_SECONDS + 1
    assert made.allows()
    made.failed(silent)  # a trial has to prove more
    assert made.open


@pytest.mark.parametrize("status", [405, 413, 415, 422, 451])
def test_requests_that_are_refused_do_not_open_it(clock: Clock, status: int):
    made = Breaker(clock)
    for _ in range(3 * FAULTS):
        made.failed(refusal("acme", status, b"{}", None))
    assert made.allows()


def test_nonsense_counts_like_no_answer(clock: Clock):
    made = Breaker(clock)
    for _ in range(FAULTS):
        made.failed(NONSENSE)
    assert made.open


def test_after_a_while_one_request_is_let_through(clock: Clock):
    made = opened(clock)
    clock.now += FIRST_SECONDS - 0.1
    assert not made.allows()
    clock.now += 0.2
    assert made.allows()
    assert not made.allows()


def test_its_success_closes_it(clock: Clock):
    made = opened(clock)
    clock.now += FIRST_SECONDS
    assert made.allows()
    made.succeeded()
    assert [made.allows() for _ in range(3)] == [True] * 3


def test_its_failure_opens_it_for_twice_as_long_up_to_a_limit(clock: Clock):
    made, seconds = opened(clock), FIRST_SECONDS
    for _ in range(6):
        clock.now += seconds
        assert made.allows()
        made.failed(AWAY)
        seconds = min(seconds * 2, LONGEST_SECONDS)
        clock.now += seconds - 0.1
        assert not made.allows()
        clock.now += 0.1 - 1e-6
        assert not made.allows()
        clock.now += 1e-6 - seconds  # the loop moves it on again


def test_late_faults_of_earlier_requests_do_not_prolong_it(clock: Clock):
    made = opened(clock)
    clock.now += FIRST_SECONDS / 2
    made.failed(AWAY)
    made.failed(NO_KEY)
    clock.now += FIRST_SECONDS / 2
    assert made.allows()


def test_a_trial_that_nobody_ends_does_not_hold_it_for_ever(clock: Clock):
    made = opened(clock)
    clock.now += FIRST_SECONDS
    assert made.allows()
    clock.now += PROBE_SECONDS
    assert made.allows()


def test_there_is_one_per_kind_and_provider():
    breaker.reset()
    first = breaker.breaker("tts", "acme")
    assert breaker.breaker("tts", "acme") is first
    assert breaker.breaker("stt", "acme") is not first
    assert breaker.breaker("tts", "other") is not first


def test_a_child_of_a_fork_begins_anew():
    breaker.reset()
    breaker.breaker("tts", "acme").failed(NO_KEY)
    child = os.fork()
    if not child:
        os._exit(0 if breaker.breaker("tts", "acme").allows() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not breaker.breaker("tts", "acme").allows()
    breaker.reset()
