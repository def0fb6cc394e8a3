"""One avatar, prepared for more than one model."""

import json
from datetime import timedelta
from itertools import islice

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from generation import availability, upkeep
from generation.avatars import claims, preparation, selectors, services, versions
from generation.avatars.models import Avatar, AvatarPreparation
from generation.clips import services as clips
from generation.clips.wishes import Wish
from project.errors import Conflict, InvalidInput
from storage import keys
from storage.errors import StorageError
from tests.support import pictures
from workers import profiles
from workers.adapters import registry
from workers.adapters.avatar.mock.prepare import MockPreparer
from workers.adapters.errors import PreparationError
from workers.presence import Worker

pytestmark = pytest.mark.postgres

FIRST, SECOND = "mock", "viseme"


@pytest.fixture(autouse=True)
def preparers(monkeypatch):
    """Every model is prepared as the test card is; `seen` says for which, `refused` which one fails."""
    seen = {"models": [], "refused": {}, "boxes": []}

    class Preparer(MockPreparer):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def prepare(self, source, *, mouth_box=None, progress=lambda percent: None):
            seen["models"].append(self.model)
            seen["boxes"].append(mouth_box)
            if error := seen["refused"].get(self.model):
                raise error
            made = super().prepare(source, mouth_box=mouth_box, progress=progress)
            made.idle, made.idle_frames = islice(made.idle, 5), 5  # encoding all takes its time
            return made

    monkeypatch.setattr(registry, "preparer", lambda config, runtime: Preparer(config.id))
    monkeypatch.setattr(availability, "workers", lambda: None)
    return seen


@pytest.fixture
def both(new_avatar, workshop):
    """An avatar that is ready for two models."""
    avatar = new_avatar(models=[FIRST, SECOND])
    workshop.run()
    return Avatar.objects.get(pk=avatar.pk)


@pytest.fixture
def staff(api, operator):
    return api(operator)


def second(avatar) -> AvatarPreparation:
    return avatar.preparations.get(model=SECOND)


def change(client, avatar, **told):
    return client.patch(f"/api/v1/avatars/{avatar.pk}", told, format="json", headers={"If-Match": "*"})


def test_it_is_prepared_for_each_from_the_same_source(both, preparers, objects) -> None:
    assert preparers["models"] == [FIRST, SECOND]
    made = selectors.prepared(both, SECOND)
    assert (made.ready, made.model, made.version) == (True, SECOND, 1)
    assert made.bundle_key == keys.preparation_file(both.pk, second(both).pk, 1, "bundle.bin")
    assert made.bundle_key.startswith(keys.avatar(both.pk))
    assert made.bundle_key != both.bundle_key
    for key in (made.bundle_key, made.idle_key, made.preview_key, keys.idle_low(made.idle_key)):
        assert objects.objects[key]
    assert selectors.prepared(both, FIRST).bundle_key == both.bundle_key
    assert selectors.prepared(both, "wav2lip") is None


def test_one_that_fails_leaves_the_others_as_they_are(new_avatar, workshop, preparers, staff) -> None:
    preparers["refused"][SECOND] = PreparationError("no_face", "No face was found.")
    avatar = new_avatar(models=[SECOND])
    workshop.run()
    shown = staff.get(f"/api/v1/avatars/{avatar.pk}").json()
    assert (shown["status"], shown["models"]) == ("ready", [FIRST])
    assert [(one["model"], one["status"]) for one in shown["preparations"]] == [
        (FIRST, "ready"),
        (SECOND, "failed"),
    ]
    assert shown["preparations"][1]["failure"] == {"code": "no_face", "message": "No face was found."}
    assert shown["preparations"][0]["failure"] is None


def test_running_it_twice_prepares_once(both, preparers) -> None:
    assert preparation.prepare(second(both).pk) is False
    assert second(both).version == 1


def test_a_worker_that_lost_its_lease_changes_nothing(new_avatar) -> None:
    row = second(new_avatar(models=[SECOND]))
    slow = claims.claim(row.pk)
    assert claims.claim(row.pk) is None
    AvatarPreparation.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    quick = claims.claim(row.pk)
    assert quick.key("bundle.bin") != slow.key("bundle.bin")
    with pytest.raises(claims.LeaseLost):
        slow.renew()
    assert slow.succeed(bundle_key="old") is False
    assert quick.succeed(bundle_key="new") is True
    row.refresh_from_db()
    assert row.bundle_key == "new"


def test_the_lease_on_one_model_leaves_the_others_free(new_avatar) -> None:
    avatar = new_avatar(models=[SECOND])
    assert claims.claim(avatar.pk)
    assert claims.claim(second(avatar).pk)


def test_what_is_dropped_while_it_is_prepared_is_nobodys_work_any_more(new_avatar, objects) -> None:
    avatar = new_avatar(models=[SECOND])
    row = second(avatar)
    running = claims.claim(row.pk)
    services.avatar_update(avatar, {}, models=[FIRST])
    with pytest.raises(claims.LeaseLost):
        running.renew()
    assert running.succeed(bundle_key="late") is False
    assert claims.claim(row.pk) is None
    assert preparation.prepare(row.pk) is False


def test_an_archived_avatar_is_prepared_for_nothing(new_avatar, workshop) -> None:
    avatar = new_avatar(models=[SECOND])
    running = claims.claim(second(avatar).pk)
    services.avatar_archive(avatar)
    assert running.succeed(bundle_key="late") is False
    AvatarPreparation.objects.update(lease_until=None)
    workshop.run()
    assert second(avatar).status == "preparing"
    with pytest.raises(Conflict):
        services.avatar_prepare(avatar)


def test_a_lost_message_is_sent_again_and_a_dead_worker_replaced(new_avatar, workshop) -> None:
    avatar = new_avatar(models=[SECOND])
    workshop.messages.clear()
    assert claims.reconcile() == 0
    AvatarPreparation.objects.update(enqueued_at=timezone.now() - timedelta(minutes=1))
    assert claims.reconcile() == 1
    workshop.messages.clear()
    assert claims.claim(second(avatar).pk)
    assert claims.reconcile() == 0
    AvatarPreparation.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert claims.reconcile() == 1
    workshop.run()
    assert (second(avatar).status, second(avatar).version) == ("ready", 2)


def test_one_that_kills_every_worker_fails_alone(new_avatar) -> None:
    avatar = new_avatar(models=[SECOND])
    for _ in range(claims.MAX_ATTEMPTS):
        assert claims.claim(second(avatar).pk)
        AvatarPreparation.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert claims.claim(second(avatar).pk) is None
    claims.reconcile()
    assert (second(avatar).status, second(avatar).failure_code) == ("failed", "preparation_interrupted")
    avatar.refresh_from_db()
    assert avatar.status == "preparing"


def test_storage_that_is_away_for_a_while_only_delays(new_avatar, workshop, objects) -> None:
    avatar = new_avatar(models=[SECOND])
    objects.failure = StorageError("away")
    workshop.run()
    assert (second(avatar).status, second(avatar).lease_until) == ("preparing", None)
    objects.failure = None
    AvatarPreparation.objects.update(enqueued_at=timezone.now() - timedelta(minutes=1))
    claims.reconcile()
    workshop.run()
    assert second(avatar).status == "ready"


def test_preparing_again_is_for_all_models_or_for_those_that_are_named(both, workshop, preparers) -> None:
    services.avatar_update(both, {"mouth_box": {"left": 0.4, "top": 0.6, "right": 0.6, "bottom": 0.7}})
    services.avatar_prepare(both)
    workshop.run()
    assert preparers["models"][2:] == [FIRST, SECOND]
    assert {box.left for box in preparers["boxes"][2:]} == {0.4}  # the corrected mouth is shared
    services.avatar_prepare(both, [SECOND])
    workshop.run()
    both.refresh_from_db()
    assert (both.version, second(both).version) == (2, 3)
    with pytest.raises(InvalidInput):
        services.avatar_prepare(both, ["wav2lip"])


def test_another_backend_that_needs_another_bundle_has_it_prepared_anew(both, workshop, monkeypatch) -> None:
    assert claims.reconcile() == 0
    AvatarPreparation.objects.update(made_by="reference:512x512")
    assert claims.reconcile() == 0  # not in turns with a process that was started with other settings
    Avatar.objects.update(updated_at=timezone.now() - timedelta(hours=1))
    AvatarPreparation.objects.update(updated_at=timezone.now() - timedelta(hours=1))
    assert claims.reconcile() == 1
    workshop.run()
    assert (second(both).version, second(both).made_by) == (2, claims.maker(profiles.config(SECOND)))
    both.refresh_from_db()
    assert both.version == 1


def test_objects_that_nobody_reads_are_collected_model_by_model(both, workshop, objects, alice) -> None:
    def later():
        Avatar.objects.update(updated_at=timezone.now() - timedelta(hours=3))
        AvatarPreparation.objects.update(updated_at=timezone.now() - timedelta(hours=3))

    clip = clips.clip_create(alice, Wish(avatar=both.pk, model=SECOND, script="Hello to all of you."))
    services.avatar_prepare(both, [SECOND])
    workshop.messages = type(workshop.messages)(m for m in workshop.messages if "avatars" in m[0])
    workshop.run()
    assert versions.collect_old() == 0  # somebody may just have begun to read
    later()
    assert versions.collect_old() == 0  # the clip began with the first version
    assert clip.bundle_key in objects.objects
    type(clip).objects.update(finished_at=timezone.now())
    assert versions.collect_old() == len(keys.AVATAR_FILES)
    now = selectors.prepared(Avatar.objects.get(pk=both.pk), SECOND)
    assert objects.objects[now.bundle_key]

    services.avatar_update(both, {}, models=[FIRST])
    assert versions.collect_old() == 0
    later()
    assert versions.collect_old() == len(keys.AVATAR_FILES)
    left = {key for key in objects.objects if key.startswith(keys.avatar(both.pk))}
    both.refresh_from_db()
    assert left >= {both.source_key, both.bundle_key, both.idle_key, both.preview_key}
    assert not any("prep_" in key for key in left)


def test_what_a_running_preparation_has_written_is_not_collected(both, objects) -> None:
    services.avatar_prepare(both, [SECOND])
    running = claims.claim(second(both).pk)
    objects.put_bytes(running.key("bundle.bin"), b"new", "x/y")
    Avatar.objects.update(updated_at=timezone.now() - timedelta(hours=3))
    AvatarPreparation.objects.update(updated_at=timezone.now() - timedelta(hours=3))
    versions.collect_old()
    assert objects.objects[running.key("bundle.bin")] == b"new"
    assert objects.objects[second(both).bundle_key]  # what it replaces is shown until then


def test_what_is_prepared_while_old_versions_are_looked_for_is_not_collected(
    both, objects, monkeypatch
) -> None:
    long_ago, listed, written = timezone.now() - timedelta(hours=3), objects.list, []

    def meanwhile(prefix):
        services.avatar_prepare(both, [SECOND])
        running = claims.claim(second(both).pk)
        objects.put_bytes(running.key("bundle.bin"), b"new", "x/y")
        written.append(running.key("bundle.bin"))
        return listed(prefix)

    Avatar.objects.update(updated_at=long_ago)
    AvatarPreparation.objects.update(updated_at=long_ago)
    monkeypatch.setattr(objects, "list", meanwhile)
    assert versions.collect_old() == 0
    assert objects.objects[written[0]] == b"new"


def test_a_model_that_is_dropped_and_added_again_never_overwrites(both, workshop) -> None:
    before = second(both).bundle_key
    services.avatar_update(both, {}, models=[FIRST])
    services.avatar_update(both, {}, models=[FIRST, SECOND])
    workshop.run()
    assert second(both).status == "ready"
    assert second(both).bundle_key != before


def test_an_account_that_is_erased_takes_its_preparations_along(both, alice, objects) -> None:
    Avatar.objects.update(owner=alice)
    for key in objects.modified_at:
        objects.modified_at[key] -= timedelta(days=2)
    alice.delete()
    assert AvatarPreparation.objects.count() == 0
    assert upkeep.collect_orphans() > 0
    assert not any(key.startswith(keys.avatar(both.pk)) for key in objects.objects)


# --- Clips with a chosen model --------------------------------------------------------------


def test_a_clip_is_drawn_with_the_model_that_was_chosen(both, alice) -> None:
    AvatarPreparation.objects.update(width=320, height=240)
    clip = clips.clip_create(alice, Wish(avatar=both.pk, model=SECOND, script="Hello to all of you."))
    made = second(both)
    assert (clip.model, clip.bundle_key, clip.bundle_sha256, clip.avatar_version) == (
        *(SECOND, made.bundle_key, made.bundle_sha256),
        made.version,
    )
    assert (clip.picture["width"], clip.picture["height"]) == (320, 240)
    own = clips.clip_create(alice, Wish(avatar=both.pk, script="Hello to all of you."))
    assert (own.model, own.bundle_key) == (FIRST, both.bundle_key)


def refused(owner, avatar, **wish) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        clips.clip_create(owner, Wish(avatar=avatar.pk, script="Hello to all of you.", **wish))
    return caught.value


def test_a_model_that_it_is_not_ready_for_is_refused_with_the_reason(new_avatar, workshop, preparers, alice):
    preparers["refused"][SECOND] = PreparationError("no_face", "No face was found.")
    avatar = new_avatar()
    workshop.run()
    error = refused(alice, avatar, model=SECOND)
    assert (error.code, error.pointer) == ("avatar_not_prepared_for_model", "/model")
    assert "ready for: mock" in str(error)
    services.avatar_update(avatar, {}, models=[FIRST, SECOND])
    assert "being prepared for viseme (0%)" in str(refused(alice, avatar, model=SECOND))
    workshop.run()
    assert "No face was found." in str(refused(alice, avatar, model=SECOND))


def test_a_model_that_cannot_be_had_here_is_refused_with_the_reason(both, alice, monkeypatch) -> None:
    assert refused(alice, both, model="magic").code == "model_not_available"
    error = refused(alice, both, model="flashtalk")
    assert (error.code, error.pointer) == ("model_not_available", "/model")
    assert "FLASHTALK" in str(error)


def test_a_model_that_no_worker_draws_with_is_refused_when_it_is_chosen(both, alice, monkeypatch) -> None:
    here = [Worker("live1@x", {f"live.{SECOND}": 4}), Worker("other@x", {f"batch.{FIRST}": 1})]
    monkeypatch.setattr(availability, "workers", lambda: here)
    error = refused(alice, both, model=SECOND)
    assert (error.code, "No worker draws clips" in str(error)) == ("model_not_available", True)
    here.append(
        Worker("gpu0@x", {f"batch.{SECOND}": 1}, models={SECOND: {"down": True, "problem": "/x.pth?"}})
    )
    assert "No worker can draw with viseme" in str(refused(alice, both, model=SECOND))
    assert "/x.pth" not in str(refused(alice, both, model=SECOND))  # that is for staff
    here.append(Worker("gpu1@x", {f"batch.{SECOND}": 1}, models={SECOND: {"problem": "it failed once"}}))
    assert clips.clip_create(alice, Wish(avatar=both.pk, model=SECOND, script="Hello to all of you.")).pk


def test_an_avatars_own_model_may_wait_for_its_workers(both, alice, monkeypatch) -> None:
    monkeypatch.setattr(availability, "workers", list)
    assert clips.clip_create(alice, Wish(avatar=both.pk, script="Hello to all of you.")).pk
    assert refused(alice, both, model=FIRST).code == "model_not_available"


# --- REST -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "models"),
    [
        ({"models": [FIRST, SECOND]}, [FIRST, SECOND]),
        ({"models": f"{FIRST}, {SECOND}"}, [FIRST, SECOND]),
        ({"models": json.dumps([FIRST, SECOND])}, [FIRST, SECOND]),
        ({"model": FIRST, "models": SECOND}, [FIRST, SECOND]),
        ({"model": FIRST}, [FIRST]),
    ],
)
def test_a_form_may_name_the_models(staff, workshop, told, models) -> None:
    file = SimpleUploadedFile("x.png", pictures.plain())
    answer = staff.post("/api/v1/avatars", {"image": file, "name": "New", **told}, format="multipart")
    assert answer.status_code == 202, answer.json()
    assert [one["model"] for one in answer.json()["preparations"]] == models
    assert answer.json()["models"] == []
    workshop.run()
    assert staff.get(answer.headers["Location"]).json()["models"] == models


@pytest.mark.parametrize("models", [5, True, None, {"a": "b"}, [["x"]], [{}], [5.5]])
def test_models_of_a_new_one_that_are_no_names_are_refused(staff, models) -> None:
    answer = staff.post("/api/v1/avatars", {"name": "New", "models": models}, format="json")
    assert answer.status_code in (400, 422), answer.content
    assert Avatar.objects.count() == 0


@pytest.mark.parametrize(
    ("models", "code"),
    [
        ([FIRST, "magic"], "unknown_model"),
        ([FIRST, "flashtalk"], "model_not_available"),
        ([SECOND], "first_model_stays"),
        ([], "first_model_stays"),
        ("mock", "not_a_list"),
        ([FIRST, {}], "invalid"),
    ],
)
def test_models_that_cannot_be_are_refused_and_nothing_changes(staff, both, models, code) -> None:
    answer = change(staff, both, models=models, name="Other")
    assert answer.status_code in (400, 422), answer.json()
    assert answer.json()["errors"][0]["code"] == code, answer.json()
    assert answer.json()["errors"][0]["pointer"].startswith("/models")
    shown = staff.get(f"/api/v1/avatars/{both.pk}").json()
    assert (shown["models"], shown["name"]) == ([FIRST, SECOND], both.name)


def test_staff_add_and_drop_models(staff, both, workshop) -> None:
    dropped = change(staff, both, models=[FIRST])
    assert [one["model"] for one in dropped.json()["preparations"]] == [FIRST]
    added = change(staff, both, models=[SECOND, FIRST, SECOND])
    assert [one["status"] for one in added.json()["preparations"]] == ["ready", "preparing"]
    workshop.run()
    path = f"/api/v1/avatars/{both.pk}"
    assert staff.get(path).json()["models"] == [FIRST, SECOND]
    again = staff.post(f"{path}/prepare", {"models": [SECOND]}, format="json")
    assert [one["status"] for one in again.json()["preparations"]] == ["ready", "preparing"]
    assert staff.post(f"{path}/prepare", {"models": ["magic"]}, format="json").status_code == 400


def test_lists_can_be_narrowed_to_a_model(staff, both, new_avatar, workshop) -> None:
    new_avatar(name="Only a card")
    workshop.run()
    found = staff.get(f"/api/v1/avatars?model={SECOND}").json()["results"]
    assert [one["id"] for one in found] == [both.pk]
    assert len(staff.get(f"/api/v1/avatars?model={FIRST}").json()["results"]) == 2
    assert staff.get("/api/v1/avatars?model=magic").json()["results"] == []


def test_a_list_asks_the_database_once_however_many_avatars_it_shows(staff, new_avatar, workshop) -> None:
    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert staff.get("/api/v1/avatars").status_code == 200
        return len(queries)

    new_avatar(models=[SECOND])
    asked()  # what is read once in a process is not counted
    few = asked()
    for number in range(4):
        new_avatar(name=f"More {number}", models=[SECOND])
    assert asked() == few


def test_somebody_elses_avatar_does_not_exist_with_any_model(both, api, alice, mallory) -> None:
    Avatar.objects.update(owner=alice)
    stranger = api(mallory)
    assert stranger.get(f"/api/v1/avatars/{both.pk}").status_code == 404
    assert stranger.get(f"/api/v1/avatars?model={SECOND}").json()["results"] == []
    wish = {"avatar": both.pk, "model": SECOND, "script": "Hello."}
    answer = stranger.post("/api/v1/clips", wish, format="json")
    assert answer.json()["errors"][0]["code"] == "avatar_not_found"
    assert change(stranger, both, models=[FIRST]).status_code == 403
    assert stranger.post(f"/api/v1/avatars/{both.pk}/prepare").status_code == 403
    assert second(both)


def test_a_readers_tag_follows_the_preparations_and_a_writers_only_the_list(both, staff) -> None:
    path = f"/api/v1/avatars/{both.pk}"
    tag = staff.get(path).headers["ETag"]
    AvatarPreparation.objects.update(status="preparing", progress=40)
    assert staff.get(path, headers={"If-None-Match": tag}).status_code == 200
    renamed = staff.patch(path, {"name": "Mine"}, format="json", headers={"If-Match": tag})
    assert renamed.status_code == 200
    tag = renamed.headers["ETag"]
    assert change(staff, both, models=[FIRST]).status_code == 200
    late = staff.patch(path, {"models": [FIRST, SECOND]}, format="json", headers={"If-Match": tag})
    assert late.status_code == 412


def test_the_newest_that_are_ready_for_a_model_are_loaded_first(both, new_avatar, workshop, alice) -> None:
    new_avatar(name="Only a card")
    newer = new_avatar(name="Newer", models=[SECOND])
    workshop.run()
    ready = [made.bundle_key for made in selectors.newest(SECOND, 4)]
    assert ready == [second(newer).bundle_key, second(both).bundle_key]
    Avatar.objects.filter(pk=newer.pk).update(owner=alice)
    assert len(selectors.newest(SECOND, 4)) == 1  # only the shared catalogue


# --- What every avatar is prepared for ------------------------------------------------------


def test_new_avatars_are_prepared_for_the_standing_models(new_avatar, workshop, settings) -> None:
    settings.AVATAR_MODELS = [SECOND, "flashtalk", "magic"]  # not configured, unknown: left out
    assert [row.model for row in new_avatar().preparations.all()] == [SECOND]
    assert not new_avatar(models=[FIRST]).preparations.exists()


@pytest.mark.parametrize(
    ("told", "crop"),
    [
        ({"model_crop": [0.2, 0.1, 0.8, 0.9], "model_crop_source": "detector"}, 0.2),
        ({"model_crop": [0.2, 0.1, 0.8, 0.9]}, None),
        ({"model_crop": [0.8, 0.1, 0.2, 0.9], "model_crop_source": "detector"}, None),
        ({"model_crop": [0.2, "x", 0.8, 0.9], "model_crop_source": "detector"}, None),
        ({"model_crop": "all of it", "model_crop_source": "detector"}, None),
        ({}, None),
    ],
)
def test_what_an_imported_model_looked_at_is_given_to_models_on_plates(
    new_avatar, workshop, monkeypatch, told, crop
) -> None:
    given = []

    class Plates(MockPreparer):
        def prepare(self, source, *, mouth_box=None, model_crop=None, progress=lambda percent: None):
            given.append(model_crop and model_crop.left)
            made = super().prepare(source, mouth_box=mouth_box, progress=progress)
            made.idle, made.idle_frames = islice(made.idle, 5), 5
            return made

    monkeypatch.setattr(registry, "preparer", lambda config, runtime: Plates())
    avatar = new_avatar(metadata={"imported": {"manifest": {"metadata": told}}}, models=["wav2lip"])
    workshop.messages.popleft()  # its own model hears of no crop: the preparer would not take it
    workshop.run()
    assert avatar.preparations.get().status == "ready"
    assert given == [crop]
