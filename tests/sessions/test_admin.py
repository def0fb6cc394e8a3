"""What staff see and do with live sessions."""

from datetime import timedelta

import pytest
from django.contrib.admin.utils import quote
from django.test import Client
from django.utils import timezone

from project.accounts.models import Role, User
from project.errors import Conflict
from sessions import builtin_personas, services, states
from sessions.models import Persona, Recording, Session
from sessions.runtime import commands
from tests.support.sessions import started


@pytest.fixture
def staff(transactional_db):
    client = Client()
    client.force_login(User.objects.create_user("operator@example.com", role=Role.OPERATOR))
    return client


@pytest.fixture
def session(alice, avatar, monkeypatch):
    def nobody(*_args):
        raise Conflict("Nobody holds it.", code="session_not_active")

    monkeypatch.setattr(commands, "send", nobody)
    session, fence = started(alice, avatar)
    services.turn_save(session.pk, 1, fence=fence, who="user", text="Where is <b>my</b> parcel?")
    return session


@pytest.mark.parametrize("page", ["persona", "session", "recording"])
def test_every_list_opens_and_customers_stay_outside(staff, session, api, page) -> None:
    assert staff.get(f"/admin/live/{page}/").status_code == 200
    customer = Client()
    customer.force_login(session.owner)
    assert customer.get(f"/admin/live/{page}/").status_code in (302, 403)


def test_a_session_shows_what_was_said_and_cannot_be_edited(staff, session) -> None:
    page = staff.get(f"/admin/live/session/{quote(session.pk)}/change/").content.decode()
    assert "Where is &lt;b&gt;my&lt;/b&gt; parcel?" in page
    assert 'name="_save"' not in page
    assert session.token_hash not in page
    assert staff.post("/admin/live/session/add/", {}).status_code == 403
    assert staff.post(f"/admin/live/session/{quote(session.pk)}/delete/", {"post": "yes"}).status_code == 403


def test_staff_can_end_and_erase_a_session(staff, session) -> None:
    def act(name):
        form = {"action": name, "_selected_action": [session.pk]}
        assert staff.post("/admin/live/session/", form).status_code == 302

    act("end")
    assert Session.objects.get(pk=session.pk).end_reason == "admin_ended"
    act("erase")
    assert Session.objects.get(pk=session.pk).erased_at is not None
    assert session.pk not in staff.get("/admin/live/session/").content.decode()


def test_a_recording_can_be_watched_and_erased(staff, session, objects) -> None:
    recording = Recording.objects.get(session=session)
    where = f"/admin/live/recording/{quote(recording.pk)}/change/"
    assert "This recording is recording." in staff.get(where).content.decode()
    form = {"action": "erase", "_selected_action": [recording.pk]}
    staff.post("/admin/live/recording/", form)
    assert Recording.objects.get().status == "recording", "its session is still running"
    services.session_end(session.pk, "client_ended")
    key = f"sessions/{session.pk}/recording/video.mp4"
    objects.put_bytes(key, b"video", "video/mp4")
    states.move_recording(recording.pk, "ready", key=key, expires_at=timezone.now() + timedelta(days=1))
    assert key in staff.get(where).content.decode()
    staff.post("/admin/live/recording/", form)
    assert Recording.objects.get().status == "erased"
    assert key not in objects.objects


def test_a_persona_that_staff_changed_follows_its_file_no_more(staff) -> None:
    builtin_personas.load()
    tutor = Persona.objects.get(slug="tutor")
    where = f"/admin/live/persona/{quote(tutor.pk)}/change/"
    assert staff.get(where).status_code == 200
    form = {
        "name": "Our tutor",
        "slug": "tutor",
        "language": "en",
        "voice": "en-joe",
        "max_history_turns": "9",
    }
    answer = staff.post(where, form)
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    tutor.refresh_from_db()
    assert (tutor.name, tutor.voice, tutor.builtin, tutor.owner) == ("Our tutor", "en-joe", False, None)
    assert dict(builtin_personas.load())["tutor"] == "left as it is"


def test_staff_make_a_persona_for_everybody(staff) -> None:
    form = {"name": "Desk", "slug": "desk", "language": "en", "voice": "", "max_history_turns": "20"}
    answer = staff.post("/admin/live/persona/add/", form)
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    assert Persona.objects.get().owner is None


def test_personas_are_archived_and_restored(staff) -> None:
    builtin_personas.load()
    tutor = Persona.objects.get(slug="tutor")
    for name in ("archive", "restore"):
        form = {"action": name, "_selected_action": [tutor.pk]}
        assert staff.post("/admin/live/persona/", form).status_code == 302
        tutor.refresh_from_db()
        assert (tutor.archived_at is not None) is (name == "archive")
