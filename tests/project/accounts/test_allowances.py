import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction

from project.accounts import allowances
from project.accounts.models import Allowance, ApiKey, DailyUsage, User
from project.errors import LimitReached


def test_defaults_fill_what_an_account_leaves_open(alice, settings):
    settings.DEFAULT_ALLOWANCE = {**settings.DEFAULT_ALLOWANCE, "clips_in_flight": 7}
    Allowance.objects.create(owner=alice, video_seconds_a_day=0)
    limits = allowances.allowance_of(alice)
    assert limits.clips_in_flight == 7
    assert limits.video_seconds_a_day == 0


def test_clips_in_flight_stop_at_the_limit(alice):
    Allowance.objects.create(owner=alice, clips_in_flight=3)
    with transaction.atomic():
        allowances.check_clips_in_flight(alice, count=lambda: 2)
        with pytest.raises(LimitReached) as caught:
            allowances.check_clips_in_flight(alice, count=lambda: 2, adding=2)
    error = caught.value
    assert (error.code, error.limit, error.used) == ("concurrency_limit_exceeded", 3, 2)


def test_seconds_of_video_run_out_and_come_back_the_next_day(alice, later):
    Allowance.objects.create(owner=alice, video_seconds_a_day=100)
    allowances.use_video_seconds(alice, 60)
    with pytest.raises(LimitReached) as caught:
        allowances.use_video_seconds(alice, 41)
    assert caught.value.code == "daily_video_limit_reached"
    assert 0 < caught.value.retry_after <= 86_400
    later(timedelta(days=1))
    allowances.use_video_seconds(alice, 100)


def test_what_a_clip_did_not_need_is_given_back_to_its_day(alice, later):
    Allowance.objects.create(owner=alice, video_seconds_a_day=100)
    day = allowances.use_video_seconds(alice, 90)
    later(timedelta(days=1))
    allowances.adjust_video_seconds(alice, day, -50.4)
    assert DailyUsage.objects.get(owner=alice, day=day).video_seconds == 40
    allowances.adjust_video_seconds(alice, day, -500)
    assert DailyUsage.objects.get(owner=alice, day=day).video_seconds == 0


def test_sessions_are_counted_and_their_minutes_booked(alice):
    Allowance.objects.create(owner=alice, concurrent_sessions=1, session_minutes_a_day=2)
    allowances.check_concurrent_sessions(alice, count=lambda: 0)
    with pytest.raises(LimitReached):
        allowances.check_concurrent_sessions(alice, count=lambda: 1)
    assert allowances.check_session_minutes(alice) == 120
    allowances.add_session_seconds(alice, 90)
    assert allowances.check_session_minutes(alice) == 30
    allowances.add_session_seconds(alice, 60)
    with pytest.raises(LimitReached) as caught:
        allowances.check_session_minutes(alice)
    assert caught.value.code == "daily_session_limit_reached"


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_only_as_many_get_a_place_as_there_are():
    """Each thread takes a place and fills it (with a row that the count sees), or is refused."""
    owner = User.objects.create_user("race@example.org", "a long password")
    Allowance.objects.create(owner=owner, clips_in_flight=3, video_seconds_a_day=50)
    start, got = threading.Barrier(8), []

    def take(number):
        try:
            start.wait(10)
            with transaction.atomic():
                allowances.check_clips_in_flight(owner, count=ApiKey.objects.filter(owner=owner).count)
                allowances.use_video_seconds(owner, 10)
                ApiKey.objects.create(owner=owner, name="place", prefix=f"p{number}", digest="")
            got.append("taken")
        except LimitReached:
            got.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=take, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(got) == ["refused"] * 5 + ["taken"] * 3
    assert DailyUsage.objects.get(owner=owner).video_seconds == 30
