"""The account itself and its keys, over REST."""

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from project.accounts import keys, signing
from project.accounts.models import Allowance, ApiKey, User


def test_i_see_my_account_allowance_and_usage(alice, as_user):
    Allowance.objects.create(owner=alice, clips_in_flight=4)
    body = as_user(alice, scopes=["clips:read"]).get("/api/v1/me").json()
    assert body["id"] == alice.pk
    assert body["role"] == "customer"
    assert body["allowance"]["clips_in_flight"] == 4
    assert body["usage"]["video_seconds"] == 0
    assert body["api_key"]["scopes"] == ["clips:read"]


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer nonsense", "Bearer parley_aa_bb", "Basic abc", "Bearer \xff"]
)
def test_nobody_gets_in_without_a_key(db, header):
    client = APIClient()
    if header:
        client.credentials(HTTP_AUTHORIZATION=header)
    answer = client.get("/api/v1/me")
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Bearer")
    assert answer.json()["code"] in ("not_authenticated", "invalid_api_key")


def test_a_login_session_works_for_reading(alice):
    client = APIClient()
    client.force_login(alice)
    assert client.get("/api/v1/me").json()["api_key"] is None


def test_a_login_session_writes_with_its_csrf_token_only(alice):
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(alice)
    answer = client.post("/api/v1/api-keys", {"name": "x"})
    assert (answer.status_code, answer.json()["code"]) == (403, "csrf_failed")
    token = "a" * 32
    client.cookies["csrftoken"] = token
    assert client.post("/api/v1/api-keys", {"name": "x"}, HTTP_X_CSRFTOKEN=token).status_code == 201


def test_an_api_key_needs_no_csrf_token(alice, as_user):
    client = as_user(alice, enforce_csrf_checks=True)
    assert client.post("/api/v1/api-keys", {"name": "x"}).status_code == 201


def test_a_new_key_works_and_is_shown_once(alice, as_user):
    api = as_user(alice)
    answer = api.post("/api/v1/api-keys", {"name": "CI", "scopes": ["clips:read"]})
    assert answer.status_code == 201
    body = answer.json()
    assert keys.find(body["key"]).scopes == ["clips:read"]
    assert body["key"].startswith(body["prefix"])
    again = api.get(answer["Location"])
    assert again.status_code == 200
    assert "key" not in again.json()
    assert body["key"] not in str(api.get("/api/v1/api-keys").json())


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        ({}, "required", "/name"),
        ({"name": ""}, "blank", "/name"),
        ({"name": "x" * 121}, "max_length", "/name"),
        ({"name": "x", "scopes": []}, "empty", "/scopes"),
        ({"name": "x", "scopes": ["clips:fly"]}, "unknown_scope", "/scopes/0"),
        ({"name": "x", "scopes": "clips:read"}, "not_a_list", "/scopes"),
        ({"name": "x", "expires_at": "2020-01-01T00:00:00Z"}, "expiry_in_past", "/expires_at"),
        ({"name": "x", "expires_at": "soon"}, "invalid", "/expires_at"),
    ],
)
def test_bad_wishes_are_pointed_at(alice, as_user, body, code, pointer):
    api = as_user(alice)
    answer = api.post("/api/v1/api-keys", body)
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert (error["code"], error["pointer"]) == (code, pointer)
    assert ApiKey.objects.count() == 1


def test_a_customer_cannot_ask_for_a_staff_scope(alice):
    client = APIClient()
    client.force_login(alice)
    answer = client.post("/api/v1/api-keys", {"name": "x", "scopes": ["admin"]})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "scope_not_allowed")


def test_a_key_hands_on_no_more_than_it_has(alice, as_user):
    api = as_user(alice, scopes=["account:read", "account:write", "clips:read"])
    answer = api.post("/api/v1/api-keys", {"name": "x", "scopes": ["clips:write"]})
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")
    scopes = api.post("/api/v1/api-keys", {"name": "x"}).json()["scopes"]
    assert sorted(scopes) == ["account:read", "account:write", "clips:read"]


def test_a_key_cannot_rotate_one_that_may_do_more(alice, as_user):
    strong, _ = keys.create(alice, name="strong")
    weak = as_user(alice, scopes=["account:write"])
    answer = weak.post(f"/api/v1/api-keys/{strong.pk}/rotate", {})
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("get", "api-keys", "account:read"),
        ("post", "api-keys", "account:write"),
        ("delete", "api-keys/key_0", "account:write"),
        ("post", "me/rotate-callback-secret", "account:write"),
        ("get", "webhook-endpoints", "webhooks:read"),
        ("post", "webhook-endpoints", "webhooks:write"),
        ("patch", "webhook-endpoints/whe_0", "webhooks:write"),
        ("post", "webhook-endpoints/whe_0/test", "webhooks:write"),
        ("get", "callback-deliveries", "webhooks:read"),
    ],
)
def test_each_call_needs_its_scope(alice, as_user, method, path, scope):
    answer = getattr(as_user(alice, scopes=["clips:read"]), method)(f"/api/v1/{path}", {})
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")
    assert scope in answer.json()["detail"]
    assert getattr(as_user(alice, scopes=[scope]), method)(f"/api/v1/{path}", {}).status_code != 403


def test_strangers_find_nothing(alice, mallory, as_user):
    key, text = keys.create(alice, name="Alice's")
    api = as_user(mallory)
    assert api.get(f"/api/v1/api-keys/{key.pk}").status_code == 404
    assert api.delete(f"/api/v1/api-keys/{key.pk}").status_code == 404
    assert api.post(f"/api/v1/api-keys/{key.pk}/rotate", {}).status_code == 404
    assert key.pk not in str(api.get("/api/v1/api-keys").json())
    assert keys.find(text)


def test_rotation_over_rest(alice, as_user, later):
    key, old = keys.create(alice, name="CI")
    answer = as_user(alice).post(f"/api/v1/api-keys/{key.pk}/rotate", {"overlap_seconds": 60})
    assert answer.status_code == 201
    assert keys.find(old)
    later(timedelta(seconds=61))
    assert keys.find(old) is None
    assert keys.find(answer.json()["key"])


@pytest.mark.parametrize("overlap", [-1, 604_801, "long"])
def test_a_bad_overlap_is_refused(alice, as_user, overlap):
    key, _ = keys.create(alice, name="CI")
    answer = as_user(alice).post(f"/api/v1/api-keys/{key.pk}/rotate", {"overlap_seconds": overlap})
    assert answer.json()["errors"][0]["pointer"] == "/overlap_seconds"


def test_revoking_twice_is_no_error(alice, as_user):
    key, text = keys.create(alice, name="CI")
    api = as_user(alice)
    assert [api.delete(f"/api/v1/api-keys/{key.pk}").status_code for _ in range(2)] == [204, 204]
    assert keys.find(text) is None
    assert api.get(f"/api/v1/api-keys/{key.pk}").json()["revoked_at"]


def test_the_callback_secret_rotates_with_an_overlap(alice, as_user, later):
    before = signing.secret(alice.pk, 1)
    made = as_user(alice).post("/api/v1/me/rotate-callback-secret").json()["secret"]
    user = User.objects.get(pk=alice.pk)
    in_force = signing.secrets_in_force(
        user.pk, user.callback_secret_version, user.callback_secret_rotated_at
    )
    assert in_force == [made, before]
    later(timedelta(hours=25))
    now = signing.secrets_in_force(user.pk, user.callback_secret_version, user.callback_secret_rotated_at)
    assert now == [made]


def test_a_key_that_expires_is_made_and_expires(alice, as_user, later):
    end = timezone.now() + timedelta(hours=1)
    text = as_user(alice).post("/api/v1/api-keys", {"name": "x", "expires_at": end.isoformat()}).json()["key"]
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    assert client.get("/api/v1/me").status_code == 200
    later(timedelta(hours=2))
    assert client.get("/api/v1/me").status_code == 401
