"""The queue: places are given in order of arrival, exactly as many as there are."""

import threading

import pytest
from django.db import connection

from project.accounts.models import Allowance
from sessions import admission, hosting, services
from sessions.models import Session
from tests.support.sessions import create, join, turn_back

pytestmark = pytest.mark.postgres


@pytest.fixture
def places(settings, alice):
    """Say how many may talk at once; Alice herself may begin as many as she likes."""
    Allowance.objects.create(owner=alice, concurrent_sessions=1000)

    def set_places(number):
        settings.LIVE_MAX_SESSIONS = number

    return set_places


@pytest.fixture
def arrive(alice, avatar):
    """Join a session and ask for a place."""

    def one(host="web-1"):
        created = create(alice, avatar)
        fence = join(created, host)
        return created.session.pk, fence, services.session_activate(created.session.pk, fence)

    return one


def standing(session_id):
    told = services.standing(session_id)
    return told.status, told.position


def test_those_who_find_no_place_wait_in_order(places, arrive) -> None:
    places(1)
    first, second, third = arrive(), arrive(), arrive()
    assert [(one[2].status, one[2].position) for one in (first, second, third)] == [
        ("active", None),
        ("queued", 1),
        ("queued", 2),
    ]
    services.session_end(first[0], "client_ended")
    assert standing(second[0]) == ("active", None)
    assert standing(third[0]) == ("queued", 1)


def test_whoever_leaves_the_queue_lets_the_others_move_up(places, arrive) -> None:
    places(1)
    arrive()
    second, third = arrive(), arrive()
    services.session_end(second[0], "client_ended")
    assert standing(third[0]) == ("queued", 1)


def test_asking_again_changes_nothing(places, arrive) -> None:
    places(1)
    arrive()
    second, third = arrive(), arrive()
    assert services.session_activate(third[0], third[1]).position == 2
    assert services.session_activate(second[0], second[1]).position == 1


def test_a_newcomer_does_not_overtake_when_a_place_is_just_free(places, arrive, settings) -> None:
    places(1)
    arrive()
    waiting = arrive()
    places(2)  # free, and nobody has given it away yet
    newcomer = arrive()
    assert standing(waiting[0]) == ("active", None)
    assert (newcomer[2].status, newcomer[2].position) == ("queued", 1)


def test_one_whose_host_is_away_keeps_its_place_and_is_passed_over(places, arrive) -> None:
    places(1)
    first, away, third = arrive(), arrive(), arrive()
    turn_back(Session.objects.get(pk=away[0]), 60, "host_lease_until")
    services.session_end(first[0], "client_ended")
    assert standing(away[0]) == ("queued", 1)
    assert standing(third[0]) == ("active", None)
    services.host_claim(away[0], "web-2")
    fourth = arrive()
    assert standing(away[0]) == ("queued", 1)
    services.session_end(third[0], "client_ended")
    assert standing(away[0]) == ("active", None)
    assert standing(fourth[0]) == ("queued", 1)


def test_the_queue_is_in_order_also_when_a_clock_goes_back(places, arrive, monkeypatch) -> None:
    places(0)
    first = arrive()
    turn_back(Session.objects.get(pk=first[0]), -3600, "queued_at")
    second = arrive()
    assert standing(first[0]) == ("queued", 1)
    assert standing(second[0]) == ("queued", 2)


def test_one_that_ended_asks_in_vain(places, arrive) -> None:
    places(1)
    session_id, fence, _ = arrive()
    services.session_end(session_id, "client_ended")
    assert services.session_activate(session_id, fence).status == "ended"


def at_once(jobs):
    """Run jobs in threads with connections of their own, all starting at the same moment."""
    start, errors = threading.Barrier(len(jobs)), []

    def run(job):
        try:
            start.wait(10)
            job()
        except Exception as error:  # noqa: BLE001 - told below, in the test's own thread
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    assert errors == []


def test_many_at_the_same_moment_get_exactly_the_places_there_are(places, alice, avatar) -> None:
    places(3)
    waiting = [create(alice, avatar) for _ in range(8)]
    fences = {one.session.pk: join(one) for one in waiting}
    at_once([lambda pk=pk, fence=fence: services.session_activate(pk, fence) for pk, fence in fences.items()])
    assert admission.active_count() == 3
    queued = Session.objects.filter(status="queued").order_by("queued_at")
    assert [hosting.standing_of(one).position for one in queued] == [1, 2, 3, 4, 5]
    last_in = Session.objects.filter(status="active").order_by("-queued_at").first()
    assert last_in.queued_at < queued[0].queued_at


def test_one_place_that_becomes_free_goes_to_one_however_many_look(places, arrive) -> None:
    places(1)
    first = arrive()
    others = [arrive() for _ in range(4)]
    jobs = [lambda: services.session_end(first[0], "client_ended")]
    jobs += [admission.admit for _ in range(3)]
    jobs += [lambda one=one: services.session_activate(one[0], one[1]) for one in others]
    at_once(jobs)
    assert [standing(one[0]) for one in others] == [
        ("active", None),
        ("queued", 1),
        ("queued", 2),
        ("queued", 3),
    ]


def test_of_two_hosts_at_the_same_moment_one_gets_the_session(places, alice, avatar) -> None:
    created = create(alice, avatar)
    got = []
    at_once([lambda n=n: got.append(services.host_claim(created.session.pk, f"web-{n}")) for n in range(4)])
    assert sorted(fence or 0 for fence in got) == [0, 0, 0, 1]


def test_of_two_ends_at_the_same_moment_one_counts(places, arrive, alice) -> None:
    from project.accounts import allowances

    session_id, _, _ = arrive()
    turn_back(Session.objects.get(pk=session_id), 50, "started_at")
    ended = []
    at_once([lambda: ended.append(services.session_end(session_id, "api_ended")) for _ in range(5)])
    assert sorted(ended) == [False] * 4 + [True]
    assert allowances.usage_of(alice).session_seconds == 50


def test_an_account_takes_its_last_place_once(settings, alice, avatar) -> None:
    from project.errors import LimitReached

    settings.DEFAULT_ALLOWANCE = settings.DEFAULT_ALLOWANCE | {"concurrent_sessions": 2}
    got = []

    def begin():
        try:
            create(alice, avatar)
            got.append("begun")
        except LimitReached:
            got.append("refused")

    at_once([begin] * 5)
    assert sorted(got) == ["begun"] * 2 + ["refused"] * 3


# --- Hosts ----------------------------------------------------------------------------------


def test_a_host_renews_all_its_sessions_with_two_queries(
    places, arrive, django_assert_max_num_queries
) -> None:
    places(3)
    fences = {one[0]: one[1] for one in (arrive(), arrive(), arrive())}
    with django_assert_max_num_queries(2):
        kept = services.hosts_renew("web-1", fences)
    assert set(kept) == set(fences)


def test_a_long_queue_costs_one_query_more(places, arrive, django_assert_max_num_queries) -> None:
    places(1)
    fences = {one[0]: one[1] for one in [arrive() for _ in range(5)]}
    with django_assert_max_num_queries(3):
        kept = services.hosts_renew("web-1", fences)
    assert [told.position for told in kept.values() if told.position] != []
    assert sorted(told.position or 0 for told in kept.values()) == [0, 1, 2, 3, 4]


def test_a_renewal_tells_what_was_lost_and_how_the_rest_stands(places, arrive) -> None:
    places(1)
    first, second, third = arrive(), arrive(), arrive()
    turn_back(Session.objects.get(pk=third[0]), 60, "host_lease_until")
    services.host_claim(third[0], "web-2")
    services.session_end(first[0], "api_ended")
    kept = services.hosts_renew("web-1", {one[0]: one[1] for one in (first, second, third)})
    assert {pk: (told.status, told.position) for pk, told in kept.items()} == {second[0]: ("active", None)}


def test_a_session_given_up_in_order_is_free_at_once(arrive) -> None:
    session_id, fence, _ = arrive()
    assert services.host_claim(session_id, "web-2") is None
    assert services.host_of(session_id) == "web-1"
    assert services.host_release(session_id, "web-1", fence)
    assert services.host_of(session_id) is None
    assert services.host_claim(session_id, "web-2") == fence + 1
    assert services.host_release(session_id, "web-1", fence) is False


def test_the_same_process_may_claim_again_and_its_older_number_is_void(arrive) -> None:
    session_id, fence, _ = arrive()
    assert services.host_claim(session_id, "web-1") == fence + 1
    assert services.hosts_renew("web-1", {session_id: fence}) == {}


def test_nobody_hosts_a_session_that_ended(arrive) -> None:
    session_id, fence, _ = arrive()
    services.session_end(session_id, "client_ended")
    assert services.host_claim(session_id, "web-2") is None
    assert services.hosts_renew("web-1", {session_id: fence}) == {}
