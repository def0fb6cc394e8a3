from datetime import timedelta

import pytest
from django.db.models import Q
from django.utils import timezone

from generation.clips import leases
from generation.clips.leases import LeaseLost, StopWork
from generation.clips.models import Clip

pytestmark = pytest.mark.postgres


def take(clip: Clip):
    return leases.take(Clip, clip.pk, clip.pk, Q(), status="running")


def test_only_one_worker_gets_the_lease(make) -> None:
    clip = make()
    assert take(clip) is not None
    assert take(clip) is None


def test_a_lapsed_lease_is_taken_over_and_its_holder_can_change_nothing(make) -> None:
    clip = make()
    slow = take(clip)
    Clip.objects.filter(pk=clip.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    fast = take(clip)
    with pytest.raises(LeaseLost):
        slow.write(progress=50)
    fast.write(progress=60)
    clip.refresh_from_db()
    assert clip.progress == 60


def test_a_heartbeat_tells_the_former_holder_to_stop(make) -> None:
    clip = make()
    slow = take(clip)
    Clip.objects.filter(pk=clip.pk).update(lease_token="somebody else")
    slow.renew()
    with pytest.raises(LeaseLost):
        slow.check()


def test_a_heartbeat_notices_a_cancellation(make) -> None:
    clip = make()
    lease = take(clip)
    lease.renew()
    lease.check()
    Clip.objects.filter(pk=clip.pk).update(cancel_requested_at=timezone.now())
    lease.renew()
    with pytest.raises(StopWork):
        lease.check()


def test_a_heartbeat_prolongs(make) -> None:
    clip = make()
    lease = take(clip)
    Clip.objects.filter(pk=clip.pk).update(lease_until=timezone.now() + timedelta(seconds=1))
    lease.renew()
    clip.refresh_from_db()
    assert clip.lease_until > timezone.now() + timedelta(seconds=5)


def test_work_waits_until_its_time_has_come(make) -> None:
    clip = make()
    lease = take(clip)
    lease.release(next_attempt_at=timezone.now() + timedelta(seconds=60))
    assert take(clip) is None
    Clip.objects.filter(pk=clip.pk).update(next_attempt_at=timezone.now() - timedelta(seconds=1))
    assert take(clip) is not None


def test_an_orderly_release_is_not_counted_as_an_attempt_that_died(make) -> None:
    clip = make()
    take(clip).release()
    clip.refresh_from_db()
    assert clip.attempts == 0
