"""Beginning, joining and ending a session."""

import logging
from datetime import timedelta

import pytest
from django.db import OperationalError, transaction
from django.utils import timezone

from project.accounts import allowances
from project.errors import Conflict, Gone, LimitReached, NotAllowed
from project.webhooks import services as webhooks
from project.webhooks.models import Delivery
from sessions import services
from sessions.models import EndReason, Phase, Recording, Session, Turn
from tests.support.sessions import create, join, started, turn_back

pytestmark = pytest.mark.postgres


def test_a_session_goes_from_created_to_active_to_ended(alice, avatar) -> None:
    created = create(alice, avatar)
    assert created.session.status == "created"
    fence = join(created)
    assert services.session_activate(created.session.pk, fence).status == "active"
    assert services.session_phase(created.session.pk, fence, Phase.SPEAKING)
    assert services.session_end(created.session.pk, EndReason.CLIENT_ENDED, fence=fence)
    session = Session.objects.get(pk=created.session.pk)
    assert (session.status, session.end_reason, session.phase) == ("ended", "client_ended", "idle")
    assert session.ended_at is not None
    assert (session.host, session.host_lease_until) == ("", None)


def test_it_ends_once_and_is_booked_once_and_told_once(alice, avatar) -> None:
    with transaction.atomic():
        webhooks.create_endpoint(alice, url="https://hooks.example.com/a")
    session, fence = started(alice, avatar)
    turn_back(session, 90, "started_at")
    assert services.session_end(session.pk, "api_ended") is True
    assert services.session_end(session.pk, "client_ended", fence=fence) is False
    assert allowances.usage_of(alice).session_seconds == 90
    assert Delivery.objects.filter(event_type="session.ended").count() == 1
    assert Session.objects.get(pk=session.pk).end_reason == "api_ended"


def test_it_has_ended_though_nobody_can_tell_how_it_went(alice, avatar, monkeypatch, caplog) -> None:
    def away(_: Session) -> None:
        raise OperationalError("the connection is lost")

    session, fence = started(alice, avatar)
    monkeypatch.setattr(services, "_facts", away)
    with caplog.at_level(logging.INFO, "sessions.services"):
        assert services.session_end(session.pk, "api_ended", fence=fence) is True
    assert [line.facts for line in caplog.records if line.msg == "The session is over"] == [
        {"reason": "api_ended"}
    ]


def test_one_that_never_began_costs_nothing(alice, avatar) -> None:
    created = create(alice, avatar)
    services.session_end(created.session.pk, "api_ended")
    assert allowances.usage_of(alice).session_seconds == 0


def test_what_a_lost_host_left_behind_is_not_booked(alice, avatar) -> None:
    session, _ = started(alice, avatar)
    turn_back(session, 100, "started_at")
    turn_back(session, 40, "last_seen_at")
    services.session_end(session.pk, "host_lost")
    assert allowances.usage_of(alice).session_seconds == 60


def test_a_former_host_ends_nothing(alice, avatar) -> None:
    session, fence = started(alice, avatar)
    turn_back(session, 60, "host_lease_until")
    newer = services.host_claim(session.pk, "web-2")
    assert newer == fence + 1
    assert services.session_end(session.pk, "failed", fence=fence) is False
    assert services.session_phase(session.pk, fence, "speaking") is False
    assert services.turn_save(session.pk, 1, fence=fence, who="user", text="late") is False
    with pytest.raises(Conflict) as caught:
        services.session_activate(session.pk, fence)
    assert caught.value.code == "lease_lost"
    assert services.session_end(session.pk, "failed", fence=newer) is True


def test_the_recording_begins_with_the_conversation_and_is_assembled_after_it(alice, avatar) -> None:
    session, _ = started(alice, avatar)
    recording = Recording.objects.get(session=session)
    assert recording.status == "recording"
    services.session_end(session.pk, "client_ended")
    recording.refresh_from_db()
    assert recording.status == "assembling"


def test_without_consent_nothing_is_recorded(alice, avatar) -> None:
    session, _ = started(alice, avatar, record=False)
    assert session.consent == ""
    assert not Recording.objects.exists()


def test_an_account_has_so_many_sessions_at_once(alice, avatar, settings) -> None:
    settings.DEFAULT_ALLOWANCE = settings.DEFAULT_ALLOWANCE | {"concurrent_sessions": 2}
    first = create(alice, avatar)
    create(alice, avatar)
    with pytest.raises(LimitReached) as caught:
        create(alice, avatar)
    assert caught.value.code == "concurrency_limit_exceeded"
    services.session_end(first.session.pk, "api_ended")
    create(alice, avatar)


def test_what_is_left_of_the_day_bounds_the_session(alice, avatar, settings) -> None:
    settings.DEFAULT_ALLOWANCE = settings.DEFAULT_ALLOWANCE | {"session_minutes_a_day": 2}
    allowances.add_session_seconds(alice, 75)
    assert create(alice, avatar).session.max_duration_seconds == 45
    allowances.add_session_seconds(alice, 60)
    with pytest.raises(LimitReached) as caught:
        create(alice, avatar)
    assert caught.value.code == "daily_session_limit_reached"


# --- Tokens ---------------------------------------------------------------------------------


def test_a_token_opens_its_session_again_and_again_once_it_was_used_in_time(alice, avatar) -> None:
    created = create(alice, avatar)
    opened = services.session_open(created.session.pk, created.client_token)
    assert opened.token_used_at is not None
    turn_back(created.session, 3600, "token_expires_at", "token_used_at")
    again = services.session_open(created.session.pk, created.client_token)
    assert again.token_used_at < timezone.now() - timedelta(minutes=59)


def test_a_token_that_came_too_late_opens_nothing(alice, avatar) -> None:
    created = create(alice, avatar)
    turn_back(created.session, 301, "token_expires_at")
    with pytest.raises(Gone) as caught:
        services.session_open(created.session.pk, created.client_token)
    assert caught.value.code == "token_expired"


def test_looking_a_token_up_does_not_use_it(alice, avatar) -> None:
    created = create(alice, avatar)
    assert services.session_of_token(created.session.pk, created.client_token) == created.session
    assert Session.objects.get(pk=created.session.pk).token_used_at is None


@pytest.mark.parametrize("token", ["", "x", "é", "0" * 43, "0" * 10_000])
def test_a_foreign_token_opens_nothing(alice, avatar, token) -> None:
    created, other = create(alice, avatar), create(alice, avatar)
    for wrong in (token, other.client_token):
        with pytest.raises(NotAllowed) as caught:
            services.session_open(created.session.pk, wrong)
        assert caught.value.code == "token_invalid"


def test_a_session_that_does_not_exist_looks_like_a_wrong_token(alice, avatar) -> None:
    created = create(alice, avatar)
    with pytest.raises(NotAllowed) as caught:
        services.session_open("ses_unknown", created.client_token)
    assert caught.value.code == "token_invalid"


def test_a_token_dies_with_its_session(alice, avatar) -> None:
    created = create(alice, avatar)
    services.session_end(created.session.pk, "api_ended")
    with pytest.raises(Gone) as caught:
        services.session_open(created.session.pk, created.client_token)
    assert caught.value.code == "session_ended"


def test_the_database_holds_no_token(alice, avatar) -> None:
    created = create(alice, avatar)
    row = Session.objects.filter(pk=created.session.pk).values().get()
    assert created.client_token not in str(row)
    assert len(created.client_token) == 43


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        ("http://127.0.0.1:8000", True),
        ("http://localhost:8000", True),
        ("http://[::1]:8000", True),
        ("http://localhost:9000", False),
        ("https://localhost:8000", False),
        ("http://localhost.evil.test:8000", False),
        ("https://shop.example.com", True),
        ("https://SHOP.example.com:443", True),
        ("http://shop.example.com", False),
        ("https://shop.example.com.evil.test", False),
        ("https://evil.test", False),
        ("null", False),
        ("", False),
    ],
)
def test_pages_of_other_origins_stay_outside(alice, avatar, origin, allowed) -> None:
    created = create(alice, avatar, allowed_origins=["https://shop.example.com"])
    if allowed:
        services.session_open(created.session.pk, created.client_token, origin)
        return
    with pytest.raises(NotAllowed) as caught:
        services.session_open(created.session.pk, created.client_token, origin)
    assert caught.value.code == "forbidden_origin"
    assert Session.objects.get(pk=created.session.pk).token_used_at is None


def test_a_service_that_answers_to_any_name_does_not_trust_every_page(alice, avatar, settings) -> None:
    settings.ALLOWED_HOSTS = ["*", ".parley.test"]
    created = create(alice, avatar)
    services.session_open(created.session.pk, created.client_token, "http://eu.parley.test:8000")
    with pytest.raises(NotAllowed):
        services.session_open(created.session.pk, created.client_token, "http://evil.test:8000")


# --- Turns ----------------------------------------------------------------------------------


def test_a_turn_is_written_down_bit_by_bit(alice, avatar) -> None:
    session, fence = started(alice, avatar)
    services.turn_save(session.pk, 1, fence=fence, who="avatar", text="Hello there.", start_ms=40)
    services.turn_save(session.pk, 1, fence=fence, heard_text="Hello", interrupted=True, status="done")
    turn = Turn.objects.get(session=session)
    assert (turn.who, turn.text, turn.heard_text, turn.interrupted) == (
        "avatar",
        "Hello there.",
        "Hello",
        True,
    )


def test_what_a_host_was_saying_when_it_died_counts_as_interrupted(alice, avatar) -> None:
    session, fence = started(alice, avatar)
    services.turn_save(session.pk, 1, fence=fence, who="avatar", text="A long story", heard_text="A long")
    services.turn_save(session.pk, 2, fence=fence, who="user", text="Go on")
    turn_back(session, 60, "host_lease_until")
    services.host_claim(session.pk, "web-2")
    story, remark = Turn.objects.filter(session=session)
    assert (story.status, story.interrupted, story.heard_text) == ("done", True, "A long")
    assert (remark.status, remark.interrupted) == ("done", False)


def test_zero_of_the_timeline_is_fixed_once(alice, avatar) -> None:
    session, fence = started(alice, avatar)
    now = timezone.now()
    assert services.session_media_started(session.pk, fence, now) == now
    assert services.session_media_started(session.pk, fence, now + timedelta(seconds=9)) == now


def test_notes_can_be_taken_after_the_end_but_only_known_ones(alice, avatar) -> None:
    session, fence = started(alice, avatar)
    services.session_end(session.pk, "client_ended", fence=fence)
    assert services.session_note(session.pk, fence, last_seq=7, metrics={"render_fps": 25.0})
    with pytest.raises(TypeError):
        services.session_note(session.pk, fence, status="active")
