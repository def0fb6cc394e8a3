"""Every way a session can be left lying, and the end that it gets."""

import pytest

from project.accounts import allowances
from sessions import reaping, services
from sessions.models import Session
from tests.support.sessions import create, join, started, turn_back

pytestmark = pytest.mark.postgres


def end_of(session):
    row = Session.objects.get(pk=session.pk)
    return row.status, row.end_reason


def test_a_token_that_nobody_used(alice, avatar) -> None:
    session = create(alice, avatar).session
    assert reaping.reap() == 0
    turn_back(session, 301, "token_expires_at")
    assert reaping.reap() == 1
    assert end_of(session) == ("ended", "connect_timeout")


def test_sessions_that_are_over_cost_a_pass_one_query(alice, avatar, django_assert_num_queries) -> None:
    session, _ = started(alice, avatar)
    services.session_end(session.pk, "api_ended")
    with django_assert_num_queries(1):
        assert reaping.reap() == 0


def test_a_client_that_was_let_in_and_never_hosted(alice, avatar) -> None:
    created = create(alice, avatar)
    services.session_open(created.session.pk, created.client_token)
    assert reaping.reap() == 0
    turn_back(created.session, 31, "token_used_at")
    reaping.reap()
    assert end_of(created.session) == ("ended", "connect_timeout")


def test_one_that_joined_and_never_asked_for_a_place(alice, avatar) -> None:
    created = create(alice, avatar)
    join(created)
    turn_back(created.session, 60, "host_lease_until")
    reaping.reap()
    assert end_of(created.session) == ("ended", "host_lost")


def test_a_host_that_died(alice, avatar) -> None:
    session, _ = started(alice, avatar)
    services.session_media_started(session.pk, 1, session.started_at)
    turn_back(session, 20, "host_lease_until")
    assert reaping.reap() == 0, "its client may come back"
    turn_back(session, 20, "host_lease_until")
    assert reaping.reap() == 1
    assert end_of(session) == ("ended", "host_lost")


def test_a_host_that_gave_it_up_and_a_client_that_did_not_come_back(alice, avatar) -> None:
    session, fence = started(alice, avatar)
    services.host_release(session.pk, "web-1", fence)
    assert reaping.reap() == 0
    turn_back(session, 31, "host_lease_until")
    reaping.reap()
    assert end_of(session) == ("ended", "disconnected")


def test_one_that_was_taken_over_in_time_lives(alice, avatar) -> None:
    session, _ = started(alice, avatar)
    turn_back(session, 60, "host_lease_until")
    services.host_claim(session.pk, "web-2")
    assert reaping.reap() == 0
    assert end_of(session) == ("active", "")


def test_a_wait_in_the_queue_that_took_too_long(alice, avatar, settings) -> None:
    settings.LIVE_MAX_SESSIONS = 1
    started(alice, avatar)
    waiting, _ = started(alice, avatar)
    turn_back(waiting, 301, "queued_at")
    reaping.reap()
    assert end_of(waiting) == ("ended", "queue_timeout")
    assert allowances.usage_of(alice).session_seconds == 0


def test_one_that_got_a_place_and_never_a_picture(alice, avatar) -> None:
    session, _ = started(alice, avatar)
    turn_back(session, 21, "started_at")
    assert reaping.reap() == 0, "its host comes first"
    turn_back(session, 6, "started_at")
    reaping.reap()
    assert end_of(session) == ("ended", "connect_timeout")


def test_a_conversation_longer_than_it_may_be(alice, avatar) -> None:
    session, fence = started(alice, avatar, max_duration_seconds=60)
    services.session_media_started(session.pk, fence, session.started_at)
    turn_back(session, 61, "started_at")
    assert reaping.reap() == 0, "its host comes first"
    turn_back(session, 6, "started_at")
    reaping.reap()
    assert end_of(session) == ("ended", "max_duration")


def test_one_that_ended_meanwhile_keeps_its_reason(alice, avatar, monkeypatch) -> None:
    session, _ = started(alice, avatar)
    turn_back(session, 60, "host_lease_until")
    real = services.session_end

    def client_was_faster(session_id, reason, **conditions):
        real(session_id, "client_ended")
        return real(session_id, reason, **conditions)

    monkeypatch.setattr(reaping, "session_end", client_was_faster)
    assert reaping.reap() == 0
    assert end_of(session) == ("ended", "client_ended")


def test_one_that_was_taken_over_meanwhile_is_left_alone(alice, avatar, monkeypatch) -> None:
    session, fence = started(alice, avatar)
    services.session_media_started(session.pk, fence, session.started_at)
    turn_back(session, 60, "host_lease_until")
    real = services.session_end

    def host_was_faster(session_id, reason, **conditions):
        services.host_claim(session_id, "web-2")
        return real(session_id, reason, **conditions)

    monkeypatch.setattr(reaping, "session_end", host_was_faster)
    assert reaping.reap() == 0
    assert end_of(session) == ("active", "")


def test_a_place_that_was_left_lying_goes_to_who_waits(alice, avatar, settings) -> None:
    settings.LIVE_MAX_SESSIONS = 1
    zombie, _ = started(alice, avatar)
    waiting, _ = started(alice, avatar)
    assert waiting.status == "queued"
    turn_back(zombie, 60, "host_lease_until")
    reaping.reap()
    assert end_of(zombie) == ("ended", "host_lost")
    assert end_of(waiting) == ("active", "")
