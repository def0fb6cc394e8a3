"""When a session is warned and when it ends."""

import pytest

from sessions.runtime.timers import Limits, Timers

LIMITS = Limits(connect=20, idle=300, reconnect=30, queue=120, warning=60, maximum=1800)


def timers(**known: float | bool | None) -> Timers:
    return Timers(LIMITS, **({"opened_at": 0.0, "active_at": 0.0, "last_activity_at": 0.0} | known))  # type: ignore[arg-type]


def test_a_client_that_joins_and_never_connects_is_let_go() -> None:
    waiting = timers(peer_lost_at=0.0)
    assert waiting.due(19.9) is None
    assert waiting.due(20.0) == "connect_timeout"


def test_the_wait_for_a_connection_begins_again_with_a_new_host() -> None:
    assert timers(active_at=-500.0, opened_at=0.0, peer_lost_at=0.0, last_activity_at=0.0).due(19.0) is None


def test_a_lost_connection_may_come_back_for_a_while() -> None:
    lost = timers(had_peer=True, peer_lost_at=100.0, last_activity_at=100.0)
    assert lost.due(129.0) is None
    assert lost.due(130.0) == "disconnected"
    lost.peer_lost_at = None
    assert lost.due(131.0) is None


def test_nobody_saying_anything_ends_a_session() -> None:
    quiet = timers(had_peer=True, last_activity_at=50.0)
    assert quiet.due(349.0) is None
    assert quiet.due(350.0) == "idle_timeout"


def test_the_longest_duration_is_announced_once_and_then_ends_the_session() -> None:
    talking = timers(had_peer=True)
    talking.last_activity_at = 1700.0
    assert talking.warn(1739.0) is False
    assert talking.ends_in(1739.0) == 61
    assert talking.warn(1740.0) is True
    assert talking.warn(1741.0) is False
    talking.last_activity_at = 1800.0
    assert talking.due(1799.0) is None
    assert talking.due(1800.0) == "max_duration"


@pytest.mark.parametrize(("now", "reason"), [(119.0, None), (120.0, "queue_timeout")])
def test_waiting_in_the_queue_has_an_end(now: float, reason: str | None) -> None:
    assert timers(active_at=None, queued_at=0.0).due(now) == reason


def test_a_page_that_was_closed_loses_its_place_in_the_queue() -> None:
    left = timers(active_at=None, queued_at=0.0, socket_lost_at=10.0)
    assert left.due(39.0) is None
    assert left.due(40.0) == "disconnected"


def test_nobody_is_warned_or_timed_out_before_the_session_is_active() -> None:
    queued = timers(active_at=None, queued_at=0.0)
    assert queued.ends_in(5.0) is None
    assert queued.warn(5.0) is False
