from datetime import timedelta
from itertools import chain

import pytest
from django.utils import timezone

from project.accounts import keys
from project.accounts.models import ApiKey


@pytest.fixture
def api(alice, as_user):
    """Alice's client; her own key for it is revoked out of the way by age."""
    client = as_user(alice)
    ApiKey.objects.update(created_at=timezone.now() - timedelta(days=1000))
    return client


def make(owner, number, created_at=None):
    return [
        keys.create(owner, name=f"key {n}")[0].pk
        if created_at is None
        else _at(keys.create(owner, name=f"key {n}")[0], created_at)
        for n in range(number)
    ]


def _at(key, moment):
    ApiKey.objects.filter(pk=key.pk).update(created_at=moment)
    return key.pk


def walk(api, url):
    pages = []
    while url:
        body = api.get(url).json()
        assert set(body) == {"results", "next"}
        pages.append([row["id"] for row in body["results"]])
        url = body["next"]
    return pages


def test_pages_follow_each_other_newest_first(api, alice):
    made = make(alice, 5)
    pages = walk(api, "/api/v1/api-keys?limit=2")
    assert [len(page) for page in pages] == [2, 2, 2]
    assert list(chain(*pages))[:5] == made[::-1]


def test_rows_of_the_same_moment_are_neither_lost_nor_doubled(api, alice):
    made = make(alice, 7, timezone.now())
    seen = list(chain(*walk(api, "/api/v1/api-keys?limit=3")))[:7]
    assert seen == sorted(made, reverse=True)


def test_rows_that_arrive_between_pages_disturb_nothing(api, alice):
    made = make(alice, 4)
    first = api.get("/api/v1/api-keys?limit=2").json()
    make(alice, 2)
    second = api.get(first["next"]).json()
    assert [row["id"] for row in second["results"]] == made[1::-1]


def test_a_full_last_page_has_no_next(api, alice):
    make(alice, 1)
    assert api.get("/api/v1/api-keys?limit=2").json()["next"] is None


@pytest.mark.parametrize("limit", ["0", "101", "-1", "ten", "1e3", "\uff19", "9999999999999"])
def test_a_bad_limit_is_refused(api, limit):
    answer = api.get("/api/v1/api-keys", {"limit": limit})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_limit")


@pytest.mark.parametrize("cursor", ["x", "!!!!", "MjAyNg", "MjAyNi0wMS0wMVQwMDowMDowMHxrZXk", "%ff"])
def test_a_made_up_cursor_is_refused(api, cursor):
    answer = api.get("/api/v1/api-keys", {"cursor": cursor})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor")
