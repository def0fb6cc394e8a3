"""Cancelling, deleting, expiring."""

from datetime import timedelta

import pytest
from django.utils import timezone

from generation import upkeep
from generation.clips import services
from generation.clips.models import Clip, ClipFragment
from generation.clips.wishes import Wish
from generation.uploads.models import Upload
from project.accounts import allowances
from project.errors import Conflict, InvalidInput, LimitReached
from storage import keys

pytestmark = pytest.mark.postgres


def test_a_queued_clip_is_cancelled_at_once_and_nothing_of_it_is_made(make, broker, objects) -> None:
    clip = make()
    assert services.clip_cancel(clip) is True
    broker.run()
    clip.refresh_from_db()
    assert clip.status == "canceled"
    assert not any(key.startswith(keys.clip(clip.pk)) for key in objects.objects)


def test_a_running_clip_stops_and_its_remaining_fragments_are_not_rendered(make, broker) -> None:
    clip = make(script="This is the first sentence of several. " * 6)
    broker.step()
    broker.step()
    clip.refresh_from_db()
    assert services.clip_cancel(clip) is True
    done = ClipFragment.objects.filter(clip=clip, status="done").count()
    broker.run()
    assert ClipFragment.objects.filter(clip=clip, status="done").count() == done
    assert services.clip_cancel(Clip.objects.get(pk=clip.pk)) is True


def test_cancelling_while_a_worker_holds_it_takes_effect_when_it_notices(make, broker, monkeypatch) -> None:
    from generation.clips import rendering

    draw = rendering.draw_and_encode
    answers = []

    def draw_and_be_cancelled(*args, check, **kwargs):
        def noticing():
            if not answers:
                answers.append(services.clip_cancel(Clip.objects.get(pk=clip.pk)))
                lease = next(iter(rendering.leases.keeper._held))
                lease.renew()
            check()

        return draw(*args, check=noticing, **kwargs)

    clip = make()
    monkeypatch.setattr(rendering, "draw_and_encode", draw_and_be_cancelled)
    broker.run()
    clip.refresh_from_db()
    assert answers == [False]
    assert clip.status == "canceled"


def test_a_finished_clip_cannot_be_cancelled(make, broker) -> None:
    clip = make()
    broker.run()
    clip.refresh_from_db()
    with pytest.raises(Conflict):
        services.clip_cancel(clip)


def test_deleting_removes_every_object_and_refuses_while_it_is_made(make, broker, objects) -> None:
    clip = make()
    with pytest.raises(Conflict):
        services.clip_delete(clip)
    broker.run()
    clip.refresh_from_db()
    services.clip_delete(clip)
    assert not any(key.startswith(keys.CLIPS) for key in objects.objects)
    assert not Clip.objects.exists()


def test_expired_files_go_and_the_row_remembers(make, broker, objects) -> None:
    clip = make()
    broker.run()
    assert upkeep.purge_clips() == 0
    Clip.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert upkeep.purge_clips() == 1
    assert not any(key.startswith(keys.CLIPS) for key in objects.objects)
    clip.refresh_from_db()
    assert clip.purged_at is not None
    assert upkeep.forget_clips() == 0
    Clip.objects.update(purged_at=timezone.now() - timedelta(days=40))
    assert upkeep.forget_clips() == 1


def test_an_expired_upload_stays_as_long_as_a_clip_needs_it(alice, make, broker, objects) -> None:
    upload = Upload.objects.create(
        owner=alice, kind="audio", pcm_key="uploads/u/audio.pcm", duration_ms=2000,
        expires_at=timezone.now() + timedelta(days=1), original_key="uploads/u/original.wav",
    )  # fmt: skip
    objects.put_bytes(upload.pcm_key, bytes(2 * 96_000), "x/y")
    clip = make(upload=upload.pk)
    Upload.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert upkeep.remove_uploads() == 0
    broker.run()
    clip.refresh_from_db()
    assert (clip.status, clip.duration_ms) == ("succeeded", 2000)
    assert upkeep.remove_uploads() == 1


def test_orphans_older_than_a_day_go_and_a_dry_run_only_counts(make, broker, objects) -> None:
    clip = make()
    broker.run()
    objects.put_bytes("clips/clip_gone/fragments/000000.mp4", b"x", "video/mp4")
    objects.put_bytes("uploads/upl_young/original.wav", b"x", "audio/wav")
    old = timezone.now() - timedelta(days=2)
    for key in objects.modified_at:
        if "young" not in key:
            objects.modified_at[key] = old
    assert upkeep.collect_orphans(dry_run=True) == 1
    assert "clips/clip_gone/fragments/000000.mp4" in objects.objects
    assert upkeep.collect_orphans() == 1
    assert "clips/clip_gone/fragments/000000.mp4" not in objects.objects
    assert Clip.objects.get(pk=clip.pk).video_key in objects.objects
    assert "uploads/upl_young/original.wav" in objects.objects


def test_the_allowance_of_clips_in_flight_holds_for_batches_too(
    alice, avatar, broker, voice, settings
) -> None:
    settings.DEFAULT_ALLOWANCE = settings.DEFAULT_ALLOWANCE | {"clips_in_flight": 2}
    wish = Wish(avatar=avatar.pk, script="Hello.")
    with pytest.raises(LimitReached):
        services.clip_create_batch(alice, [wish] * 3)
    assert not Clip.objects.exists()
    assert len(services.clip_create_batch(alice, [wish] * 2)) == 2
    with pytest.raises(LimitReached):
        services.clip_create(alice, wish)
    broker.run()
    services.clip_create(alice, wish)


def test_the_days_seconds_are_settled_when_the_length_is_known(alice, make, broker) -> None:
    clip = make()
    broker.run()
    clip.refresh_from_db()
    assert allowances.usage_of(alice).video_seconds == round(clip.duration_ms / 1000)
    second = make()
    services.clip_cancel(second)
    assert allowances.usage_of(alice).video_seconds == round(clip.duration_ms / 1000)


def test_a_batch_with_one_wrong_clip_is_refused_as_a_whole(alice, avatar, broker) -> None:
    good, bad = Wish(avatar=avatar.pk, script="Hello."), Wish(avatar=avatar.pk, script="😀", at="/clips/1")
    with pytest.raises(InvalidInput) as refused:
        services.clip_create_batch(alice, [good, bad])
    assert refused.value.pointer == "/clips/1/script"
    assert not Clip.objects.exists()
    assert not broker.messages
