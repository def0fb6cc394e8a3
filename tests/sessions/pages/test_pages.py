"""What the pages tell, and to whom. How they look and behave is tested in tests/browser."""

import json
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from project.accounts.models import Role, User
from sessions import services
from sessions.models import Session
from tests.support.sessions import create

SHOP = "https://shop.example.com"
PROTECTED = [
    "/live/",
    "/sessions/",
    "/sessions/ses_1",
    "/sessions/ses_1/latency",
    "/live/console/",
    "/live/console/sessions",
]


@pytest.fixture
def made(alice, avatar):
    return create(alice, avatar, record=True, allowed_origins=[SHOP])


def info(made, token=None, **headers):
    names = {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    bearer = f"Bearer {made.client_token if token is None else token}"
    return Client().get(f"/live/{made.session.pk}/info", HTTP_AUTHORIZATION=bearer, **names)


@pytest.mark.parametrize("path", PROTECTED)
def test_strangers_are_sent_to_sign_in(db, path) -> None:
    answer = Client().get(path)
    assert answer.status_code == 302
    assert answer["Location"].startswith("/login/")


def test_a_call_needs_no_login_and_the_page_is_the_same_for_every_id(db, made) -> None:
    real = Client().get(f"/live/{made.session.pk}")
    invented = Client().get("/live/ses_invented")
    assert real.status_code == invented.status_code == 200
    assert real.content.replace(made.session.pk.encode(), b"ses_invented") == invented.content
    assert made.client_token.encode() not in real.content


def test_a_call_may_reach_its_socket_and_runs_no_inline_script(db) -> None:
    policy = Client().get("/live/ses_1")["Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert "ws://127.0.0.1:8000" in rules["connect-src"].split()
    assert rules["script-src"] == "'self'"
    assert rules["style-src"] == "'self'"


def test_who_holds_the_token_learns_what_is_recorded_before_joining(made) -> None:
    answer = info(made)
    told = answer.json()
    assert answer.status_code == 200
    assert told["record"] is True
    assert "30 days" in told["consent"]
    assert told["avatar"]["name"] == made.session.avatar.name
    assert told["yours"] is False
    assert answer["Cache-Control"].startswith("max-age=0")
    assert Session.objects.get(pk=made.session.pk).token_used_at is None


@pytest.mark.parametrize("token", ["", "wrong", "a" * 5000])
def test_a_wrong_token_learns_nothing(made, token) -> None:
    answer = info(made, token)
    assert answer.status_code == 403
    assert answer.json()["code"] == "token_invalid"
    assert made.session.avatar.name not in answer.content.decode()


def test_a_token_of_another_session_learns_nothing(alice, avatar, made) -> None:
    other = create(alice, avatar)
    assert info(made, other.client_token).json()["code"] == "token_invalid"


def test_a_token_that_was_not_used_in_time_is_told_so(made) -> None:
    Session.objects.update(token_expires_at=timezone.now() - timedelta(seconds=1))
    assert info(made).json()["code"] == "token_expired"


def test_sites_that_are_named_may_ask_and_others_may_not(made) -> None:
    named = info(made, origin=SHOP)
    assert named.status_code == 200
    assert named["Access-Control-Allow-Origin"] == SHOP
    stranger = info(made, origin="https://evil.example.com")
    assert stranger.status_code == 403
    assert stranger.json()["code"] == "forbidden_origin"


def test_a_browser_may_ask_whether_it_may_send_the_token(made) -> None:
    answer = Client().options(f"/live/{made.session.pk}/info", HTTP_ORIGIN=SHOP)
    assert answer.status_code == 204
    assert answer["Access-Control-Allow-Origin"] == SHOP
    assert answer["Access-Control-Allow-Headers"] == "Authorization"


@pytest.mark.parametrize("file", ["parley-live.js", "parley-widget.js", "captions.js", "wording.js"])
def test_the_modules_are_served_to_every_site(db, file) -> None:
    answer = Client().get(f"/static/live/{file}")
    assert answer.status_code == 200
    assert answer["Access-Control-Allow-Origin"] == "*"
    assert "javascript" in answer["Content-Type"]


def test_the_gallery_shows_the_consent_text(alice, settings) -> None:
    settings.RECORDING_CONSENT = "Everything is kept <for ever>."
    client = Client()
    client.force_login(alice)
    assert b"Everything is kept &lt;for ever&gt;." in client.get("/live/").content


# --- The console -------------------------------------------------------------------------------


@pytest.fixture
def staff(db):
    client = Client()
    client.force_login(User.objects.create_user("olga@example.com", role=Role.OPERATOR))
    return client


def test_the_console_lists_what_goes_on_with_its_last_figures(made, staff) -> None:
    services.turn_save(made.session.pk, 1, who="user", text="Hello")
    services.turn_save(made.session.pk, 2, who="avatar", metrics={"llm_first_token_ms": 200})
    services.turn_save(made.session.pk, 4, who="avatar", metrics={"llm_first_token_ms": 150, "stages": [{}]})
    (row,) = json.loads(staff.get("/live/console/sessions").content)["results"]
    assert row["id"] == made.session.pk
    assert row["owner"] == "alice@example.com"
    assert row["metrics"] == {"llm_first_token_ms": 150}
    assert made.client_token not in str(row)


def test_the_console_reads_one_row_for_each_conversation(
    made, alice, avatar, staff, django_assert_num_queries
) -> None:
    other = create(alice, avatar)
    for number in range(1, 6):
        services.turn_save(made.session.pk, number, who="avatar", metrics={"total_ms": number})
    staff.get("/live/console/sessions")
    with django_assert_num_queries(3):  # the login, the user, the conversations
        rows = json.loads(staff.get("/live/console/sessions").content)["results"]
    assert {row["id"]: row["metrics"] for row in rows} == {
        made.session.pk: {"total_ms": 5},
        other.session.pk: {},
    }


def test_customers_see_no_console(made, alice) -> None:
    client = Client()
    client.force_login(alice)
    for path in ("/live/console/", "/live/console/sessions"):
        assert client.get(path).status_code == 403
    assert client.post(f"/live/console/{made.session.pk}/end").status_code == 403
    assert Session.objects.get(pk=made.session.pk).status == "created"


def test_staff_end_a_conversation_that_nobody_hosts(made, staff) -> None:
    assert staff.post(f"/live/console/{made.session.pk}/end").status_code == 204
    session = Session.objects.get(pk=made.session.pk)
    assert (session.status, session.end_reason) == ("ended", "admin_ended")
    assert json.loads(staff.get("/live/console/sessions").content)["results"] == []


def test_staff_end_a_conversation_through_its_host(made, staff, monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(
        "sessions.pages.console.commands.send", lambda *arguments: asked.append(arguments) or {}
    )
    staff.post(f"/live/console/{made.session.pk}/end")
    assert asked == [(made.session.pk, "end", {"reason": "admin_ended"})]
    assert Session.objects.get(pk=made.session.pk).status == "created"  # its host writes that down
