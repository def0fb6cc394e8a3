"""A session is drawn with the model that was asked for, if that can be had."""

import pytest
from django.db import transaction
from django.utils import timezone

from generation import availability
from generation.avatars.models import Avatar, AvatarPreparation
from project.errors import InvalidInput
from sessions import presenter, services, wishes
from sessions.pages.views import facts
from sessions.wishes import Wish
from storage import keys
from tests.support.clips import ready_avatar
from workers.presence import Worker

pytestmark = pytest.mark.postgres

SECOND = "viseme"


@pytest.fixture(autouse=True)
def here(monkeypatch):
    """The workers that are there."""
    workers: list[Worker] = [Worker("live1@x", {f"live.{SECOND}": 4})]
    monkeypatch.setattr(availability, "workers", lambda: workers)
    return workers


@pytest.fixture
def both(avatar) -> Avatar:
    made = AvatarPreparation(avatar=avatar, model=SECOND, status="ready", version=3, width=320, height=240)
    for column, name in (("bundle_key", "bundle.bin"), ("idle_key", "idle.mp4")):
        setattr(made, column, keys.preparation_file(avatar.pk, made.pk, 3, name))
    made.bundle_sha256 = "f" * 64
    made.save()
    return avatar


def refused(owner, **wish) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        wishes.check(owner, Wish(**wish))
    return caught.value


def test_it_is_drawn_with_what_was_prepared_for_that_model(both, alice) -> None:
    columns = wishes.check(alice, Wish(avatar=both.pk, model=SECOND)).columns
    made = both.preparations.get()
    for column in ("model", "bundle_key", "bundle_sha256", "idle_key", "width", "height"):
        assert columns[column] == getattr(made, column), column
    assert columns["avatar_version"] == 3


def test_nothing_asked_for_is_its_own_model_which_may_wait(both, alice, here) -> None:
    here.clear()
    columns = wishes.check(alice, Wish(avatar=both.pk)).columns
    assert (columns["model"], columns["bundle_key"]) == (both.model, both.bundle_key)


def test_without_a_worker_for_sessions_it_is_refused(both, alice, here) -> None:
    here[:] = [Worker("render1@x", {f"batch.{SECOND}": 1})]
    error = refused(alice, avatar=both.pk, model=SECOND)
    assert (error.code, error.pointer) == ("model_not_available", "/model")
    assert "No worker draws live sessions with viseme" in str(error)


def test_while_the_broker_is_away_nobody_knows_and_it_is_accepted(both, alice, monkeypatch) -> None:
    monkeypatch.setattr(availability, "workers", lambda: None)
    assert wishes.check(alice, Wish(avatar=both.pk, model=SECOND)).columns["model"] == SECOND


@pytest.mark.parametrize("status", ["preparing", "failed"])
def test_one_that_is_not_ready_for_it_is_refused(both, alice, status) -> None:
    AvatarPreparation.objects.update(status=status, failure_message="No face was found.")
    error = refused(alice, avatar=both.pk, model=SECOND)
    assert (error.code, error.pointer) == ("avatar_not_prepared_for_model", "/model")
    assert wishes.check(alice, Wish(avatar=both.pk)).columns["model"] == both.model


def test_a_strangers_avatar_does_not_exist_with_any_model(both, alice, mallory, objects) -> None:
    Avatar.objects.update(owner=alice)
    for model in ("", SECOND, "magic"):
        assert refused(mallory, avatar=both.pk, model=model).code == "avatar_not_found"
    foreign = ready_avatar(objects, mallory)
    assert refused(alice, avatar=foreign.pk, model=SECOND).code == "avatar_not_found"


def test_who_joins_sees_the_still_picture_of_the_same_model(both, alice, objects) -> None:
    AvatarPreparation.objects.update(preview_key="")
    Avatar.objects.update(preview_key=keys.avatar_file(both.pk, 1, "preview.jpg"))
    wanted = (Wish(avatar=both.pk, model=SECOND), Wish(avatar=both.pk))
    with transaction.atomic():
        other, own = (services.session_accept(alice, wishes.check(alice, wish)).session for wish in wanted)
    shown = [facts(row)["avatar"]["preview_url"] for row in (other, own)]
    assert "/prep_" in shown[0]
    assert "/prep_" not in shown[1]
    assert [presenter.session(row)["preview_url"].partition("?")[0] for row in (other, own)] == [
        url.partition("?")[0] for url in shown
    ]


def test_after_the_end_the_avatars_own_picture_is_shown(both, alice) -> None:
    """What the session began with is collected then, once the avatar was prepared again."""
    with transaction.atomic():
        row = services.session_accept(alice, wishes.check(alice, Wish(avatar=both.pk, model=SECOND))).session
    row.avatar.preview_key = keys.avatar_file(both.pk, 1, "preview.jpg")
    assert "/prep_" in (presenter.preview_url(row) or "")
    row.ended_at = timezone.now()
    assert "/v0001/preview.jpg" in (presenter.preview_url(row) or "")
    assert "/prep_" not in (presenter.preview_url(row) or "")
