import re

import pytest
from django.contrib.admin.utils import quote
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from generation.avatars.models import Avatar
from project.accounts.models import Role, User
from tests.support import pictures

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def signed_in(transactional_db):
    def client(role=Role.CUSTOMER):
        user = User.objects.create_user(f"{role}@example.com", role=role)
        made = Client()
        made.force_login(user)
        return made

    return client


def policy(answer) -> dict[str, str]:
    parts = answer.headers["Content-Security-Policy"].split("; ")
    return {part.split(" ")[0]: part.partition(" ")[2] for part in parts}


@pytest.mark.parametrize("path", ["/", "/account/", "/account/password/", "/models/"])
def test_strangers_are_asked_to_sign_in_first(client, path) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["Location"]) == (302, f"/login/?next={path}")


@pytest.mark.parametrize("path", ["/", "/account/", "/account/password/", "/models/"])
def test_pages_hold_no_inline_script_or_style(signed_in, path) -> None:
    page = signed_in().get(path).content.decode()
    assert re.findall(r"<script(?![^>]* src=)", page) == []
    assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:", page) == []
    assert re.findall(r'(?:src|href)="(?:https?:)?//', page) == []


def test_pages_allow_nothing_inline_and_nobody_to_frame_them(signed_in) -> None:
    rules = policy(signed_in().get("/"))
    assert rules["script-src"] == "'self'"
    assert rules["style-src"] == "'self'"
    assert rules["frame-ancestors"] == "'none'"


def test_only_the_admin_may_evaluate_what_its_own_files_contain(signed_in, client) -> None:
    rules = policy(signed_in(Role.ADMIN).get("/admin/"))
    assert rules["script-src"] == "'self' 'unsafe-eval'"
    assert rules["style-src"] == "'self' 'unsafe-inline'"
    assert "unsafe" not in str(policy(client.get("/login/")))
    assert "unsafe" not in str(policy(client.get("/administer")))


def test_pages_are_not_kept_by_caches_and_bring_the_csrf_cookie(signed_in) -> None:
    answer = signed_in().get("/")
    assert "no-store" in answer.headers["Cache-Control"]
    assert "csrftoken" in answer.cookies


def test_signing_in_never_leads_to_another_site(client) -> None:
    User.objects.create_user("ada@example.com", "a long enough password")
    told = {
        "username": "Ada@example.com",
        "password": "a long enough password",
        "next": "https://evil.example",
    }
    assert client.post("/login/", told).headers["Location"] == "/"


def test_signing_out_needs_a_post(signed_in) -> None:
    client = signed_in()
    assert client.get("/logout/").status_code == 405
    assert client.post("/logout/").status_code == 302
    assert client.get("/").status_code == 302


def test_a_page_that_is_not_there_says_so_in_words(client) -> None:
    answer = client.get("/nothing")
    assert answer.status_code == 404
    assert b"There is nothing here" in answer.content


# --- The staff admin ------------------------------------------------------------------------


def test_customers_do_not_see_the_admin(signed_in) -> None:
    assert signed_in().get("/admin/").status_code == 302


def test_operators_see_the_catalogue_and_no_accounts(signed_in, avatar) -> None:
    client = signed_in(Role.OPERATOR)
    assert client.get("/admin/generation/avatar/").status_code == 200
    assert client.get(f"/admin/generation/avatar/{avatar.pk}/change/").status_code == 200
    assert client.get("/admin/accounts/user/").status_code == 403


def test_clips_and_uploads_are_only_looked_at(signed_in, make, broker) -> None:
    clip = make()
    broker.run()
    client = signed_in(Role.ADMIN)
    page = client.get(f"/admin/generation/clip/{clip.pk}/change/")
    assert page.status_code == 200
    assert b"<video" in page.content
    assert client.get("/admin/generation/clip/?q=morning").status_code == 200
    assert client.get("/admin/generation/clip/add/").status_code == 403
    assert client.post(f"/admin/generation/clip/{clip.pk}/delete/", {"post": "yes"}).status_code == 403
    assert client.get("/admin/generation/upload/").status_code == 200


def test_an_avatar_is_created_with_its_consent(signed_in, objects, broker) -> None:
    told = {
        "name": "Wall",
        "model": "mock",
        "image": SimpleUploadedFile("w.png", pictures.plain()),
        "consent_by": "Jo Doe",
        "consent_text": "I agree.",
        "ai_disclosure": "on",
    }
    answer = signed_in(Role.OPERATOR).post("/admin/generation/avatar/add/", told)
    avatar = Avatar.objects.get()
    assert answer.headers["Location"] == f"/admin/generation/avatar/{quote(avatar.pk)}/change/"
    assert (avatar.owner, avatar.consent_by, avatar.ai_disclosure) == (None, "Jo Doe", True)
    assert avatar.consent_at is not None
    assert len(broker.messages) == 1


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (b"renamed", "This is not a picture that can be read"),
        (pictures.plain(1, 1), "is too small"),
        (None, "Choose a portrait or a short video"),
    ],
)
def test_a_bad_picture_is_refused_beside_its_field(signed_in, objects, broker, file, words) -> None:
    told = {"name": "Wall", "model": "mock"}
    if file is not None:
        told["image"] = SimpleUploadedFile("w.png", file)
    answer = signed_in(Role.OPERATOR).post("/admin/generation/avatar/add/", told)
    assert answer.status_code == 200
    assert words in answer.content.decode()
    assert not Avatar.objects.exists()


def change(client, avatar, **told):
    told = {"name": avatar.name, "ai_disclosure": "on"} | told
    return client.post(f"/admin/generation/avatar/{avatar.pk}/change/", told)


def test_the_mouth_is_corrected_in_percent_and_prepared_again(signed_in, avatar, broker) -> None:
    sides = {
        "mouth_box_left": "40",
        "mouth_box_top": "60.5",
        "mouth_box_right": "60",
        "mouth_box_bottom": "70",
    }
    client = signed_in(Role.OPERATOR)
    change(client, avatar, **sides, generation_avatar_save_and_prepare="1")
    avatar.refresh_from_db()
    assert avatar.mouth_box == {"left": 0.4, "top": 0.605, "right": 0.6, "bottom": 0.7}
    assert (avatar.status, len(broker.messages)) == ("preparing", 1)


def test_half_a_mouth_box_is_refused(signed_in, avatar, broker) -> None:
    answer = change(signed_in(Role.OPERATOR), avatar, mouth_box_left="40")
    assert "all four sides" in answer.content.decode()
    avatar.refresh_from_db()
    assert avatar.mouth_box is None


def test_archiving_from_the_list_hides_it_until_asked_for(signed_in, avatar) -> None:
    client = signed_in(Role.OPERATOR)
    told = {"action": "archive", "_selected_action": [avatar.pk]}
    client.post("/admin/generation/avatar/", told)
    avatar.refresh_from_db()
    assert avatar.archived_at
    assert avatar.pk not in client.get("/admin/generation/avatar/").content.decode()
    assert avatar.pk in client.get("/admin/generation/avatar/?archived=yes").content.decode()


def test_further_models_are_ticked_and_unticked(signed_in, objects, broker) -> None:
    client = signed_in(Role.OPERATOR)
    told = {"name": "Wall", "model": "mock", "image": SimpleUploadedFile("w.png", pictures.plain())}
    client.post("/admin/generation/avatar/add/", told | {"models": ["mock", "viseme"], "ai_disclosure": "on"})
    avatar = Avatar.objects.get()
    assert [row.model for row in avatar.preparations.all()] == ["viseme"]
    assert len(broker.messages) == 2
    avatar.preparations.update(
        status="failed", failure_code="no_face", failure_message="No <b>face</b> was found."
    )
    page = client.get(f"/admin/generation/avatar/{avatar.pk}/change/").content.decode()
    assert "No &lt;b&gt;face&lt;/b&gt; was found." in page
    listed = client.get("/admin/generation/avatar/").content.decode()
    assert "viseme (failed)" in listed
    change(client, avatar, models=["viseme"], description="Kept")
    assert [row.status for row in avatar.preparations.all()] == ["failed"]
    assert "magic is not one of" in change(client, avatar, models=["magic"]).content.decode()
    change(client, avatar)
    assert not avatar.preparations.exists()
    client.post("/admin/generation/avatar/", {"action": "prepare_for_all", "_selected_action": [avatar.pk]})
    assert "viseme" in {row.model for row in avatar.preparations.all()}
    assert "flashtalk" not in {row.model for row in avatar.preparations.all()}  # not configured
