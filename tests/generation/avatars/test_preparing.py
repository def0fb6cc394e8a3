from datetime import timedelta

import pytest
from django.utils import timezone

from generation.avatars import claims, preparation, services, versions
from generation.avatars.models import Avatar
from project.errors import Conflict, InvalidInput
from storage import keys
from storage.errors import StorageError, StorageFull
from tests.support import pictures
from workers.adapters import registry
from workers.adapters.avatar.mock.prepare import MockPreparer
from workers.adapters.errors import PreparationError

pytestmark = pytest.mark.django_db(transaction=True)


class Refusing:
    """A preparer that finds nobody, unless it is told where the mouth is."""

    def __init__(self) -> None:
        self.boxes = []

    def prepare(self, source, *, mouth_box=None, progress):
        self.boxes.append(mouth_box)
        if mouth_box is None:
            raise PreparationError("no_face", "No face was found.")
        return MockPreparer().prepare(source, mouth_box=mouth_box, progress=progress)


def test_a_new_avatar_becomes_ready_with_everything_the_catalogue_shows(
    new_avatar, workshop, objects
) -> None:
    avatar = new_avatar(name="  Test   card ")
    assert (avatar.name, avatar.slug, avatar.status) == ("Test card", "test-card", "preparing")
    workshop.run()
    avatar.refresh_from_db()
    assert (avatar.status, avatar.version, avatar.progress) == ("ready", 1, 100)
    for name in keys.AVATAR_FILES:
        assert objects.objects[keys.avatar_file(avatar.pk, 1, name)]
    assert (avatar.width, avatar.height) == (320, 400)
    assert avatar.lease_token == ""


def test_preparing_again_writes_beside_the_old_version(new_avatar, workshop, objects) -> None:
    avatar = new_avatar()
    workshop.run()
    before = dict(objects.objects)
    services.avatar_prepare(avatar)
    workshop.run()
    avatar.refresh_from_db()
    assert avatar.version == 2
    assert avatar.bundle_key == keys.avatar_file(avatar.pk, 2, "bundle.bin")
    assert {key: objects.objects[key] for key in before} == before


def test_running_it_twice_prepares_once(new_avatar, workshop) -> None:
    avatar = new_avatar()
    workshop.run()
    assert preparation.prepare(avatar.pk) is False
    avatar.refresh_from_db()
    assert avatar.version == 1


def test_a_worker_that_lost_its_lease_changes_nothing(new_avatar) -> None:
    avatar = new_avatar()
    slow = claims.claim(avatar.pk)
    Avatar.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    quick = claims.claim(avatar.pk)
    assert quick.avatar.version == slow.avatar.version + 1
    with pytest.raises(claims.LeaseLost):
        slow.renew()
    assert slow.succeed(bundle_key="old") is False
    assert quick.succeed(bundle_key="new") is True
    avatar.refresh_from_db()
    assert avatar.bundle_key == "new"


def test_asking_again_drops_the_result_of_the_running_preparation(new_avatar) -> None:
    avatar = new_avatar()
    running = claims.claim(avatar.pk)
    services.avatar_prepare(avatar)
    assert running.succeed(bundle_key="stale") is False


def test_a_picture_without_a_face_fails_with_its_code(new_avatar, workshop, monkeypatch) -> None:
    monkeypatch.setattr(registry, "preparer", lambda config, runtime: Refusing())
    avatar = new_avatar()
    workshop.run()
    avatar.refresh_from_db()
    assert (avatar.status, avatar.failure_code) == ("failed", "no_face")


def test_marking_the_mouth_and_preparing_again_makes_a_drawing_ready(
    new_avatar, workshop, monkeypatch
) -> None:
    preparer = Refusing()
    monkeypatch.setattr(registry, "preparer", lambda config, runtime: preparer)
    avatar = new_avatar()
    workshop.run()
    avatar.refresh_from_db()
    box = {"left": 0.4, "top": 0.6, "right": 0.6, "bottom": 0.7}
    services.avatar_update(avatar, {"mouth_box": box})
    services.avatar_prepare(avatar)
    workshop.run()
    avatar.refresh_from_db()
    assert avatar.status == "ready"
    assert preparer.boxes[-1].left == 0.4


def test_an_imported_drawing_falls_back_to_the_mouth_its_package_names(
    new_avatar, workshop, monkeypatch
) -> None:
    preparer = Refusing()
    monkeypatch.setattr(registry, "preparer", lambda config, runtime: preparer)
    hint = {"left": 0.3, "top": 0.5, "right": 0.7, "bottom": 0.6}
    avatar = new_avatar(metadata={"mouth_hint": hint})
    workshop.run()
    avatar.refresh_from_db()
    assert avatar.status == "ready"
    assert [box and box.left for box in preparer.boxes] == [None, 0.3]


def test_storage_that_is_away_for_a_while_only_delays(new_avatar, workshop, objects) -> None:
    avatar = new_avatar()
    objects.failure = StorageError("away")
    workshop.run()
    avatar.refresh_from_db()
    assert (avatar.status, avatar.lease_until) == ("preparing", None)
    objects.failure = None
    Avatar.objects.update(enqueued_at=timezone.now() - timedelta(minutes=1))
    assert claims.reconcile() == 1
    workshop.run()
    avatar.refresh_from_db()
    assert avatar.status == "ready"


def test_a_full_disk_fails_at_once_and_says_so(new_avatar, workshop, objects, monkeypatch) -> None:
    avatar = new_avatar()

    def full(*_args):
        raise StorageFull

    monkeypatch.setattr(objects, "put_bytes", full)
    workshop.run()
    avatar.refresh_from_db()
    assert (avatar.status, avatar.failure_code) == ("failed", "storage_full")


def test_a_lost_message_is_sent_again_but_not_a_fresh_one(new_avatar, workshop) -> None:
    avatar = new_avatar()
    workshop.messages.clear()
    assert claims.reconcile() == 0
    Avatar.objects.update(enqueued_at=timezone.now() - timedelta(minutes=1))
    assert claims.reconcile() == 1
    workshop.run()
    avatar.refresh_from_db()
    assert avatar.status == "ready"


def test_avatars_that_somebody_prepares_cost_a_pass_no_query_more(
    new_avatar, workshop, django_assert_num_queries
) -> None:
    avatar = new_avatar()
    claims.claim(avatar.pk)
    with django_assert_num_queries(2):  # avatars, and their further models
        assert claims.reconcile() == 0


def test_a_dead_worker_is_replaced_as_soon_as_its_lease_lapses(new_avatar, workshop) -> None:
    avatar = new_avatar()
    workshop.messages.clear()
    claims.claim(avatar.pk)
    assert claims.reconcile() == 0
    Avatar.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert claims.reconcile() == 1
    assert claims.reconcile() == 0
    workshop.run()
    avatar.refresh_from_db()
    assert (avatar.status, avatar.version) == ("ready", 2)


def test_a_picture_that_kills_every_worker_fails_in_the_end(new_avatar) -> None:
    avatar = new_avatar()
    for _ in range(claims.MAX_ATTEMPTS):
        assert claims.claim(avatar.pk)
        Avatar.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert claims.claim(avatar.pk) is None
    claims.reconcile()
    avatar.refresh_from_db()
    assert (avatar.status, avatar.failure_code) == ("failed", "preparation_interrupted")


def test_an_archived_avatar_is_neither_prepared_nor_shown(new_avatar, workshop, alice) -> None:
    avatar = new_avatar()
    services.avatar_archive(avatar)
    workshop.run()
    avatar.refresh_from_db()
    assert avatar.status == "preparing"
    with pytest.raises(Conflict):
        services.avatar_prepare(avatar)
    services.avatar_restore(avatar)
    services.avatar_prepare(avatar)
    workshop.run()
    avatar.refresh_from_db()
    assert avatar.status == "ready"


def test_replaced_versions_are_collected_once_nobody_reads_them(new_avatar, workshop, objects) -> None:
    avatar = new_avatar()
    workshop.run()
    services.avatar_prepare(avatar)
    workshop.run()
    assert versions.collect_old() == 0  # somebody may just have begun to read
    Avatar.objects.update(updated_at=timezone.now() - timedelta(hours=3))
    assert versions.collect_old() == len(keys.AVATAR_FILES)
    left = {key for key in objects.objects if key.startswith(keys.avatar(avatar.pk))}
    avatar.refresh_from_db()
    assert {avatar.source_key, avatar.bundle_key, avatar.idle_key, avatar.preview_key} <= left
    assert not any("/v0001/" in key for key in left)


@pytest.mark.parametrize(
    "box",
    [
        {"left": 0.5, "top": 0.5, "right": 0.4, "bottom": 0.6},
        {"left": -0.1, "top": 0.5, "right": 0.4, "bottom": 0.6},
        {"left": 0.1, "top": 0.5, "right": 0.4},
        {"left": 0.1, "top": 0.5, "right": 0.4, "bottom": float("nan")},
        {"left": True, "top": 0.5, "right": 0.4, "bottom": 0.6},
        [0.1, 0.2, 0.3, 0.4],
    ],
)
def test_a_mouth_box_that_makes_no_sense_is_refused(box) -> None:
    with pytest.raises(InvalidInput) as caught:
        services.checked_mouth_box(box)
    assert caught.value.pointer == "/mouth_box"


def test_two_avatars_of_one_name_get_two_slugs(new_avatar) -> None:
    one, other = new_avatar(), new_avatar()
    assert one.slug == "test-card"
    assert other.slug.startswith("test-card-")


def test_a_portrait_becomes_a_talking_avatar(transactional_db, workshop, objects) -> None:
    pytest.importorskip("ai_edge_litert")
    portrait = pictures.encoded(pictures.portrait().resize((256, 320)))
    avatar = services.avatar_create(None, "Lena", image=portrait)
    workshop.run()
    avatar.refresh_from_db()
    assert avatar.status == "ready", avatar.failure_message
    assert len(avatar.findings["landmarks"]) >= 468
    box = avatar.findings["mouth_box"]
    assert 0.3 < box["left"] < box["right"] < 0.7
    assert 0.3 < box["top"] < box["bottom"] < 0.8
