"""Exclusive rights: one holder at a time, larger tokens each time, live sessions first."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import redis

from tests.support.valkey import valkey_server
from workers.adapters.errors import AdapterError
from workers.leases import KEY, Held, Leases

SERVER = "avatar-server:gpu-1:8765"


@pytest.fixture(scope="module")
def client() -> Iterator[redis.Redis]:
    with valkey_server() as url, redis.Redis.from_url(url) as connection:
        yield connection


@pytest.fixture
def leases(client: redis.Redis) -> Leases:
    client.flushall()
    return Leases(lambda: client, ttl_seconds=5)


def taken(leases: Leases, *, live: bool = False, wait: float = 0.0) -> bool:
    try:
        with leases.hold(SERVER, live=live, wait_seconds=wait):
            return True
    except AdapterError as error:
        return (error.code, error.retryable) != ("model_busy", True)


def test_one_holds_it_at_a_time(leases: Leases) -> None:
    assert leases.free(SERVER)
    with leases.hold(SERVER, live=True) as held:
        held.check()
        assert not leases.free(SERVER)
        assert not taken(leases)
        assert not taken(leases, live=True)
    assert leases.free(SERVER)


def test_servers_are_held_each_for_itself(leases: Leases) -> None:
    with leases.hold(SERVER, live=True), leases.hold("avatar-server:gpu-2:8765", live=True) as other:
        other.check()


def test_tokens_grow_even_when_the_broker_forgot_everything(leases: Leases, client: redis.Redis) -> None:
    tokens = []
    for forgets in (False, False, True, True, False):
        with leases.hold(SERVER, live=False) as held:
            tokens.append(held.token)
        if forgets:
            client.flushall()
            time.sleep(0.002)  # the broker's clock is the floor: it counts in ms
    assert tokens == sorted(set(tokens))


def test_clips_wait_for_live_sessions_that_wait(leases: Leases) -> None:
    with leases.hold(SERVER, live=False) as held:
        assert not held.wanted
        assert not taken(leases, live=True)
        held.renew()
        assert held.wanted
    assert not taken(leases)  # somebody more urgent is in line
    assert taken(leases, live=True)


def test_who_stopped_waiting_is_forgotten(
    leases: Leases, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.leases.WAITING_MS", 1)
    with leases.hold(SERVER, live=False) as held:
        assert not taken(leases, live=True)
        time.sleep(0.005)
        held.renew()
        assert not held.wanted
    assert taken(leases)


def test_a_waiting_session_gets_it_when_it_is_given_back(leases: Leases) -> None:
    got: list[int] = []

    def wait() -> None:
        with leases.hold(SERVER, live=True, wait_seconds=20) as held:
            got.append(held.token)

    thread = threading.Thread(target=wait)
    with leases.hold(SERVER, live=False) as held:
        thread.start()
        while not held.wanted:
            time.sleep(0.005)
            held.renew()
        assert got == []
    thread.join(10)
    assert got
    assert got[0] > held.token


def test_it_is_prolonged_until_it_is_given_back(client: redis.Redis) -> None:
    client.flushall()
    leases = Leases(lambda: client, ttl_seconds=0.3)
    with leases.hold(SERVER, live=False) as held:
        time.sleep(0.7)
        held.check()
        assert not taken(leases)


def test_it_ends_by_itself_when_its_holder_is_gone(client: redis.Redis) -> None:
    client.flushall()
    leases = Leases(lambda: client, ttl_seconds=0.2)
    held = leases._taken(SERVER, live=False, wait_seconds=0)  # whose thread never ran: a killed process
    assert not taken(leases)
    assert taken(leases, wait=5)
    assert held.lost
    with pytest.raises(AdapterError) as caught:
        held.check()
    assert (caught.value.code, caught.value.retryable) == ("lease_lost", True)


def test_what_another_holds_by_now_is_neither_prolonged_nor_given_back(
    leases: Leases, client: redis.Redis
) -> None:
    with leases.hold(SERVER, live=False) as old:
        client.delete(f"{KEY}{{{SERVER}}}:held")
        with leases.hold(SERVER, live=False) as new:
            old.renew()
            assert old.lost
            old.release()
            new.renew()
            assert not new.lost
            assert new.token > old.token


def test_it_is_lost_when_the_broker_stays_away(client: redis.Redis) -> None:
    def away() -> redis.Redis:
        raise redis.ConnectionError

    held = Held(away, SERVER, "me", 1, ttl_seconds=0.05, since=time.monotonic())
    held.start()
    held.check()
    time.sleep(0.06)
    assert held.lost
    held.release()


def test_without_a_broker_nothing_is_held() -> None:
    def away() -> redis.Redis:
        raise redis.ConnectionError

    with pytest.raises(AdapterError) as caught, Leases(away).hold(SERVER, live=True):
        pass
    assert caught.value.code == "model_busy"
    assert "gpu-1" not in str(caught.value) + caught.value.provider


def test_many_at_once_are_one_after_another(client: redis.Redis) -> None:
    client.flushall()
    leases = Leases(lambda: client, ttl_seconds=5)
    inside, most, tokens = [0], [0], list[int]()
    guard = threading.Lock()

    def work() -> None:
        with leases.hold(SERVER, live=True, wait_seconds=20) as held:
            with guard:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                tokens.append(held.token)
            with guard:
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == [1]
    assert len(set(tokens)) == 6
