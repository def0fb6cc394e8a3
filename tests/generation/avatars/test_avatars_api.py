import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from generation.avatars import builtin_loader, services
from generation.avatars.models import Avatar
from tests.support import media, pictures

pytestmark = pytest.mark.django_db(transaction=True)

CONTRACT = {
    "id", "slug", "name", "status", "failure", "models", "default_voice", "preview_url", "idle_url", "width",
    "height", "fps",
}  # fmt: skip


@pytest.fixture
def staff(api, operator):
    return api(operator)


@pytest.fixture
def post(staff, workshop):
    def create(data=None, field="image", **told):
        told = {"name": "New", "model": "mock"} | told
        file = SimpleUploadedFile("x.png", pictures.plain() if data is None else data)
        return staff.post("/api/v1/avatars", {field: file, **told}, format="multipart")

    return create


def test_staff_create_an_avatar_that_everybody_then_sees(post, workshop, api, alice) -> None:
    answer = post(description="For tests")
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/api/v1/avatars/{answer.json()['id']}"
    assert answer.json()["status"] == "preparing"
    workshop.run()
    shown = api(alice).get(answer.headers["Location"]).json()
    assert shown["status"] == "ready"
    assert set(shown) >= CONTRACT
    assert shown["preview_url"].startswith("http")
    assert shown["idle_url"].startswith("http")
    assert shown["shared"] is True


def test_a_customer_may_look_but_not_touch(avatar, api, alice) -> None:
    client = api(alice)
    assert client.get("/api/v1/avatars").json()["results"][0]["id"] == avatar.pk
    assert client.post("/api/v1/avatars", {"name": "x"}, format="multipart").status_code == 403
    assert client.patch(f"/api/v1/avatars/{avatar.pk}", {"name": "x"}, format="json").status_code == 403
    assert client.delete(f"/api/v1/avatars/{avatar.pk}").status_code == 403
    assert client.post(f"/api/v1/avatars/{avatar.pk}/prepare").status_code == 403


def test_an_avatar_of_somebody_else_does_not_exist(avatar, api, alice, mallory) -> None:
    Avatar.objects.update(owner=alice)
    assert api(alice).get(f"/api/v1/avatars/{avatar.pk}").status_code == 200
    answer = api(mallory).get(f"/api/v1/avatars/{avatar.pk}")
    assert (answer.status_code, answer.json()["code"]) == (404, "avatar_not_found")
    assert api(mallory).get("/api/v1/avatars").json()["results"] == []


@pytest.mark.parametrize(
    ("data", "field", "status", "code"),
    [
        (pictures.plain(1, 1), "image", 422, "image_too_small"),
        (media.png_header(30_000, 30_000), "image", 422, "image_too_large"),
        (b"renamed", "image", 422, "unreadable_image"),
        (media.silent_video(), "image", 415, "unsupported_image"),
        (pictures.plain(), "video", 415, "unsupported_video"),
    ],
)
def test_a_bad_file_is_refused_with_a_pointer_to_it(post, data, field, status, code) -> None:
    answer = post(data, field)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["errors"][0]["pointer"] == f"/{field}"
    assert Avatar.objects.count() == 0


def test_no_face_and_two_faces_are_refused_at_once(post) -> None:
    pytest.importorskip("ai_edge_litert")
    assert post(model="viseme").json()["code"] == "no_face"
    assert post(pictures.couple(), model="viseme").json()["code"] == "several_faces"
    box = json.dumps({"left": 0.4, "top": 0.6, "right": 0.6, "bottom": 0.7})
    assert post(model="viseme", mouth_box=box).status_code == 202


@pytest.mark.parametrize(
    ("told", "pointer"),
    [
        ({"name": " "}, "/name"),
        ({"model": "magic"}, "/model"),
        ({"mouth_box": "{"}, "/mouth_box"),
        ({"mouth_box": '{"left": 2}'}, "/mouth_box"),
        ({"default_voice": "nobody"}, "/default_voice"),
    ],
)
def test_wrong_fields_are_named(post, told, pointer) -> None:
    answer = post(**told)
    assert answer.status_code in (400, 422)
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_nothing_and_both_are_refused(staff) -> None:
    assert (
        staff.post("/api/v1/avatars", {"name": "x"}, format="multipart").json()["code"] == "source_required"
    )
    both = {name: SimpleUploadedFile("x", pictures.plain()) for name in ("image", "video")}
    answer = staff.post("/api/v1/avatars", {"name": "x", **both}, format="multipart")
    assert answer.json()["code"] == "source_required"


def test_a_reader_with_the_tag_gets_304_until_something_changes(avatar, staff) -> None:
    path = f"/api/v1/avatars/{avatar.pk}"
    tag = staff.get(path).headers["ETag"]
    assert staff.get(path, headers={"If-None-Match": tag}).status_code == 304
    services.avatar_update(avatar, {"description": "changed"})
    assert staff.get(path, headers={"If-None-Match": tag}).status_code == 200


def test_a_tag_is_renewed_before_the_links_behind_it_expire(avatar, staff, monkeypatch, settings) -> None:
    path = f"/api/v1/avatars/{avatar.pk}"
    tag = staff.get(path).headers["ETag"]
    later = __import__("time").time() + settings.PRESIGNED_URL_SECONDS
    monkeypatch.setattr("generation.avatars.etags.time.time", lambda: later)
    assert staff.get(path, headers={"If-None-Match": tag}).status_code == 200
    change = staff.patch(path, {"name": "Still mine"}, format="json", headers={"If-Match": tag})
    assert change.status_code == 200


def test_changes_need_the_tag_that_was_read(avatar, staff) -> None:
    path = f"/api/v1/avatars/{avatar.pk}"
    tag = staff.get(path).headers["ETag"]
    assert staff.patch(path, {"name": "x"}, format="json").status_code == 428
    changed = staff.patch(path, {"name": "Newer"}, format="json", headers={"If-Match": tag})
    assert (changed.status_code, changed.json()["name"]) == (200, "Newer")
    assert staff.patch(path, {"name": "y"}, format="json", headers={"If-Match": tag}).status_code == 412
    assert staff.patch(path, {"name": "y"}, format="json", headers={"If-Match": "*"}).status_code == 200


def test_consent_is_recorded_and_can_be_withdrawn(avatar, staff) -> None:
    path = f"/api/v1/avatars/{avatar.pk}"
    told = {"consent": {"by": "Jo Doe, the person shown", "text": "I agree."}}
    consent = staff.patch(path, told, format="json", headers={"If-Match": "*"}).json()["consent"]
    assert consent["by"] == "Jo Doe, the person shown"
    assert consent["at"]
    gone = staff.patch(path, {"consent": None}, format="json", headers={"If-Match": "*"})
    assert gone.json()["consent"] is None


@pytest.mark.parametrize("body", [{"status": "ready"}, {"owner": "me"}, {"mouth_box": {"left": 1}}, [1]])
def test_what_cannot_be_changed_is_refused(avatar, staff, body) -> None:
    answer = staff.patch(f"/api/v1/avatars/{avatar.pk}", body, format="json", headers={"If-Match": "*"})
    assert answer.status_code in (400, 422)


def test_deleting_archives_and_keeps_the_objects(avatar, staff, objects) -> None:
    before = set(objects.objects)
    assert staff.delete(f"/api/v1/avatars/{avatar.pk}").status_code == 204
    assert staff.get(f"/api/v1/avatars/{avatar.pk}").status_code == 404
    assert set(objects.objects) == before
    avatar.refresh_from_db()
    assert avatar.archived_at


def test_preparing_again_is_accepted(avatar, staff, workshop) -> None:
    answer = staff.post(f"/api/v1/avatars/{avatar.pk}/prepare")
    assert (answer.status_code, answer.json()["status"]) == (202, "preparing")
    assert len(workshop.messages) == 1


def test_an_avatar_is_found_by_its_short_name_and_lists_can_be_narrowed(avatar, staff) -> None:
    assert staff.get(f"/api/v1/avatars/{avatar.slug}").json()["id"] == avatar.pk
    assert staff.get("/api/v1/avatars?status=failed").json()["results"] == []
    assert staff.get("/api/v1/avatars?status=odd").status_code == 400
    assert staff.get(f"/api/v1/avatars?search={avatar.name[:4].upper()}").json()["results"]


# --- The avatars that come with the product ------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    where = tmp_path / "robin"
    where.mkdir()
    (where / "avatar.json").write_text(json.dumps({"name": "Robin", "model": "mock", "licence": "CC0"}))
    (where / "portrait.png").write_bytes(pictures.plain())
    return tmp_path


def test_loading_twice_changes_nothing(folder, workshop) -> None:
    assert builtin_loader.load(folder) == [("robin", "created")]
    assert builtin_loader.load(folder) == [("robin", "unchanged")]
    assert Avatar.objects.get().consent_text == "CC0"


def test_a_new_picture_is_prepared_again_and_new_words_are_taken_over(folder, workshop) -> None:
    builtin_loader.load(folder)
    workshop.run()
    services.avatar_update(Avatar.objects.get(), {"description": "Ours"})
    (folder / "robin" / "avatar.json").write_text(json.dumps({"name": "Robyn", "model": "mock"}))
    assert builtin_loader.load(folder) == [("robin", "updated")]
    avatar = Avatar.objects.get()
    assert (avatar.name, avatar.description, avatar.status) == ("Robyn", "Ours", "ready")
    (folder / "robin" / "portrait.png").write_bytes(pictures.plain(340, 400))
    assert builtin_loader.load(folder) == [("robin", "prepared again")]
    workshop.run()
    assert (Avatar.objects.get().version, Avatar.objects.get().width) == (2, 340)


def test_one_that_was_archived_stays_so(folder, workshop) -> None:
    builtin_loader.load(folder)
    services.avatar_archive(Avatar.objects.get())
    assert builtin_loader.load(folder) == [("robin", "archived")]


def test_a_bad_picture_does_not_keep_the_service_from_starting(folder, workshop) -> None:
    (folder / "robin" / "portrait.png").write_bytes(b"nothing")
    [(_slug, outcome)] = builtin_loader.load(folder)
    assert outcome.startswith("refused (unreadable_image)")


def test_every_folder_that_is_shipped_can_be_read() -> None:
    found = builtin_loader.builtins()
    assert len(found) >= 4
    assert all(one.words["name"] and one.words["default_voice"] for one in found)
    assert all(one.mouth_box is None or one.mouth_box["left"] < one.mouth_box["right"] for one in found)
